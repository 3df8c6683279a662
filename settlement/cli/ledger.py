"""`settlement ledger`: what guards the money."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from settlement.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from settlement.ledger.verification import Check

SAMPLE_DEFAULT = 2000

ledger_app = typer.Typer(help="Audit the ledger.", no_args_is_help=True)
app.add_typer(ledger_app, name="ledger")


@ledger_app.callback()
def ledger() -> None:
    """Audit the ledger."""


@ledger_app.command()
def verify(
    *,
    sample: Annotated[int, typer.Option(min=0, help="How many random lines to rate again in SQL.")] = SAMPLE_DEFAULT,
    rate_all: Annotated[bool, typer.Option("--all", help="Rate every line again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check chains, digests, balances, runs, payouts, lines and seals, and rate lines a second time; 1 if any is wrong."""
    from settlement.cli.output import print_json
    from settlement.pipeline.audit import CHECKS, audit
    from settlement.runtime import open_database

    with open_database() as database:
        checks = list(_watched(audit(database, sample=None if rate_all else sample), total=CHECKS))
    is_whole = all(check.ok for check in checks)
    if as_json:
        print_json({"ok": is_whole, "checks": [_document(check) for check in checks]})
    else:
        for check in checks:
            typer.echo(f"{'ok   ' if check.ok else 'WRONG'}  {check.name} ({check.examined:,} examined)")
        for finding in (finding for check in checks for finding in check.findings):
            typer.echo(f"{finding}", err=True)
    if not is_whole:
        raise typer.Exit(1)


def _document(check: Check) -> dict[str, object]:
    return {"name": check.name, "ok": check.ok, "examined": check.examined, "findings": list(check.findings)}


def _watched(checks: Iterable[Check], *, total: int) -> Iterator[Check]:
    """The checks, with a progress bar on standard error where that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from checks
        return
    yield from track(checks, description="Verifying", total=total, console=console, transient=True)
