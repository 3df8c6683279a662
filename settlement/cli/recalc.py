"""`settlement recalc`: plan, look at, approve, post or give up a recalculation of settled windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from settlement.cli.app import app

if TYPE_CHECKING:
    from settlement.store.database import Database

recalc_app = typer.Typer(help="Correct settled windows: plan, approve, apply.", no_args_is_help=True)
app.add_typer(recalc_app, name="recalc")

Plan = Annotated[int, typer.Argument(metavar="PLAN", help="The plan's id, as `recalc plan` printed it.")]
By = Annotated[str | None, typer.Option("--by", help="Who says so; the user of this process if left out.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@recalc_app.callback()
def recalc() -> None:
    """Correct settled windows: plan, approve, apply."""


@recalc_app.command(name="plan")
def plan_command(  # noqa: PLR0913 - one parameter per option of the command
    start: Annotated[str, typer.Option("--from", help="First window, RFC 3339, on the hour.")],
    end: Annotated[str, typer.Option("--to", help="End of the range (not included), RFC 3339, on the hour.")],
    reason: Annotated[str, typer.Option(help="Why the windows are to be recalculated; it stays with the plan.")],
    *,
    broker: Annotated[str | None, typer.Option(help="Only lines of this broker and of those below it.")] = None,
    re_review: Annotated[
        bool, typer.Option("--re-review", help="Include what follows where a past review would come out otherwise.")
    ] = False,
    to_workers: Annotated[
        bool, typer.Option("--to-workers", help="Only ask for it: the workers plan it, window by window.")
    ] = False,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Compute what settled windows would come to by what is known now, beside the books; prints the plan's id."""
    from settlement.cli.recalc_words import print_plan
    from settlement.cli.times import HOUR, parse_hours
    from settlement.pipeline import recalculate
    from settlement.pipeline.load_report import current_user
    from settlement.runtime import open_database

    windows = parse_hours(start, end)
    with open_database() as database:
        plan_id = recalculate.request(
            database,
            start=windows[0],
            end=windows[-1] + HOUR,
            broker=broker,
            reason=reason,
            by=by or current_user(),
            re_review=re_review,
        )
        if not to_workers:
            _plan_here(database, plan_id)
        print_plan(database, plan_id, as_json=as_json)


@recalc_app.command(name="list")
def list_command(*, as_json: AsJson = False) -> None:
    """List every plan, the latest first."""
    from dataclasses import asdict

    from settlement.cli.output import print_json
    from settlement.runtime import open_database
    from settlement.store.recalculations import list_plans

    with open_database() as database, database.transaction() as connection:
        plans = list_plans(connection)
    if as_json:
        print_json([asdict(plan) for plan in plans])
        return
    for plan in plans:
        windows = f"{plan.range_start:%Y-%m-%dT%H:%MZ} to {plan.range_end:%Y-%m-%dT%H:%MZ}"
        typer.echo(f"{plan.plan_id}  {plan.status:<9}  {windows}  {plan.planned_by}: {plan.reason}")
    typer.echo(f"{len(plans):,} plans")


@recalc_app.command(name="show")
def show_command(plan: Plan, *, as_json: AsJson = False) -> None:
    """Print a plan: the difference per payee and window, which lines move, and whether it can still be applied."""
    from settlement.cli.recalc_words import print_plan
    from settlement.runtime import open_database

    with open_database() as database:
        print_plan(database, plan, as_json=as_json)


@recalc_app.command(name="approve")
def approve_command(plan: Plan, *, by: By = None, as_json: AsJson = False) -> None:
    """Approve a plan; whoever planned it may not."""
    from settlement.cli.recalc_words import print_state
    from settlement.pipeline import recalculate
    from settlement.pipeline.load_report import current_user
    from settlement.runtime import open_database

    with open_database() as database:
        print_state(recalculate.approve(database, plan, by=by or current_user()), as_json=as_json)


@recalc_app.command(name="cancel")
def cancel_command(plan: Plan, *, by: By = None, as_json: AsJson = False) -> None:
    """Give a plan up, until it is being applied."""
    from settlement.cli.recalc_words import print_state
    from settlement.pipeline import recalculate
    from settlement.pipeline.load_report import current_user
    from settlement.runtime import open_database

    with open_database() as database:
        print_state(recalculate.cancel(database, plan, by=by or current_user()), as_json=as_json)


@recalc_app.command(name="apply")
def apply_command(
    plan: Plan,
    *,
    to_workers: Annotated[
        bool, typer.Option("--to-workers", help="Only open its runs: the workers post them, shard by shard.")
    ] = False,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Post an approved plan's differences; refused if anything it was planned from has changed. Goes on where it was left."""
    from datetime import UTC, datetime

    from settlement.cli.output import counting
    from settlement.cli.recalc_words import print_state
    from settlement.pipeline import recalculate
    from settlement.pipeline.load_report import current_user
    from settlement.runtime import open_database
    from settlement.store.recalculations import follower_of, plan_of

    who = by or current_user()
    with open_database() as database:
        if to_workers:
            recalculate.open_runs(database, plan, by=who)
        else:
            with counting("posting") as progress:
                recalculate.apply(database, plan, by=who, now=lambda: datetime.now(UTC), progress=progress)
        with database.transaction() as connection:
            state, follower = plan_of(connection, plan), follower_of(connection, plan)
        if follower is not None and not to_workers:
            _plan_here(database, follower)
        print_state(state, as_json=as_json, follower=follower)


def _plan_here(database: Database, plan_id: int) -> None:
    from settlement.cli.output import counting
    from settlement.pipeline.recalculation_plan import plan_all

    with counting("planning") as progress:
        plan_all(database, plan_id, progress=progress)
