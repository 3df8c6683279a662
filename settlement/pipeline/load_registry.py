"""Use case: load registry rows, of a directory of files or as a venue tells them, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

from settlement.pipeline import tier_events
from settlement.pipeline.load_report import Act, Counts, LoadReport
from settlement.program.registry import REGISTRY_FILES, CheckedFile, read_registry
from settlement.store import audit_log, loads, overrides, registry, seen_rows
from settlement.store.audit_log import AuditEntry
from settlement.store.database import Connection, Database
from settlement.store.settled_past import settled_period


def load_registry(database: Database, directory: Path, *, act: Act) -> LoadReport:
    """Adds what is new in the files of `directory` and replaces what they say otherwise, in one transaction.

    Raises `InputRefused`, with nothing stored, for a fault of a whole file, a broker tree with a cycle or too many levels, or
    a change to the past of settled windows without a correction.
    """
    report = load_registry_rows(database, read_registry(directory), source=str(directory), act=act)
    report.warnings[:0] = _strange_files(directory)
    return report


def load_registry_rows(
    database: Database, files: Sequence[CheckedFile], *, source: str, act: Act, seen_at: datetime | None = None
) -> LoadReport:
    """Adds what is new in `files` and replaces what they say otherwise, in one transaction.

    With `seen_at`, the rows say what a venue answered then: only what differs from the row in force is added, dated so
    that nothing settled changes (settlement/store/seen_rows.py). Raises as `load_registry` does.
    """
    with database.transaction() as connection:
        loads.begin(connection)
        report = load_rows(connection, files, source=source, act=act, seen_at=seen_at)
        if report.load_id is not None:
            _audit(connection, report, source=source, act=act)
    return report


def load_rows(
    connection: Connection, files: Sequence[CheckedFile], *, source: str, act: Act, seen_at: datetime | None = None
) -> LoadReport:
    """As `load_registry_rows`, in a transaction that `loads.begin` has begun; once in each."""
    report = LoadReport(bad_rows=[row for file in files for row in file.bad_rows])
    loads.put_aside(connection, report.bad_rows)
    new_bad_rows = loads.drop_known_bad_rows(connection)
    seen = None if seen_at is None else seen_rows.Seen(at=seen_at, source=source, settled=settled_period(connection))
    new_rows = {file.file.file: _stage(connection, file, seen=seen) for file in files}
    if new_bad_rows or any(new_rows.values()):
        report.load_id = loads.record(
            connection, kind="registry", source=source, correction=act.correction, loaded_by=act.loaded_by
        )
        _store(connection, files, report, act=act)
    else:
        report.files = {file.file.file: _counts(file, added=0, changed=0) for file in files}
    return report


def _audit(connection: Connection, report: LoadReport, *, source: str, act: Act) -> None:
    """What a load of files did, as counts: its rows name it themselves."""
    entry = AuditEntry(
        by=act.loaded_by,
        act="registry.load",
        subject=source,
        reason=act.correction,
        before=None,
        after={file: asdict(counts) for file, counts in report.files.items()},
        load_id=report.load_id,
    )
    audit_log.record(connection, entry)


def _stage(connection: Connection, file: CheckedFile, *, seen: seen_rows.Seen | None) -> int:
    if seen is None:
        return registry.stage(connection, file)
    return seen_rows.stage(connection, registry.TABLES[file.file.file], file.rows, seen=seen)


def _store(connection: Connection, files: Sequence[CheckedFile], report: LoadReport, *, act: Act) -> None:
    load_id = report.load_id or 0
    for file in files:
        merged = registry.merge(connection, file, load_id=load_id)
        report.files[file.file.file] = _counts(file, added=merged.added, changed=merged.replaced)
        if file.file.file == "brokers.csv" and merged.added + merged.replaced:
            registry.refuse_faulty_tree(connection, brokers_file=str(file.path))
    period = settled_period(connection)
    if period is not None and act.correction is None:
        for file in files:
            registry.refuse_settled_change(connection, file, load_id=load_id, period=period)
    report.warnings += [
        f"{unknown.file} row {unknown.row_number}: broker {unknown.broker_id!r} has no row in brokers.csv"
        f" ({unknown.rows} rows name it); its fills will be excluded as BROKER_INACTIVE"
        for unknown in registry.unknown_brokers(connection, files)
    ]
    report.warnings += [
        f"{idle.file} row {idle.row_number}: broker {idle.broker_id!r} is never a root then, and only a root's {idle.kind} is"
        f" ever asked for ({idle.rows} such rows of its)"
        for idle in overrides.idle_overrides(connection, files)
    ]
    tier_events.announce_overrides(connection, load_id=load_id)
    report.windows_marked = loads.recheck_windows(connection)


def _counts(file: CheckedFile, *, added: int, changed: int) -> Counts:
    quarantined = len(file.bad_rows)
    unchanged = file.read - added - changed - quarantined
    return Counts(read=file.read, added=added, changed=changed, unchanged=unchanged, quarantined=quarantined)


def _strange_files(directory: Path) -> list[str]:
    """A misspelt file name would otherwise leave its rows out without a word."""
    known = [file.file for file in REGISTRY_FILES]
    warnings = []
    for path in sorted(directory.glob("*.csv")):
        if path.name not in known:
            near = get_close_matches(path.name, known, n=1, cutoff=0.7)
            warnings.append(
                f"{path}: not a registry file, passed over" + (f"; did you mean {near[0]}?" if near else "")
            )
    return warnings
