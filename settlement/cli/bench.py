"""`settlement bench`: a whole settlement, file to committed ledger, beside the bare COPY of the same fills; recalculating; a what-if; a cap."""

from __future__ import annotations

from typing import Annotated

import typer

from settlement.cli.app import app

bench_app = typer.Typer(invoke_without_command=True)
app.add_typer(bench_app, name="bench")

Fills = Annotated[int, typer.Option(help="How many fills.", min=1)]
Seed = Annotated[int, typer.Option(help="The same seed gives the same fills.")]


@bench_app.callback()
def bench(
    context: typer.Context,
    *,
    fills: Fills = 1_000_000,
    hours: Annotated[int, typer.Option(help="Over how many windows.", min=1)] = 1,
    seed: Seed = 1,
) -> None:
    """Measure how long it takes from a CSV file of generated fills to lines, ledger and payouts.

    Runs on a PostgreSQL of its own that is made for it and removed afterwards. The yardstick is the COPY of the same
    fills, encoded and sorted by the key beforehand, into one empty table with that key; it is taken before and after,
    in the same run. The last line is a JSON object.
    """
    if context.invoked_subcommand is not None:
        return
    import orjson

    from settlement.bench.settling import measure

    measured = measure(fills=fills, hours=hours, seed=seed, say=typer.echo)
    typer.echo(orjson.dumps(measured).decode())


@bench_app.command()
def recalculate(
    *,
    windows: Annotated[int, typer.Option(help="Over how many windows.", min=1)] = 720,
    fills: Fills = 1_000_000,
    seed: Seed = 1,
) -> None:
    """Measure how long it takes to recalculate a settled month in which nearly every line changes.

    Runs on a PostgreSQL of its own as well. The same month's settling, in the same run, is the yardstick of planning and of
    posting. The same recalculation once more changes nothing. The last line is a JSON object.
    """
    import orjson

    from settlement.bench.recalculating import measure

    measured = measure(fills=fills, windows=windows, seed=seed, say=typer.echo)
    typer.echo(orjson.dumps(measured).decode())


@bench_app.command(name="what-if")
def what_if(
    *,
    windows: Annotated[int, typer.Option(help="Over how many windows.", min=1)] = 720,
    fills: Fills = 1_000_000,
    seed: Seed = 1,
) -> None:
    """Measure how long a what-if over a settled month takes, and that it comes to what settling really comes to.

    Runs on a PostgreSQL of its own as well. The same month's settling, in the same run, is the yardstick. The last line is
    a JSON object.
    """
    import orjson

    from settlement.bench.simulating import measure

    measured = measure(fills=fills, windows=windows, seed=seed, say=typer.echo)
    typer.echo(orjson.dumps(measured).decode())


@bench_app.command()
def cap(
    *,
    windows: Annotated[int, typer.Option(help="Over how many windows.", min=1)] = 720,
    fills: Fills = 1_000_000,
    amount: Annotated[str, typer.Option(help="What a client may earn in a month, in USDT.")] = "100",
    seed: Seed = 1,
) -> None:
    """Measure how long it takes to settle a month in which clients reach their monthly cap.

    Runs on PostgreSQL servers of its own as well. The same month without a cap, in the same run, is the yardstick. The last
    line is a JSON object.
    """
    import orjson

    from settlement.bench.capping import measure

    measured = measure(fills=fills, windows=windows, seed=seed, amount=amount, say=typer.echo)
    typer.echo(orjson.dumps(measured).decode())
