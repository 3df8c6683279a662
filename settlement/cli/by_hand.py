"""What the commands that change the registry by hand have in common: who, why, since when, and what they print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from settlement.cli.loading import tell_marked
from settlement.cli.output import print_json
from settlement.cli.times import parse_time

if TYPE_CHECKING:
    from settlement.pipeline.registry_by_hand import ChangeReport, HandAct
    from settlement.program.registry_changes import Verb

Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the audit log.")]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who decides; the user of this process if not given.")]
Correction = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Why the past of settled windows changes; recorded with the load.")
]
From = Annotated[str | None, typer.Option("--from", metavar="T", help="From when on; now if not given.")]
To = Annotated[str | None, typer.Option("--to", metavar="T", help="Until when; without an end if not given.")]
At = Annotated[str | None, typer.Option("--at", metavar="T", help="The end; now if not given.")]
ListedAt = Annotated[str | None, typer.Option("--at", metavar="T", help="As it stood then; now if not given.")]
Every = Annotated[bool, typer.Option("--all", help="Every row that stands: also those that ended or begin later.")]
OfBroker = Annotated[str | None, typer.Option("--broker", metavar="BROKER", help="Only those of this broker.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def moment(given: str | None, *, option: str) -> datetime:
    """The time that was given, or now."""
    return parse_time(given, option=option) if given else datetime.now(UTC)


def hand_act(by: str | None, reason: str, correction: str | None = None) -> HandAct:
    """Who and why; an empty reason is wrong usage."""
    for option, text in (("--reason", reason), ("--correction", correction)):
        if text is not None and not text.strip():
            raise typer.BadParameter("say why", param_hint=option)
    from settlement.pipeline.load_report import current_user
    from settlement.pipeline.registry_by_hand import HandAct

    return HandAct(by=by or current_user(), reason=reason.strip(), correction=correction)


def given_values(values: Mapping[str, str | None], *, ends: str | None = None) -> dict[str, str]:
    """The columns for which an option was given; `ends` is that of the row, if it was."""
    found = {name: value.strip() for name, value in values.items() if value is not None}
    return found | ({"effective_to": parse_time(ends, option="--to").isoformat()} if ends else {})


def change(  # noqa: PLR0913 - what is changed, since when, by whom, and how it is printed
    file: str,
    verb: Verb,
    key: Mapping[str, str],
    *,
    at: datetime,
    given: Mapping[str, str],
    act: HandAct,
    as_json: bool,
) -> None:
    """Makes one change and prints what it did; `set` without anything to change is wrong usage."""
    if verb == "set" and not given:
        raise typer.BadParameter("give at least one option that says what changes")
    from settlement.pipeline.registry_by_hand import change_registry
    from settlement.program.registry_changes import Change
    from settlement.runtime import open_database

    asked = Change(file=file, verb=verb, key=key, at=at, given=given)
    with open_database() as database:
        report = change_registry(database, asked, act=act)
    tell(report, as_json=as_json)


def tell(report: ChangeReport, *, as_json: bool) -> None:
    """What a change did: the columns that differ, and what follows from it."""
    if as_json:
        from settlement.reports.plain_text import plain

        print_json(plain(asdict(report)))
        return
    if report.load_id is None:
        typer.echo(f"{report.act} {report.subject}: nothing new")
        return
    typer.echo(f"{report.act} {report.subject}: recorded as load {report.load_id}")
    before, after = report.before or {}, report.after or {}
    for name, value in after.items():
        if value != before.get(name, ""):
            typer.echo(f"  {name}: {before[name] or '-'} -> {value or '-'}" if before else f"  {name}: {value}")
    if report.takes_over is not None:
        until = report.takes_over.isoformat().replace("+00:00", "Z")
        typer.echo(f"warning: a row that begins at {until} takes over then, as before", err=True)
    tell_marked(report.windows_marked)


def list_rows(file: str, *, matching: Mapping[str, str | None], at: str | None, every: bool, as_json: bool) -> None:
    """Prints the rows of a registry file, as the file would have them."""
    if every and at:
        raise typer.BadParameter("--all is every row; leave --at away", param_hint="--at")
    from settlement.runtime import open_database
    from settlement.store.registry_rows import listed

    wanted = {name: value for name, value in matching.items() if value is not None}
    instant = None if every else moment(at, option="--at")
    with open_database() as database, database.transaction() as connection:
        rows = listed(connection, file, at=instant, matching=wanted)
    if as_json:
        print_json(rows)
    elif rows:
        shown = [name for name in rows[0] if any(row[name] for row in rows)]
        print_table(shown, [[row[name] or "-" for name in shown] for row in rows])
    else:
        typer.echo("there are none")


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Whole values in columns, two spaces apart, however wide that is; columns `right` end at the right."""
    lines = [titles, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    for line in lines:
        cells: list[Any] = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        typer.echo("  ".join(cells).rstrip())
