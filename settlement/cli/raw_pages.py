"""`settlement raw-pages`: the venue's answers as they came, for replay."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from settlement.cli.app import app
from settlement.cli.times import parse_time

BEGINNING = "1970-01-01"


@app.command()
def raw_pages(
    account: Annotated[str, typer.Argument(metavar="UID", help="Whose pages.")],
    *,
    start: Annotated[str, typer.Option("--from", metavar="T", help="Fetched from here on.")] = BEGINNING,
    end: Annotated[str | None, typer.Option("--to", metavar="T", help="Fetched before; now if not given.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to; standard output if not given.")
    ] = None,
) -> None:
    """Write the kept answers of an account as JSON lines, an envelope a line, in the order in which they came.

    `settlement ingest FILE --account UID` takes them again, and `settlement sandbox --replay FILE --account UID` serves them.
    """
    import pyarrow as pa

    from settlement import runtime
    from settlement.errors import Refused
    from settlement.store import harvests
    from settlement.venues.okx.parse import VENUE

    begins = parse_time(start, option="--from")
    ends = parse_time(end, option="--to") if end else datetime.now(UTC)
    codec = pa.Codec("zstd")
    with runtime.open_database() as database, database.transaction() as connection:
        bodies = harvests.raw_bodies(connection, venue=VENUE, account=account, start=begins, end=ends)
        target = output.open("wb") if output else sys.stdout.buffer
        written = 0
        for size, body in bodies:
            # An answer may be spread over lines: a line each is what the readers take.
            whole = codec.decompress(body, decompressed_size=size, asbytes=True)
            target.write(whole.replace(b"\n", b" ") + b"\n")
            written += 1
        if output:
            target.close()
    if not written:
        raise Refused("no pages are kept", where=f"{VENUE} {account}", mend="settlement coverage shows what was pulled")
    typer.echo(f"{written} pages", err=True)
