"""`settlement registry|terms|instruments|prices`: bring facts in, and look at the terms."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from settlement.cli.app import app
from settlement.cli.output import print_json
from settlement.cli.times import parse_time

if TYPE_CHECKING:
    from settlement.pipeline.load_report import Act, LoadReport
    from settlement.pipeline.load_terms import TermsReport
    from settlement.store.terms import Version

REASONS_SHOWN_LIMIT = 1000

registry_app = typer.Typer(help="Brokers, their codes and clients, VIP levels, fee rates, tiers.", no_args_is_help=True)
terms_app = typer.Typer(help="Versions of the program terms.", no_args_is_help=True)
instruments_app = typer.Typer(help="Contract values and currencies of what is traded.", no_args_is_help=True)
prices_app = typer.Typer(help="What currencies were worth in USDT.", no_args_is_help=True)
app.add_typer(registry_app, name="registry")
app.add_typer(terms_app, name="terms")
app.add_typer(instruments_app, name="instruments")
app.add_typer(prices_app, name="prices")

Correction = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Why the past of settled windows changes; recorded with the load.")
]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who loads; the user of this process if not given.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


@registry_app.command(name="load")
def load_registry_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The directory that holds the CSV files.")],
    *,
    correction: Correction = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Load brokers.csv, codes.csv, clients.csv, vip_levels.csv, fee_rates.csv and tiers.csv, those that are there.

    Rows are added; a row with the key and effective_from of a standing one and other content replaces it, and both
    stay readable. Rows that are absent stay. Loading the same again changes nothing.
    """
    from settlement.pipeline.load_registry import load_registry
    from settlement.runtime import open_database

    with open_database() as database:
        report = load_registry(database, directory, act=_act(by, correction))
    _tell(report, as_json=as_json)


@terms_app.command(name="load")
def load_terms_command(
    file: Annotated[str, typer.Argument(metavar="FILE", help='A TOML file, or "guide" or "okx-2022", which ship.')],
    *,
    correction: Correction = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Load one version of the program terms, in force from its effective_from until the next version."""
    from settlement.pipeline.load_terms import load_terms, read_document
    from settlement.runtime import open_database

    document, source = read_document(file)
    with open_database() as database:
        report = load_terms(database, document, source=source, act=_act(by, correction))
    _tell_terms(report, as_json=as_json)


@terms_app.command(name="list")
def list_terms_command(*, as_json: AsJson = False) -> None:
    """List the versions that stand, the earliest first."""
    from settlement.pipeline.load_terms import standing_versions
    from settlement.runtime import open_database

    with open_database() as database:
        versions = standing_versions(database)
    if as_json:
        print_json([_version(version) for version in versions])
        return
    if not versions:
        typer.echo("no terms are loaded: settlement terms load FILE")
    for version in versions:
        why = f"  correction: {version.correction}" if version.correction else ""
        typer.echo(f"{version.terms_id:>4}  {version.name:<16} from {_written(version.effective_from)}{why}")


@terms_app.command(name="show")
def show_terms_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name or the number of a version, or a shipped one.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Print the document of one version; of several with the name, the latest."""
    from settlement.errors import Refused
    from settlement.pipeline.load_terms import preset_names, read_document, standing_versions
    from settlement.runtime import open_database

    with open_database() as database:
        versions = [version for version in standing_versions(database) if name in (version.name, str(version.terms_id))]
    if not versions and name not in preset_names():
        raise Refused("no such terms", where=name, mend="settlement terms list shows those that stand")
    document = versions[-1].document if versions else read_document(name)[0]
    if as_json:
        print_json((_version(versions[-1]) if versions else {"name": name}) | {"document": document})
    else:
        typer.echo(document, nl=False)


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
        report = load_instruments(database, instruments, act=_act(by, correction), effective_from=since)
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
        report = load_prices(database, file, act=_act(by, correction), on_rows=on_rows)
    _tell(report, as_json=as_json)


def _act(by: str | None, correction: str | None) -> Act:
    if correction is not None and not correction.strip():
        raise typer.BadParameter("say why the past changes", param_hint="--correction")
    from settlement.pipeline.load_report import Act, current_user

    return Act(loaded_by=by or current_user(), correction=correction)


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
    _tell_marked(report.windows_marked)


def _tell_terms(report: TermsReport, *, as_json: bool) -> None:
    since = _written(report.terms.effective_from)
    if as_json:
        told = {"terms_id": report.terms.terms_id, "name": report.terms.name, "effective_from": since}
        done = {"load_id": report.load_id, "replaced_terms_id": report.replaced_terms_id}
        print_json(told | done | {"windows_marked": report.windows_marked})
        return
    state = "stood already" if report.load_id is None else "loaded"
    typer.echo(f"terms {report.terms.name} (number {report.terms.terms_id}), in force from {since}: {state}")
    _tell_marked(report.windows_marked)


def _tell_marked(windows: int) -> None:
    if windows:
        typer.echo(f"{windows} settled windows hold pending lines: a supplementary run looks at them again")


def _version(version: Version) -> dict[str, Any]:
    values = vars(version) | {
        "effective_from": _written(version.effective_from),
        "loaded_at": _written(version.loaded_at),
    }
    del values["document"]
    return values


def _written(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
