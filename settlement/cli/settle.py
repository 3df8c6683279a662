"""`settlement settle`: settle each window of a range now, in this process."""

from __future__ import annotations

from typing import Annotated

import typer

from settlement.cli.app import app
from settlement.cli.times import parse_hours


@app.command()
def settle(
    start: Annotated[str, typer.Option("--from", help="First window, RFC 3339, on the hour.")],
    end: Annotated[str, typer.Option("--to", help="End of the range (not included), RFC 3339, on the hour.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable output.")] = False,
) -> None:
    """Settles each window of [FROM, TO) now, in this process, by the code that the workers' tasks call."""
    from datetime import UTC, datetime

    from settlement.cli.output import print_json, progress
    from settlement.pipeline.settle import settle_window
    from settlement.runtime import open_database
    from settlement.store.runs import totals_of_windows

    windows = parse_hours(start, end)
    with open_database() as database:
        changed = 0
        for window in progress(windows, label="settling"):
            changed += settle_window(database, window, now=datetime.now(UTC)) is not None
        with database.transaction() as connection:
            summary = totals_of_windows(connection, windows[0], windows[-1])
    if as_json:
        print_json({"windows": len(windows), "changed": changed, **summary})
        return
    typer.echo(
        f"{len(windows)} windows, {changed} settled now: {summary['earned']} earned, {summary['excluded']} excluded,"
        f" {summary['pending']} pending, {summary['commission_usdt']} USDT commission"
    )
    if not changed:
        typer.echo("nothing to do: every window was settled and nothing new has come in")
