"""`settlement ingest`: take fills in from files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from settlement.cli.app import app
from settlement.cli.output import print_json

if TYPE_CHECKING:
    from settlement.pipeline.ingest import IngestReport
    from settlement.store.database import Database

COUNTS = ("read", "stored", "duplicate", "conflict", "quarantined")
FORMATS = ("auto", "csv", "parquet", "okx")

quarantine_app = typer.Typer(help="Rows that were put aside, with the reason.", no_args_is_help=True)
app.add_typer(quarantine_app, name="quarantine")


@app.command()
def ingest(  # noqa: PLR0913 - the options of the contract
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of fills.")],
    *,
    file_format: Annotated[str, typer.Option("--format", help="csv, parquet, okx or auto.")] = "auto",
    account: Annotated[str | None, typer.Option(metavar="UID", help="Whose an OKX file's fills are.")] = None,
    source: Annotated[str, typer.Option(metavar="NAME", help="Where the fills come from; kept with them.")] = "file",
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who takes them in; the user if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Store the fills of each FILE: canonical columns as CSV or Parquet, or OKX fills as recorded (JSON, JSON lines).

    Each file is taken in whole or not at all. Rows stored before count as duplicates; bad rows and rows with a stored
    key but other content are quarantined. A file that is refused does not keep the others out; the exit code is then 1.
    """
    from settlement.errors import Refused
    from settlement.runtime import open_database

    if file_format not in FORMATS:
        raise typer.BadParameter(f"--format: {file_format!r} is not one of {', '.join(FORMATS)}")
    reports: dict[str, IngestReport] = {}
    refusals: list[Refused] = []
    with open_database() as database:
        for path in files:
            try:
                reports[str(path)] = _ingest(
                    database, path, file_format=file_format, account=account, source=source, by=by
                )
            except Refused as refusal:
                refusals.append(refusal)
    _tell(reports, as_json=as_json)
    for refused in refusals:
        typer.echo(f"settlement: {refused}", err=True)
    if refusals:
        raise typer.Exit(1)


@quarantine_app.command(name="list")
def list_quarantine(
    *,
    limit: Annotated[int, typer.Option(help="The latest this many rows.", min=1)] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """List what was put aside, the latest first: file, row and reason."""
    from settlement.runtime import open_database
    from settlement.store.fills import list_quarantine as read_quarantine

    with open_database() as database, database.transaction() as connection:
        rows = read_quarantine(connection, limit=limit)
    if as_json:
        print_json([vars(row) for row in rows])
        return
    for row in rows:
        typer.echo(f"{row.file} row {row.row_number} ({row.kind}): {row.reason}")
    if not rows:
        typer.echo("nothing is in quarantine")


def _ingest(  # noqa: PLR0913 - the options of the contract
    database: Database, path: Path, *, file_format: str, account: str | None, source: str, by: str | None
) -> IngestReport:
    from settlement.pipeline.ingest import ingest as take_in
    from settlement.pipeline.load_report import current_user
    from settlement.venues.reading import FillFile

    with _progress_bar(path) as advance:
        return take_in(
            database,
            FillFile(path, file_format, account, advance),
            source=source,
            file=path.name,
            loaded_by=by or current_user(),
            now=datetime.now(UTC),
        )


@contextmanager
def _progress_bar(path: Path) -> Iterator[Callable[[int], None] | None]:
    """What to tell how many bytes have been read: a bar on standard error, or nothing where that is no terminal."""
    if not sys.stderr.isatty() or not path.is_file():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"taking in {path.name}", total=path.stat().st_size)
        yield lambda bytes_read: bar.update(task, completed=bytes_read)


def _tell(reports: dict[str, IngestReport], *, as_json: bool) -> None:
    counts = {path: {name: getattr(report, name) for name in COUNTS} for path, report in reports.items()}
    total = {name: sum(one[name] for one in counts.values()) for name in COUNTS}
    for path, report in reports.items():
        more = report.conflict + report.quarantined - len(report.first_reasons)
        rest = [f"and {more:,} more: settlement quarantine list"] if report.first_reasons and more > 0 else []
        for reason in (*report.first_reasons, *rest):
            print(f"{path}: {reason}", file=sys.stderr)  # noqa: T201 - said beside the counts
    if as_json:
        print_json({**total, "files": counts})
        return
    if len(counts) > 1:
        for path, one in counts.items():
            typer.echo(f"{path}: {_line(one)}")
    typer.echo(_line(total))


def _line(counts: dict[str, Any]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in COUNTS)
