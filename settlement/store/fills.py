"""Fills into PostgreSQL: the locks, the COPY, the windows and the quarantine.

An ingest holds the row lock of every account it writes to, so that each account has one writer. Within a day the
primary key keeps a key from being stored twice; across days store/fill_reach.py does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import psycopg
import pyarrow as pa
from sqlalchemy import Connection, text

from settlement.store.copy_text import copy_text
from settlement.store.copying import copy_in
from settlement.store.fill_batch import FillBatch

INGEST_LOCK = 7_031_208_801

Account = tuple[str, str]
"""(venue, account)."""


@dataclass(frozen=True, kw_only=True)
class QuarantinedRow:
    """One row put aside: its file, its number there, why, and its text."""

    quarantine_id: int
    kind: str
    file: str
    row_number: int | None
    reason: str
    raw: str | None
    quarantined_at: datetime


def is_deadlock(error: BaseException) -> bool:
    """Whether PostgreSQL gave this transaction up because it and another waited for each other."""
    return getattr(getattr(error, "orig", error), "sqlstate", None) == psycopg.errors.DeadlockDetected.sqlstate


def begin_ingest(connection: Connection, *, alone: bool) -> None:
    """Waits until this ingest may run: beside others, or, `alone`, when no other is running."""
    function = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
    connection.execute(text(f"SELECT {function}(:key)"), {"key": INGEST_LOCK})


def open_load(connection: Connection, *, source: str, file: str, loaded_by: str) -> int:
    """Records that a load of fills began; returns its id."""
    query = text("""
        INSERT INTO load (kind, source, file, loaded_by) VALUES ('fills', :source, :file, :loaded_by) RETURNING load_id
    """)
    return int(connection.execute(query, {"source": source, "file": file, "loaded_by": loaded_by}).scalar_one())


def ensure_days(connection: Connection, days: Iterable[date]) -> None:
    """Makes the partitions of these days; days between them that no fill has get none."""
    for first, last in _stretches(sorted(days)):
        query = text("SELECT ensure_partitions('fill', CAST(:first AS date), CAST(:last AS date))")
        connection.execute(query, {"first": first, "last": last})


def _stretches(days: Sequence[date]) -> list[tuple[date, date]]:
    stretches: list[tuple[date, date]] = []
    for day in days:
        if stretches and day - stretches[-1][1] <= timedelta(days=1):
            stretches[-1] = (stretches[-1][0], day)
        else:
            stretches.append((day, day))
    return stretches


def lock_accounts(connection: Connection, accounts: Iterable[Account]) -> None:
    """Makes this transaction the only one that adds fills of these accounts, until it ends."""
    ordered = sorted(accounts)
    parameters = {"venues": [venue for venue, _ in ordered], "accounts": [account for _, account in ordered]}
    wanted = "unnest(CAST(:venues AS text[]), CAST(:accounts AS text[])) AS w (venue, account)"
    insert = f"INSERT INTO fill_account (venue, account) SELECT * FROM {wanted} ON CONFLICT DO NOTHING"  # noqa: S608 - constant
    lock = f"""
        SELECT FROM fill_account JOIN {wanted} USING (venue, account)
        ORDER BY venue COLLATE "C", account COLLATE "C" FOR NO KEY UPDATE OF fill_account
    """
    connection.execute(text(insert), parameters)
    connection.execute(text(lock), parameters)


def copy_fills(connection: Connection, batch: FillBatch) -> bool:
    """Stores the whole batch by COPY, or nothing of it: False if one of its keys is already there, or twice in it."""
    savepoint = connection.begin_nested()
    try:
        copy_text(connection, "fill", batch.columns, batch.copy_text)
    except psycopg.errors.UniqueViolation:
        savepoint.rollback()
        return False
    savepoint.commit()
    return True


def touch_windows(connection: Connection, hours: Iterable[datetime]) -> None:
    """Makes the windows of these hours known; one that is no longer open is to be looked at again.

    Rows are locked in order, also those that stay as they are, so that a run that is being opened sees these fills
    or is seen here.
    """
    query = text(
        "INSERT INTO settlement_window AS w (window_start)"
        " SELECT hour FROM unnest(CAST(:hours AS timestamptz[])) hour ORDER BY hour"
        " ON CONFLICT (window_start) DO UPDATE SET recheck = true WHERE w.status <> 'open'"
    )
    connection.execute(query, {"hours": sorted(hours)})


def quarantine_rows(connection: Connection, bad: pa.Table, *, load_id: int, file: str) -> None:
    """Puts bad rows aside: `bad` has the columns row_number, reason and raw."""
    rows = bad.num_rows
    constants = {"load_id": load_id, "kind": "bad_row", "file": file}
    for name, value in constants.items():
        bad = bad.append_column(name, pa.repeat(pa.scalar(value), rows))
    copy_in(connection, "quarantine", [bad], columns=bad.column_names)


def first_reasons(connection: Connection, *, load_id: int, limit: int) -> list[str]:
    """Why the first rows of this load were put aside, in the order of the file."""
    query = text("SELECT row_number, reason FROM quarantine WHERE load_id = :load_id ORDER BY row_number LIMIT :limit")
    rows = connection.execute(query, {"load_id": load_id, "limit": limit})
    return [f"row {row.row_number}: {row.reason}" for row in rows]


def list_quarantine(connection: Connection, *, limit: int) -> list[QuarantinedRow]:
    """The rows that were put aside last, newest load first, in the order of the file."""
    query = text(
        "SELECT quarantine_id, kind, file, row_number, reason, raw, quarantined_at FROM quarantine"
        " ORDER BY load_id DESC, row_number, quarantine_id LIMIT :limit"
    )
    return [QuarantinedRow(**row) for row in connection.execute(query, {"limit": limit}).mappings()]
