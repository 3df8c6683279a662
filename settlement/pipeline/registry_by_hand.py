"""Use case: change one row of the registry by hand, by the very path of a load, with an entry in the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from settlement.errors import InputRefused
from settlement.pipeline.load_registry import load_rows
from settlement.pipeline.load_report import Act, LoadReport
from settlement.program.registry import CheckedFile, check_rows, file_named
from settlement.program.registry_changes import NOUNS, Change, in_force, new_row, next_after
from settlement.store import audit_log, loads
from settlement.store.audit_log import AuditEntry
from settlement.store.database import Connection, Database
from settlement.store.registry_rows import is_known_broker, rows_of


@dataclass(frozen=True, kw_only=True)
class HandAct:
    """Who changes something, and why; `correction` says why the past of settled windows changes, if it does."""

    by: str
    reason: str
    correction: str | None = None


@dataclass(frozen=True, kw_only=True)
class ChangeReport:
    """What a change did; `load_id` is None where nothing was new.

    `before` and `after` are rows as their file has them. `takes_over` is when a row that stood already ends what was
    changed; `windows_marked` settled windows get a supplementary run.
    """

    act: str
    subject: str
    before: Mapping[str, str] | None
    after: Mapping[str, str] | None
    load_id: int | None = None
    takes_over: datetime | None = None
    windows_marked: int = 0


@dataclass(frozen=True, kw_only=True)
class RowByHand:
    """A row to be stored in the registry file `file`, the act that stores it, and what stood before."""

    file: str
    row: Mapping[str, str]
    act: str
    subject: str
    before: Mapping[str, str] | None
    takes_over: datetime | None = None


def change_registry(database: Database, change: Change, *, act: HandAct) -> ChangeReport:
    """Adds the row that `change` asks for, or nothing if the registry says that already.

    Raises `InputRefused`, with nothing stored, as a load does, and for a broker that nobody has described: a file may
    come before the one it refers to, a person has misspelt it.
    """
    with database.transaction() as connection:
        loads.begin(connection)
        rows = rows_of(connection, change.file, change.key)
        standing = in_force(rows, change.at)
        before = standing.values if standing else None
        row = new_row(change, rows)
        if row is None:
            return ChangeReport(act=change.act, subject=change.subject, before=before, after=before)
        _refuse_unknown_broker(connection, change)
        later = next_after(rows, change.at)
        by_hand = RowByHand(
            file=change.file,
            row=row,
            act=change.act,
            subject=change.subject,
            before=before,
            takes_over=later.begins if later else None,
        )
        return store_row(connection, by_hand, act=act)


def store_row(connection: Connection, by_hand: RowByHand, *, act: HandAct) -> ChangeReport:
    """Stores one row by the path of a load and records the act; in a transaction that `loads.begin` has begun."""
    where = f"{NOUNS[by_hand.file]} {by_hand.subject}"
    load = _load(connection, by_hand, act=act, where=where)
    after = _stored(connection, by_hand)
    if load.load_id is not None:
        entry = AuditEntry(
            by=act.by,
            act=by_hand.act,
            subject=by_hand.subject,
            reason=act.reason,
            before=by_hand.before,
            after=after,
            load_id=load.load_id,
        )
        audit_log.record(connection, entry)
    return ChangeReport(
        act=by_hand.act,
        subject=by_hand.subject,
        before=by_hand.before,
        after=after,
        load_id=load.load_id,
        takes_over=by_hand.takes_over,
        windows_marked=load.windows_marked,
    )


def _load(connection: Connection, by_hand: RowByHand, *, act: HandAct, where: str) -> LoadReport:
    """Refusals name the thing, not the row of a file that nobody wrote."""
    try:
        checked = _checked(by_hand, source=f"by hand: {by_hand.act} {by_hand.subject}")
        return load_rows(
            connection,
            [checked],
            source=str(checked.path),
            act=Act(loaded_by=act.by, correction=act.correction),
        )
    except InputRefused as refusal:
        raise InputRefused(refusal.what, where=where, mend=refusal.mend) from None


def _checked(by_hand: RowByHand, *, source: str) -> CheckedFile:
    """The row, checked as one of the file; nothing is put aside, since whoever typed it can type it again."""
    file = file_named(by_hand.file)
    columns = {name: pa.array([by_hand.row.get(name, "")]) for name in (*file.required, *file.optional)}
    checked = check_rows(by_hand.file, pa.table(columns), source=source)
    if checked.bad_rows:
        raise InputRefused(checked.bad_rows[0].reason, mend="give another one")
    return CheckedFile(file=file, path=Path(source), rows=checked.rows, bad_rows=(), read=1)


def _stored(connection: Connection, by_hand: RowByHand) -> Mapping[str, str]:
    file = file_named(by_hand.file)
    begins = datetime.fromisoformat(by_hand.row["effective_from"])
    rows = rows_of(connection, by_hand.file, {name: by_hand.row[name] for name in file.key})
    return next(row.values for row in rows if row.begins == begins)


def _refuse_unknown_broker(connection: Connection, change: Change) -> None:
    named = change.given.get("parent_id" if change.file == "brokers.csv" else "broker_id")
    if named and not is_known_broker(connection, named):
        raise InputRefused(
            f"there is no broker {named}",
            where=change.where,
            mend="settlement brokers list shows which there are, settlement brokers add makes one",
        )
