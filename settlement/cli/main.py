"""The console script: one command a module, each registered by being imported here."""

from __future__ import annotations

import sys

from settlement.cli import (
    demo,  # noqa: F401
    doctor,  # noqa: F401
    explain,  # noqa: F401
    export,  # noqa: F401
    init,  # noqa: F401
    ledger,  # noqa: F401
    loads,  # noqa: F401
    payouts,  # noqa: F401
    sample,  # noqa: F401
    summary,  # noqa: F401
    up,  # noqa: F401
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
