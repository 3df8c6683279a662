"""Audits, in the queue `ops`."""

from __future__ import annotations

from settlement.pipeline import audit
from workers.app import task
from workers.process import database


@task(name="settlement.verify_ledger")
def verify_ledger() -> None:
    """Audits the ledger: chains, balances, entries against their lines, and a sample rated again.

    Race: it only reads, so what settles meanwhile and a second audit at the same time change nothing.
    """
    audit.verify_ledger(database())
