"""`settlement brokers tree`: how each level of the tree does."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from settlement.cli.brokers import brokers_app
from settlement.cli.by_hand import AsJson, print_table
from settlement.cli.output import print_json

if TYPE_CHECKING:
    from settlement.reports.broker_tree import Level, Month

TITLES = (
    "broker", "share", "volume", "commission", "gets", "clients", "active", "codes", "linked", "traded", "earning", "status",
)  # fmt: skip
RETENTION_TITLES = ("broker", "first earned", "clients", "+1 month", "+2 months", "+3 months")


@brokers_app.command(name="tree")
def tree_command(
    broker: Annotated[
        str | None, typer.Argument(metavar="[BROKER]", help="It and those below it; the whole tree if not given.")
    ] = None,
    *,
    month: Annotated[
        str | None,
        typer.Option(metavar="YYYY-MM", help="The month of the figures, in UTC; the present one if not given."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the tree as it stands now, and how each level does.

    Volume, commission and clients of the subtree, what the broker itself gets (USDT), who was active in the month;
    referral codes, clients linked by one, of them who traded and who earned since; and how many of those who first earned
    in a month earned again one, two and three months later.
    """
    from settlement.reports.broker_tree import read_tree
    from settlement.runtime import open_database

    now = datetime.now(UTC)
    period = _month(month, now=now)
    with open_database() as database, database.transaction() as connection:
        levels = read_tree(connection, at=now, month=period, broker=broker)
    if as_json:
        from settlement.reports.plain_text import plain

        print_json(
            plain({"at": now, "month": f"{period.start:%Y-%m}", "brokers": [_document(level) for level in levels]})
        )
        return
    if not levels:
        typer.echo("there are no brokers: settlement brokers add BROKER, or settlement registry load DIR")
        return
    typer.echo(f"{period.start:%Y-%m} UTC, the tree as it stands now; USDT")
    print_table(TITLES, [_row(level, top=levels[0].level) for level in levels], right=range(1, len(TITLES) - 1))
    kept = [row for level in levels for row in _retention_rows(level)]
    if kept:
        typer.echo("\nOf the clients who first earned in a month, how many earned again later")
        print_table(RETENTION_TITLES, kept, right=range(2, len(RETENTION_TITLES)))


def _month(given: str | None, *, now: datetime) -> Month:
    from settlement.reports.broker_tree import Month

    if given is None:
        return Month.of(now)
    if not re.fullmatch(r"20\d\d-(?:0[1-9]|1[0-2])", given):
        raise typer.BadParameter(f"{given!r} is not a month; write it like 2026-09", param_hint="--month")
    year, number = (int(part) for part in given.split("-"))
    return Month.of(datetime(year, number, 1, tzinfo=UTC))


def _document(level: Level) -> dict[str, Any]:
    """The level as JSON: conversion as one object, each cohort with a name for each month after."""
    values = dict(vars(level))
    conversion = {name: values.pop(name) for name in ("codes", "linked", "traded", "earning")}
    retention = [
        {"month": f"{cohort.month:%Y-%m}", "first_earned": cohort.first_earned}
        | {f"after_{number}": count for number, count in enumerate(cohort.after, 1)}
        for cohort in level.retention
    ]
    return values | {"conversion": conversion, "retention": retention}


def _row(level: Level, *, top: int) -> list[str]:
    counts = (level.clients, level.active, level.codes, level.linked, level.traded, level.earning)
    return [
        "  " * (level.level - top) + level.broker_id,
        "-" if level.share is None else f"{level.share.normalize():f}",
        *(_money(amount) for amount in (level.volume_usdt, level.commission_usdt, level.gets_usdt)),
        *(f"{count:,}" for count in counts),
        level.status,
    ]


def _retention_rows(level: Level) -> list[list[str]]:
    return [
        [
            level.broker_id,
            f"{cohort.month:%Y-%m}",
            f"{cohort.first_earned:,}",
            *("" if count is None else f"{count:,}" for count in cohort.after),
        ]
        for cohort in level.retention
    ]


def _money(amount: Decimal) -> str:
    from settlement.reports.summary_tables import money

    return money(amount)
