"""`settlement clients`: which account is whose client, changed one link at a time."""

from __future__ import annotations

from typing import Annotated

import typer

from settlement.cli.app import app
from settlement.cli.by_hand import (
    AsJson,
    At,
    By,
    Correction,
    Every,
    From,
    ListedAt,
    OfBroker,
    Reason,
    To,
    change,
    given_values,
    hand_act,
    list_rows,
    moment,
)

FILE = "clients.csv"

clients_app = typer.Typer(help="Client links, by hand.", no_args_is_help=True)
app.add_typer(clients_app, name="clients")

Venue = Annotated[str, typer.Argument(metavar="VENUE", help="The exchange, such as okx.")]
Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The client's id there.")]
ReferralCode = Annotated[str | None, typer.Option(metavar="CODE", help="The code that the client gave.")]
Affiliated = Annotated[bool | None, typer.Option(help="Whether the venue has it as an affiliate's client.")]
AccountClass = Annotated[str | None, typer.Option(metavar="NAME", help="What the terms may exclude, such as msa.")]
RebateShare = Annotated[
    str | None, typer.Option(metavar="PART", help="The client's part of what its broker receives, 0 to 1.")
]


@clients_app.command()
def add(  # noqa: PLR0913 - one parameter per option of the command
    venue: Venue,
    account: Account,
    broker: Annotated[str, typer.Argument(metavar="BROKER", help="Whose client it is.")],
    *,
    referral_code: ReferralCode = None,
    affiliated: Affiliated = None,
    account_class: AccountClass = None,
    rebate_share: RebateShare = None,
    start: From = None,
    end: To = None,
    reason: Reason,
    by: By = None,
    correction: Correction = None,
    as_json: AsJson = False,
) -> None:
    """Link a client to a broker. A client who gives a code is bound with `settlement referrals bind`."""
    values = _values(broker, referral_code, affiliated, account_class, rebate_share)
    given = {"affiliated": "false"} | given_values(values, ends=end)
    key = {"venue": venue, "account": account}
    act = hand_act(by, reason, correction)
    change(FILE, "add", key, at=moment(start, option="--from"), given=given, act=act, as_json=as_json)


@clients_app.command(name="set")
def set_command(  # noqa: PLR0913 - one parameter per option of the command
    venue: Venue,
    account: Account,
    *,
    broker: Annotated[str | None, typer.Option(metavar="BROKER", help="Whose client it is from then on.")] = None,
    referral_code: ReferralCode = None,
    affiliated: Affiliated = None,
    account_class: AccountClass = None,
    rebate_share: RebateShare = None,
    start: From = None,
    reason: Reason,
    by: By = None,
    correction: Correction = None,
    as_json: AsJson = False,
) -> None:
    """Change a client's link from an instant on; an empty text clears a value."""
    given = given_values(_values(broker, referral_code, affiliated, account_class, rebate_share))
    key = {"venue": venue, "account": account}
    act = hand_act(by, reason, correction)
    change(FILE, "set", key, at=moment(start, option="--from"), given=given, act=act, as_json=as_json)


@clients_app.command()
def end(  # noqa: PLR0913 - one parameter per option of the command
    venue: Venue,
    account: Account,
    *,
    at: At = None,
    reason: Reason,
    by: By = None,
    correction: Correction = None,
    as_json: AsJson = False,
) -> None:
    """End a client's link: from then on only a broker code in an order's tag makes it somebody's client."""
    key = {"venue": venue, "account": account}
    act = hand_act(by, reason, correction)
    change(FILE, "end", key, at=moment(at, option="--at"), given={}, act=act, as_json=as_json)


@clients_app.command(name="list")
def list_command(
    *, broker: OfBroker = None, at: ListedAt = None, every: Every = False, as_json: AsJson = False
) -> None:
    """List the client links in force, or all of their history."""
    list_rows(FILE, matching={"broker_id": broker}, at=at, every=every, as_json=as_json)


def _values(
    broker: str | None,
    referral_code: str | None,
    affiliated: bool | None,  # noqa: FBT001 - as the option says: true, false, or not given
    account_class: str | None,
    rebate_share: str | None,
) -> dict[str, str | None]:
    return {
        "broker_id": broker,
        "referral_code": referral_code,
        "affiliated": None if affiliated is None else str(affiliated).lower(),
        "account_class": account_class,
        "rebate_share": rebate_share,
    }
