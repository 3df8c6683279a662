"""`settlement registry|instruments|prices`: bring facts in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from settlement.cli.app import app
from settlement.cli.loading import AsJson, By, Correction, act_of, tell_marked
from settlement.cli.output import print_json
from settlement.cli.times import parse_time

if TYPE_CHECKING:
    from settlement.pipeline.load_report import LoadReport

REASONS_SHOWN_LIMIT = 1000

registry_app = typer.Typer(
    help="Brokers, their codes and clients, VIP levels, fee rates, tiers, overrides.", no_args_is_help=True
)
instruments_app = typer.Typer(help="Contract values and currencies of what is traded.", no_args_is_help=True)
prices_app = typer.Typer(help="What currencies were worth in USDT.", no_args_is_help=True)
app.add_typer(registry_app, name="registry")
app.add_typer(instruments_app, name="instruments")
app.add_typer(prices_app, name="prices")


@registry_app.command(name="load")
def load_registry_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The directory that holds the CSV files.")],
    *,
    correction: Correction = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Load brokers.csv, codes.csv, clients.csv, vip_levels.csv, fee_rates.csv, tiers.csv, overrides.csv: those there are.

    Rows are added; a row with the key and effective_from of a standing one and other content replaces it, and both
    stay readable. Rows that are absent stay. Loading the same again changes nothing.
    """
    from settlement.pipeline.load_registry import load_registry
    from settlement.runtime import open_database

    with open_database() as database:
        report = load_registry(database, directory, act=act_of(by, correction))
    _tell(report, as_json=as_json)


@instruments_app.command(name="load")
def load_instruments_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An OKX public/instruments envelope as recorded.")],
    *,
    effective_from: Annotated[
        str | None, typer.Option(metavar="T", help="From when it holds: RFC 3339 or epoch milliseconds.")
    ] = None,
    correction: Correction = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Load a snapshot of instruments.

    Without --effective-from, an instrument seen for the first time holds for all time before, and changed content holds
    from the moment of loading. Load several snapshots in the order of their times.
    """
    since = _instant(effective_from)
    from settlement.errors import InputRefused
    from settlement.pipeline.load_instruments import load_instruments
    from settlement.runtime import open_database
    from settlement.venues.okx.instruments import parse_instruments

    if not file.is_file():
        raise InputRefused("no such file", where=str(file), mend="give an OKX public/instruments envelope")
    instruments = parse_instruments(file.read_bytes(), source=str(file))
    with open_database() as database:
        report = load_instruments(database, instruments, act=act_of(by, correction), effective_from=since)
    _tell(report, as_json=as_json)


@prices_app.command(name="load")
def load_prices_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV: currency,ts,price_usdt[,source].")],
    *,
    correction: Correction = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Load prices in USDT; the same currency, ts and price again is no change."""
    from settlement.pipeline.load_prices import load_prices
    from settlement.runtime import open_database

    with open_database() as database, _rows_shown(str(file)) as on_rows:
        report = load_prices(database, file, act=act_of(by, correction), on_rows=on_rows)
    _tell(report, as_json=as_json)


def _instant(value: str | None) -> datetime | None:
    """A time as every command takes it, or epoch milliseconds as the files do."""
    if value is None:
        return None
    import pyarrow as pa

    from schemas.text_columns import parse_times

    instant: datetime | None = parse_times(pa.array([value]))[0][0].as_py()
    return instant or parse_time(value, option="--effective-from")


@contextmanager
def _rows_shown(file: str) -> Iterator[Callable[[int], None]]:
    """A line on a terminal that counts the rows; nothing where standard error is not one."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}  {task.completed:,} rows"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(file, total=None)
        yield lambda rows: progress.update(task, completed=rows)


def _tell(report: LoadReport, *, as_json: bool) -> None:
    for warning in report.warnings:
        typer.echo(f"warning: {warning}", err=True)
    for row in report.bad_rows[:REASONS_SHOWN_LIMIT]:
        typer.echo(f"quarantined: {row.file} row {row.row_number}: {row.reason}", err=True)
    if len(report.bad_rows) > REASONS_SHOWN_LIMIT:
        typer.echo(f"quarantined: {len(report.bad_rows) - REASONS_SHOWN_LIMIT} more rows", err=True)
    if as_json:
        print_json(report.as_json())
        return
    for file, counts in report.files.items():
        told = "  ".join(f"{name} {number}" for name, number in vars(counts).items())
        typer.echo(f"{file}: {told}")
    if report.load_id is None:
        typer.echo("nothing new")
    tell_marked(report.windows_marked)
