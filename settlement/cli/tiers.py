"""`settlement tiers`: monthly reviews, what gave a broker its tier, overrides, and where each root is going."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from settlement.cli.app import app
from settlement.cli.by_hand import AsJson, By, Correction, From, Reason, To, hand_act, moment, tell
from settlement.cli.times import parse_time

if TYPE_CHECKING:
    from settlement.pipeline.registry_by_hand import ChangeReport

tiers_app = typer.Typer(help="Reviews of tiers, overrides, and where each root is going.", no_args_is_help=True)
app.add_typer(tiers_app, name="tiers")

Broker = Annotated[str, typer.Argument(metavar="BROKER", help="The broker; of one in a tree, the root's tier counts.")]


@tiers_app.command()
def review(
    *,
    month: Annotated[
        str | None,
        typer.Option(
            metavar="YYYY-MM",
            help="The month that is reviewed: the review of 2026-10 takes effect on 2026-11-01. If left out: the last one"
            " that has ended.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would come out.")] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also while windows are not settled or lines pending; that is recorded.")
    ] = False,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Review each root's tier by a month's volume and clients; a review that stands is left alone."""
    from settlement.cli.output import print_json
    from settlement.cli.review_words import as_document, in_words
    from settlement.pipeline.load_report import current_user
    from settlement.pipeline.review import review_month
    from settlement.runtime import open_database

    now = datetime.now(UTC)
    asked = _month(month) if month else _last_month(now)
    with open_database() as database:
        reviewed = review_month(database, asked, by=by or current_user(), now=now, anyway=anyway, dry_run=dry_run)
    if as_json:
        print_json(as_document(reviewed, dry_run=dry_run))
        return
    for line in in_words(reviewed, dry_run=dry_run):
        typer.echo(line)


@tiers_app.command()
def explain(
    broker: Broker,
    *,
    at: Annotated[str | None, typer.Option("--at", metavar="T", help="The instant; now if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say which tier a broker has at an instant, where it comes from, and what that came from."""
    from settlement.cli.output import print_json
    from settlement.reports.plain_text import plain
    from settlement.reports.tier_explanation import explain_tier, in_words
    from settlement.runtime import open_database

    with open_database() as database, database.transaction() as connection:
        document = explain_tier(connection, broker, at=moment(at, option="--at"))
    if as_json:
        print_json(plain(document))
        return
    for line in in_words(document):
        typer.echo(line)


@tiers_app.command()
def override(  # noqa: PLR0913 - one parameter per option of the command
    broker: Annotated[str, typer.Argument(metavar="BROKER", help="A root broker.")],
    tier: Annotated[str, typer.Argument(metavar="TIER", help="A tier of the terms that are in force then.")],
    *,
    start: From = None,
    end: To = None,
    reason: Reason,
    by: By = None,
    correction: Correction = None,
    as_json: AsJson = False,
) -> None:
    """Give a root a tier that beats reviews while it is in force; the same --from again changes it or gives it an end."""
    from settlement.pipeline.override_tier import TierOverride, override_tier
    from settlement.runtime import open_database

    act = hand_act(by, reason, correction)
    ends = parse_time(end, option="--to") if end else None
    asked = TierOverride(broker_id=broker, tier=tier, begins=moment(start, option="--from"), ends=ends)
    with open_database() as database:
        report = override_tier(database, asked, act=act)
    tell(report, as_json=as_json)
    _warn_of_earlier(report)


@tiers_app.command()
def track(
    broker: Annotated[str | None, typer.Argument(metavar="[BROKER]", help="A root broker; all if not given.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show each root's last 30 days and month so far, the tier of its next review, and the month's commission."""
    from settlement.cli.output import print_json
    from settlement.reports.tracking import track as track_roots
    from settlement.reports.tracking_words import as_document, in_words
    from settlement.runtime import open_database

    with open_database() as database, database.transaction() as connection:
        tracks = track_roots(connection, now=datetime.now(UTC), broker_id=broker)
    if as_json:
        print_json(as_document(tracks))
        return
    for line in (line for one in tracks for line in in_words(one)):
        typer.echo(line)
    if not tracks:
        typer.echo("there is nothing to track: it takes a root broker, terms, and a settled window")


def _month(text: str) -> datetime:
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text):
        raise typer.BadParameter(f"{text!r} is not a month; write it like 2026-10", param_hint="--month")
    return datetime.fromisoformat(f"{text}-01T00:00:00Z")


def _last_month(now: datetime) -> datetime:
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first - timedelta(days=1)).replace(day=1)


def _warn_of_earlier(report: ChangeReport) -> None:
    """An ended row is not replaced by an older one: what was in force before does not come back."""
    before, after = report.before or {}, report.after or {}
    ends, earlier = after.get("effective_to"), before.get("effective_to", "")
    same = before.get("effective_from") == after.get("effective_from")
    if before and ends and not same and (not earlier or earlier > ends):
        typer.echo(
            f"warning: the override to {before['tier']} does not come back at {ends}; from then on reviews count",
            err=True,
        )
