"""The console script: one command a module, each registered by being imported here."""

from __future__ import annotations

import sys

from settlement.cli import (  # noqa: F401 - importing a command registers it
    accounts,
    audit,
    bench,
    brokers,
    brokers_tree,
    clients,
    codes,
    coverage,
    demo,
    doctor,
    explain,
    export,
    ingest,
    init,
    ledger,
    loads,
    overrides,
    payouts,
    pull,
    raw_pages,
    recalc,
    referrals,
    rehearse,
    sample,
    sandbox,
    settle,
    snapshot,
    statements,
    summary,
    terms,
    terms_simulate,
    tiers,
    up,
)
from settlement.cli.app import app
from settlement.errors import SettlementError


def main() -> None:
    """Runs the command; a refusal is one line on standard error and exit code 1."""
    try:
        app()
    except SettlementError as refusal:
        print(f"settlement: {refusal}", file=sys.stderr)  # noqa: T201 - the one place that reports a refusal
        sys.exit(1)
