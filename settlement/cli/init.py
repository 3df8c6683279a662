"""`settlement init`: the schema."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from settlement.cli.app import app


@app.command()
def init(*, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Creates or upgrades the schema of the database; safe to repeat, and to run twice at once."""
    from settlement import runtime

    before, now = runtime.initialise()
    if as_json:
        typer.echo(json.dumps({"before": before, "now": now, "changed": before != now}))
    elif before == now:
        typer.echo(f"The schema is at version {now} already; nothing changed.")
    elif before is None:
        typer.echo(f"The schema was created, version {now}.")
    else:
        typer.echo(f"The schema was upgraded from version {before} to {now}.")
