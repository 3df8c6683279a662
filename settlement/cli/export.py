"""`settlement export`: the books as they stand, or stood, as CSV, JSON or Parquet."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, cast

import typer

from settlement.cli.app import app
from settlement.cli.output import write_file

if TYPE_CHECKING:
    from settlement.reports.exports import Selection

WHATS = ("lines", "shares", "entries", "balances", "payouts", "windows", "tiers")
FORMATS = ("csv", "json", "parquet")


@app.command(name="export")
def export_command(  # noqa: PLR0913 - one parameter per option of the command
    what: Annotated[str, typer.Argument(metavar="WHAT", help=f"One of: {', '.join(WHATS)}.")],
    *,
    file_format: Annotated[str, typer.Option("--format", help=f"One of: {', '.join(FORMATS)}.")] = "csv",
    start: Annotated[str | None, typer.Option("--from", help="First window: RFC 3339.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="End of the windows, itself left out.")] = None,
    broker: Annotated[
        str | None, typer.Option(help="Lines and tiers of this broker's tree; of the rest what is its own.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="As everything stood at this recorded time: RFC 3339.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of standard output.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
) -> None:
    """Write lines, shares, entries, balances, payouts, windows or tiers as they stand now, or stood as of a recorded time."""
    if what not in WHATS:
        raise typer.BadParameter(f"{what!r} is not one of {', '.join(WHATS)}", param_hint="WHAT")
    file_format = "json" if as_json else file_format
    if file_format not in FORMATS:
        raise typer.BadParameter(f"{file_format!r} is not one of {', '.join(FORMATS)}", param_hint="--format")
    from settlement.cli.times import parse_time
    from settlement.reports.exports import Selection

    selection = Selection(
        start=parse_time(start, option="--from") if start else None,
        end=parse_time(end, option="--to") if end else None,
        broker=broker,
        as_of=parse_time(as_of, option="--as-of") if as_of else None,
    )
    if selection.start and selection.end and selection.start > selection.end:
        raise typer.BadParameter(f"{start} is after --to {end}", param_hint="--from")
    if output is not None:
        write_file(output, lambda sink: _write(what, file_format, selection, sink))
    elif file_format == "parquet":
        _spooled(what, selection)
    else:
        _write(what, file_format, selection, sys.stdout.buffer)


def _write(what: str, file_format: str, selection: Selection, sink: IO[bytes]) -> None:
    from settlement.reports.as_of import await_recorded
    from settlement.reports.exports import export
    from settlement.runtime import open_database

    with open_database() as database:
        if selection.as_of is not None:
            await_recorded(database, selection.as_of)
        with database.transaction() as connection:
            export(connection, what, file_format=file_format, selection=selection, sink=sink)
    sink.flush()


def _spooled(what: str, selection: Selection) -> None:
    """Parquet needs a file it can measure, which a pipe is not."""
    if sys.stdout.isatty():
        raise typer.BadParameter("Parquet is not for a terminal: give -o FILE", param_hint="--format")
    with tempfile.TemporaryFile() as spool:
        sink = cast("IO[bytes]", spool)
        _write(what, "parquet", selection, sink)
        sink.seek(0)
        shutil.copyfileobj(sink, sys.stdout.buffer)
        sys.stdout.buffer.flush()
