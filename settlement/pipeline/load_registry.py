"""Use case: load a directory of registry files, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from settlement.pipeline.load_report import Act, Counts, LoadReport
from settlement.program.registry import REGISTRY_FILES, CheckedFile, read_registry
from settlement.store import loads, registry
from settlement.store.database import Connection, Database
from settlement.store.settled_past import settled_period


def load_registry(database: Database, directory: Path, *, act: Act) -> LoadReport:
    """Adds what is new in the files of `directory` and replaces what they say otherwise, in one transaction.

    Raises `InputRefused`, with nothing stored, for a fault of a whole file, a cycle in the broker tree, or a change to
    the past of settled windows without a correction.
    """
    files = read_registry(directory)
    report = LoadReport(bad_rows=[row for file in files for row in file.bad_rows], warnings=_strange_files(directory))
    with database.transaction() as connection:
        loads.begin(connection)
        loads.put_aside(connection, report.bad_rows)
        new_bad_rows = loads.drop_known_bad_rows(connection)
        new_rows = {file.file.file: registry.stage(connection, file) for file in files}
        if new_bad_rows or any(new_rows.values()):
            report.load_id = loads.record(
                connection, kind="registry", source=str(directory), correction=act.correction, loaded_by=act.loaded_by
            )
            _store(connection, files, report, act=act)
        else:
            report.files = {file.file.file: _counts(file, added=0, changed=0) for file in files}
    return report


def _store(connection: Connection, files: Sequence[CheckedFile], report: LoadReport, *, act: Act) -> None:
    load_id = report.load_id or 0
    for file in files:
        merged = registry.merge(connection, file, load_id=load_id)
        report.files[file.file.file] = _counts(file, added=merged.added, changed=merged.replaced)
        if file.file.file == "brokers.csv" and merged.added + merged.replaced:
            registry.refuse_cycle(connection, brokers_file=str(file.path))
    period = settled_period(connection)
    if period is not None and act.correction is None:
        for file in files:
            registry.refuse_settled_change(connection, file, load_id=load_id, period=period)
    report.warnings += [
        f"{unknown.file} row {unknown.row_number}: broker {unknown.broker_id!r} has no row in brokers.csv"
        f" ({unknown.rows} rows name it); its fills will be excluded as BROKER_INACTIVE"
        for unknown in registry.unknown_brokers(connection, files)
    ]
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
