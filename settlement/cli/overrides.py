"""`settlement terms override` and `terms overrides`: what single brokers have of their own."""

from __future__ import annotations

from typing import Annotated

import typer

from settlement.cli.by_hand import (
    AsJson,
    By,
    Correction,
    Every,
    ListedAt,
    Reason,
    To,
    hand_act,
    list_rows,
    tell,
)
from settlement.cli.terms import terms_app
from settlement.cli.times import parse_time

FILE = "overrides.csv"


@terms_app.command()
def override(  # noqa: PLR0913 - one parameter per option of the command
    broker: Annotated[str, typer.Argument(metavar="BROKER", help="A root; for minimum_payout any broker.")],
    kind: Annotated[str, typer.Argument(metavar="KIND", help="rate, floor, cap or minimum_payout.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="A part of one, such as 0.27; or USDT.")],
    *,
    start: Annotated[str, typer.Option("--from", metavar="T", help="From when on.")],
    end: To = None,
    product: Annotated[str, typer.Option(metavar="PRODUCT", help="Only this product: a rate or a floor.")] = "all",
    liquidity: Annotated[
        str, typer.Option(metavar="LIQUIDITY", help="Only maker or taker: a rate or a floor.")
    ] = "all",
    reason: Reason,
    by: By = None,
    correction: Correction = None,
    as_json: AsJson = False,
) -> None:
    """Give one broker its own rate, a floor below its rate, a monthly client cap, or a smallest payout.

    Its own rate counts instead of its tier's; a floor is what the terms' rate never falls below. Given again from the same
    instant on, with another value or an end, it replaces what was given before.
    """
    from settlement.pipeline.override_broker import Override, override_broker
    from settlement.runtime import open_database

    asked = Override(
        broker_id=broker,
        kind=kind,
        value=value,
        begins=parse_time(start, option="--from"),
        ends=parse_time(end, option="--to") if end else None,
        product=product,
        liquidity=liquidity,
    )
    act = hand_act(by, reason, correction)
    with open_database() as database:
        report = override_broker(database, asked, act=act)
    tell(report, as_json=as_json)


@terms_app.command()
def overrides(
    broker: Annotated[str | None, typer.Argument(metavar="[BROKER]", help="Only those of this broker.")] = None,
    *,
    at: ListedAt = None,
    every: Every = False,
    as_json: AsJson = False,
) -> None:
    """List what brokers have of their own, in force now or at another time, or ever."""
    list_rows(FILE, matching={"broker_id": broker}, at=at, every=every, as_json=as_json)
