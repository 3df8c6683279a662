"""`settlement pull` and `settlement backfill`: fills from a venue, by the code that the workers' tasks call."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from settlement.cli.app import app
from settlement.cli.ingest import COUNTS
from settlement.cli.output import print_json
from settlement.cli.times import parse_time
from settlement.errors import SettlementError

if TYPE_CHECKING:
    from settlement.pipeline.harvest import HarvestReport, PlanOf
    from settlement.pipeline.venue import Page

FAILURES_SHOWN = 20

From = Annotated[str, typer.Option("--from", metavar="T", help="Beginning of the range, RFC 3339.")]
To = Annotated[str, typer.Option("--to", metavar="T", help="End of the range (not included), RFC 3339.")]
Accounts = Annotated[
    list[str] | None, typer.Option("--account", metavar="UID", help="Only this account; may be repeated.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")]


@app.command()
def pull(start: From, end: To, *, account: Accounts = None, as_json: AsJson = False) -> None:
    """Pull the fills of a range from OKX now, in this process; what was pulled before is read again."""
    from settlement.pipeline import pulling

    begins, ends = _range(start, end)
    now = datetime.now(UTC)
    _tell(_pull(account, pulling.requested(begins, ends, now=now), now=now), as_json=as_json)


@app.command()
def backfill(start: From, end: To, *, account: Accounts = None, as_json: AsJson = False) -> None:
    """Pull what of a range was never pulled, day by day; ended early, the same command goes on where it was."""
    from settlement.pipeline import pulling
    from settlement.venues.okx.parse import VENUE

    begins, ends = _range(start, end)
    now = datetime.now(UTC)
    _tell(_pull(account, pulling.missing(begins, ends, venue=VENUE, now=now), now=now), as_json=as_json)


def _pull(accounts: list[str] | None, plan: PlanOf, *, now: datetime) -> HarvestReport:
    from settlement import runtime
    from settlement.pipeline.load_report import current_user

    with runtime.open_database() as database, _pages_shown() as on_page:
        return runtime.puller(database, now=now, loaded_by=current_user(), on_page=on_page).pull(accounts, plan)


def _range(start: str, end: str) -> tuple[datetime, datetime]:
    begins, ends = parse_time(start, option="--from"), parse_time(end, option="--to")
    if ends <= begins:
        raise typer.BadParameter(f"--to {ends.isoformat()} is not after --from {begins.isoformat()}")
    from settlement.venues.okx.fills import KEPT

    if begins < datetime.now(UTC) - KEPT:
        typer.echo(
            f"OKX serves fills of the last {KEPT.days} days: of what is older, an export has to be ingested",
            err=True,
        )
    return begins, ends


def _tell(report: HarvestReport, *, as_json: bool) -> None:
    """The counts as `ingest` prints them; each failure on standard error, and 1 as the exit code if there is one."""
    for failure in report.failures[:FAILURES_SHOWN]:
        typer.echo(f"okx {failure.account} {failure.instrument_type}: {failure.error}", err=True)
    if len(report.failures) > FAILURES_SHOWN:
        typer.echo(f"and {len(report.failures) - FAILURES_SHOWN} more: settlement coverage", err=True)
    if report.skipped:
        typer.echo(f"{len(report.skipped)} accounts are being pulled by somebody else right now", err=True)
    for reason in report.counts.first_reasons:
        typer.echo(f"okx: {reason}", err=True)
    counts = {name: getattr(report.counts, name) for name in COUNTS}
    if as_json:
        print_json({**counts, "accounts": report.accounts, "pages": report.pages, "failed": len(report.failures)})
    else:
        typer.echo(", ".join(f"{counts[name]} {name}" for name in COUNTS))
    if report.failures:
        pulls = "1 pull" if len(report.failures) == 1 else f"{len(report.failures)} pulls"
        raise _Incomplete(f"{pulls} ended early; what was stored stays: run the same command again")


class _Incomplete(SettlementError):
    """Some accounts could not be pulled to the end."""

    retry_helps = True


@contextmanager
def _pages_shown() -> Iterator[Callable[[Page], None]]:
    """A line on a terminal that counts pages and fills and shows how far back the walk is."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("pulling  {task.completed:,} fills in {task.fields[pages]:,} requests"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("pulling", total=None, pages=0)
        pages = 0

        def shown(page: Page) -> None:
            nonlocal pages
            pages += 1
            progress.update(task, advance=page.rows, pages=pages)

        yield shown
