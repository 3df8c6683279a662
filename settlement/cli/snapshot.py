"""`settlement snapshot`: what settlement needs from OKX beside fills, asked now by the code that the workers' tasks call."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from settlement.cli.app import app
from settlement.cli.output import print_json
from settlement.cli.times import parse_time

if TYPE_CHECKING:
    from settlement.pipeline.snapshot import SnapshotReport

KINDS = ("instruments", "prices", "levels", "eligibility")
FAILURES_SHOWN = 20


@app.command()
def snapshot(
    kinds: Annotated[list[str] | None, typer.Argument(metavar="[KIND...]", help=f"Of {', '.join(KINDS)}; all.")] = None,
    *,
    start: Annotated[
        str | None, typer.Option("--from", metavar="T", help="Prices: back-fill the hours from here on.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="T", help="Prices: up to here (not included).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reports as JSON.")] = False,
) -> None:
    """Ask OKX for instruments, index prices, the accounts' levels and fee rates, and rebate eligibility, and load them.

    Prices are those of now, and those of minutes where a stored fill needs one and none stands: of the last hours and of
    pending lines, or of --from --to.
    """
    from settlement import runtime
    from settlement.pipeline.load_report import current_user

    wanted = kinds or list(KINDS)
    if unknown := [kind for kind in wanted if kind not in KINDS]:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(KINDS)}")
    if (start is None) != (end is None):
        raise typer.BadParameter("--from and --to go together")
    period = (parse_time(start, option="--from"), parse_time(end, option="--to")) if start and end else None
    if period and period[1] <= period[0]:
        raise typer.BadParameter(f"--to {period[1].isoformat()} is not after --from {period[0].isoformat()}")
    with runtime.open_database() as database:
        observer = runtime.observer(database, now=datetime.now(UTC), loaded_by=current_user())
        jobs = {
            "instruments": lambda: {"instruments": observer.instruments()},
            "prices": lambda: {"prices": observer.prices(), "missing prices": observer.missing_prices(period)},
            "levels": lambda: {"levels": observer.levels()},
            "eligibility": lambda: {"eligibility": observer.eligibility()},
        }
        reports: dict[str, SnapshotReport] = {}
        for kind in wanted:
            reports |= jobs[kind]()
    if as_json:
        print_json({name: report.as_json() for name, report in reports.items()})
    else:
        _tell(reports)


def _tell(reports: dict[str, SnapshotReport]) -> None:
    for name, report in reports.items():
        typer.echo(f"{name}: {report.line()}")
        for subject, error in list(report.failed.items())[:FAILURES_SHOWN]:
            typer.echo(f"{name}: {subject}: {error}", err=True)
        for what in report.skipped:
            typer.echo(f"{name}: left out: {what}", err=True)
