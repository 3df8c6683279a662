"""`settlement bench`: a whole settlement, file to committed ledger, beside the bare COPY of the same fills."""

from __future__ import annotations

from typing import Annotated

import typer

from settlement.cli.app import app


@app.command()
def bench(
    *,
    fills: Annotated[int, typer.Option(help="How many fills.", min=1)] = 1_000_000,
    hours: Annotated[int, typer.Option(help="Over how many windows.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same fills.")] = 1,
) -> None:
    """Measure how long it takes from a CSV file of generated fills to lines, ledger and payouts.

    Runs on a PostgreSQL of its own that is made for it and removed afterwards. The yardstick is the COPY of the same
    fills, encoded and sorted by the key beforehand, into one empty table with that key; it is taken before and after,
    in the same run. The last line is a JSON object.
    """
    import orjson

    from settlement.bench import measure

    measured = measure(fills=fills, hours=hours, seed=seed, say=typer.echo)
    typer.echo(orjson.dumps(measured).decode())
