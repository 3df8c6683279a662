"""`settlement sample`: writes the sample program and its day of fills, to look at and to try things on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from settlement.cli.app import app


@app.command()
def sample(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made if it is not there.")],
    *,
    seed: Annotated[int, typer.Option(help="The same seed gives the same content.", min=0)] = 20260302,
    fills: Annotated[int, typer.Option(help="How many different fills.", min=1)] = 24_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the paths as JSON.")] = False,
) -> None:
    """Write a made-up broker program: registry, terms, instruments, prices and a day of fills."""
    import orjson

    from settlement.sample.world import write_sample

    written = write_sample(directory, seed=seed, fills=fills)
    if as_json:
        typer.echo(orjson.dumps(written, default=str))
        return
    typer.echo(f"registry     {written.registry}")
    for path in written.terms:
        typer.echo(f"terms        {path}")
    typer.echo(f"instruments  {written.instruments}")
    typer.echo(f"prices       {written.prices}")
    for source, paths in written.fills.items():
        for path in paths:
            typer.echo(f"fills        {path}  (source {source})")
