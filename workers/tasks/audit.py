"""Audits, in the queue `ops`."""

from __future__ import annotations

from settlement.errors import Refused
from settlement.pipeline import audit
from workers.app import task
from workers.process import database


@task(name="settlement.verify_ledger")
def verify_ledger() -> None:
    """Audits the ledger: chains, balances, entries against their lines, and a sample rated again. A finding is an alert.

    Race: it only reads, in one snapshot, so what settles meanwhile is seen whole or not at all.
    """
    report = audit.verify_ledger(database())
    findings = [f"{check.name}: {finding}" for check in report.checks for finding in check.findings]
    if findings:
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        raise Refused(findings[0] + more, where="ledger", mend="see all of it with: settlement ledger verify")
