"""The audit: does the ledger still say what was posted, and would everything come out the same again?

All checks read the same moment, in one transaction. The last one rates lines a second time, in plain SQL.
"""

from __future__ import annotations

from collections.abc import Iterator

from settlement.ledger.verification import Check, Report
from settlement.pipeline.seal import Seal
from settlement.store.database import Connection, Database
from settlement.store.verification import (
    LEDGER_CHECKS,
    ledger_checks,
    one_moment,
    rerating,
    sealed_fills,
    sealed_windows,
)

SAMPLE_DEFAULT = 2000
CHECKS = len(LEDGER_CHECKS) + 2


def verify_ledger(database: Database, *, sample: int | None = SAMPLE_DEFAULT) -> Report:
    """Every check, with `sample` random lines rated again (None: all of them)."""
    return Report(checks=list(audit(database, sample=sample)))


def audit(database: Database, *, sample: int | None) -> Iterator[Check]:
    """The checks one by one, as they are done; there are `CHECKS` of them."""
    with database.transaction() as connection:
        one_moment(connection)
        yield from ledger_checks(connection)
        yield _seals(connection)
        yield rerating(connection, sample=sample)


def _seals(connection: Connection) -> Check:
    windows = sealed_windows(connection)
    findings = []
    for window in windows:
        found = Seal()
        for fills in sealed_fills(connection, window.window_start):
            found.add(fills)
        if found.as_json() != window.seal:
            findings.append(f"window {window.window_start}: sealed {window.seal}, its fills now give {found.as_json()}")
    return Check(name="seals are true", examined=len(windows), findings=tuple(findings))
