"""`settlement coverage`: what was pulled of each account, to when, the gaps, the last error and the lag."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from settlement.cli.app import app
from settlement.cli.output import console, print_json
from settlement.cli.times import HOUR, parse_time
from settlement.errors import Refused

if TYPE_CHECKING:
    from settlement.store.coverage import CoveredAccount

DEFAULT_HOURS = 24


@app.command()
def coverage(
    *,
    start: Annotated[
        str | None, typer.Option("--from", metavar="T", help="First hour; a day ago if not given.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="T", help="End (not included); now if not given.")] = None,
    account: Annotated[
        list[str] | None, typer.Option("--account", metavar="UID", help="Only this account; may be repeated.")
    ] = None,
    gaps: Annotated[bool, typer.Option("--gaps", help="Only accounts with a gap or an error.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every hour of every account as JSON.")] = False,
) -> None:
    """Show per account and hour what was pulled, the gaps, the last error and the lag."""
    from settlement import runtime
    from settlement.store import coverage as store

    now = datetime.now(UTC)
    last = parse_time(end, option="--to") if end else now.replace(minute=0, second=0, microsecond=0)
    first = parse_time(start, option="--from") if start else last - DEFAULT_HOURS * HOUR
    for option, moment in (("--from", first), ("--to", last)):
        if moment != moment.replace(minute=0, second=0, microsecond=0):
            raise typer.BadParameter(f"{option}: {moment.isoformat()} is not on the hour")
    if last <= first:
        raise typer.BadParameter(f"--to {last.isoformat()} is not after --from {first.isoformat()}")
    with runtime.open_database() as database, database.transaction() as connection:
        rows = store.coverage(connection, start=first, end=last, accounts=account)
    _refuse_unknown(account or (), rows)
    shown = [row for row in rows if not gaps or row.gaps or row.error]
    if as_json:
        print_json([_as_json(row, first=first, last=last, now=now) for row in shown])
    elif not rows:
        typer.echo("no account is harvested: settlement accounts add --from-json FILE")
    else:
        _print(shown, first=first, last=last, now=now)


def _refuse_unknown(wanted: Sequence[str], rows: Sequence[CoveredAccount]) -> None:
    if missing := sorted(set(wanted) - {row.account for row in rows}):
        mend = "settlement accounts list shows which there are"
        raise Refused("no such client account", where=missing[0], mend=mend)


def _as_json(row: CoveredAccount, *, first: datetime, last: datetime, now: datetime) -> dict[str, Any]:
    missing, early = set(row.gaps), set(row.early)
    hours = [first + number * HOUR for number in range((last - first) // HOUR)]
    expected = {hour for hour in hours if hour + HOUR > row.pull_from}
    state = {hour: "gap" if hour in missing else "complete" if hour in expected | early else "before" for hour in hours}
    told = {name: value for name, value in vars(row).items() if name != "early"}
    told |= {"complete_to": None, "lag_seconds": None}
    if row.is_begun:
        told |= {"complete_to": row.complete_to, "lag_seconds": int((now - row.complete_to).total_seconds())}
    return told | {"hours": [{"hour": hour, "state": state[hour]} for hour in hours]}


def _print(rows: list[CoveredAccount], *, first: datetime, last: datetime, now: datetime) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("account", "status", "complete to", "lag", "hours missing", "last error"):
        table.add_column(name, overflow="fold", no_wrap=name not in {"hours missing", "last error"})
    for row in rows:
        lag = timedelta(seconds=max(0, int((now - row.complete_to).total_seconds())))
        table.add_row(
            f"{row.venue} {row.account}",
            row.status,
            f"{row.complete_to:%Y-%m-%d %H:%M:%S}" if row.is_begun else "nothing yet",
            str(lag) if row.is_begun else "",
            _missing(row, first=first, last=last),
            f"{row.error} ({row.failures} in a row, {row.error_at:%H:%M:%S})" if row.error else "",
        )
    console().print(table)


def _missing(row: CoveredAccount, *, first: datetime, last: datetime) -> str:
    """The gaps; and how many hours are neither pulled nor missed, for nobody has asked for them."""
    hours = (last - first) // HOUR
    before = sum(first + number * HOUR + HOUR <= row.pull_from for number in range(hours)) - len(row.early)
    told = []
    if hours > before:
        told.append(_gaps(row) or f"none of {hours - before}")
    if before:
        told.append(f"{before} of before {row.pull_from:%Y-%m-%d %H:%M} not pulled")
    return ", ".join(told)


def _gaps(row: CoveredAccount) -> str:
    """The missing hours, neighbours joined: 2026-03-02 04:00-07:00."""
    stretches: list[list[datetime]] = []
    for hour in row.gaps:
        if stretches and stretches[-1][1] == hour:
            stretches[-1][1] = hour + HOUR
        else:
            stretches.append([hour, hour + HOUR])
    return ", ".join(f"{begins:%Y-%m-%d %H:%M} to {ends:%m-%d %H:%M}" for begins, ends in stretches)
