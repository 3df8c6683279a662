"""`settlement rehearse`: an hour of many accounts pulled from the sandbox exchange, compared row by row and settled."""

from __future__ import annotations

from typing import Annotated

import typer

from settlement.cli.app import app


@app.command()
def rehearse(
    *,
    accounts: Annotated[int, typer.Option(help="How many accounts.", min=1)] = 200,
    fills: Annotated[int, typer.Option(help="How many fills an hour, of all accounts.", min=1)] = 40_000,
    faults: Annotated[float, typer.Option(help="The share of requests that go wrong.", min=0, max=0.5)] = 0.05,
    seed: Annotated[int, typer.Option(help="The same seed gives the same market.")] = 7,
) -> None:
    """Rehearse an hour against the sandbox exchange: pull as the schedule does, with faults, compare row by row, settle.

    Runs on servers of its own, which are made for it and removed afterwards. The last line is a JSON object: seconds of
    each pull, the peak of its memory, requests over a limit (there must be none), and the ratio of the last pull to reading
    the same pages without storing them.
    """
    import orjson

    from settlement.rehearsal import rehearse as rehearsed

    measured = rehearsed(number=accounts, fills=fills, faults=faults, seed=seed, say=typer.echo)
    typer.echo(orjson.dumps(measured).decode())
