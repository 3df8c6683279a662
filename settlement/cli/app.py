"""The console application that every command registers with."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="settlement",
    help="Settles broker commission: fills in, a double-entry ledger and USDT payouts out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
