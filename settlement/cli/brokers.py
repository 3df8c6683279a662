"""`settlement brokers`: the tree of brokers, changed one row at a time."""

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
    Reason,
    To,
    change,
    given_values,
    hand_act,
    list_rows,
    moment,
)

FILE = "brokers.csv"

brokers_app = typer.Typer(help="The tree of brokers, by hand, and how each of them does.", no_args_is_help=True)
app.add_typer(brokers_app, name="brokers")

Broker = Annotated[str, typer.Argument(metavar="BROKER", help="The broker's id.")]
Name = Annotated[str | None, typer.Option(help="How people call it.")]
Model = Annotated[str | None, typer.Option(help="api or oauth.")]
Parent = Annotated[str | None, typer.Option(metavar="BROKER", help="The broker above it; a root has none.")]
Share = Annotated[
    str | None, typer.Option(metavar="PART", help="Its part of what its parent receives, 0 to 1; a root has none.")
]
Status = Annotated[str | None, typer.Option(help="active, or anything else: its clients' fills earn nothing.")]
OwnAccounts = Annotated[
    str | None, typer.Option(metavar="VENUE:ACCOUNT[;...]", help="Its own accounts, which earn nothing for it.")
]
Rail = Annotated[str | None, typer.Option(help="How it is paid.")]
Address = Annotated[str | None, typer.Option(help="Where it is paid.")]


@brokers_app.command()
def add(  # noqa: PLR0913 - one parameter per option of the command
    broker: Broker,
    *,
    name: Name = None,
    model: Model = None,
    parent: Parent = None,
    share: Share = None,
    status: Status = None,
    own_accounts: OwnAccounts = None,
    payout_rail: Rail = None,
    payout_address: Address = None,
    start: From = None,
    end: To = None,
    reason: Reason,
    by: By = None,
    correction: Correction = None,
    as_json: AsJson = False,
) -> None:
    """Add a broker: a root, or, with --parent and --share, one below another. It is active, of model api, if not said."""
    values = _values(name, model, parent, share, status, own_accounts, payout_rail, payout_address)
    given = {"name": broker, "model": "api", "status": "active"} | given_values(values, ends=end)
    act = hand_act(by, reason, correction)
    at = moment(start, option="--from")
    change(FILE, "add", {"broker_id": broker}, at=at, given=given, act=act, as_json=as_json)


@brokers_app.command(name="set")
def set_command(  # noqa: PLR0913 - one parameter per option of the command
    broker: Broker,
    *,
    name: Name = None,
    model: Model = None,
    parent: Parent = None,
    share: Share = None,
    status: Status = None,
    own_accounts: OwnAccounts = None,
    payout_rail: Rail = None,
    payout_address: Address = None,
    start: From = None,
    reason: Reason,
    by: By = None,
    correction: Correction = None,
    as_json: AsJson = False,
) -> None:
    """Change a broker from an instant on: another parent, share, status; what was before stays as it was.

    An empty text clears a value: --parent "" --share "" makes it a root.
    """
    values = _values(name, model, parent, share, status, own_accounts, payout_rail, payout_address)
    act = hand_act(by, reason, correction)
    at = moment(start, option="--from")
    change(FILE, "set", {"broker_id": broker}, at=at, given=given_values(values), act=act, as_json=as_json)


@brokers_app.command()
def end(  # noqa: PLR0913 - one parameter per option of the command
    broker: Broker,
    *,
    at: At = None,
    reason: Reason,
    by: By = None,
    correction: Correction = None,
    as_json: AsJson = False,
) -> None:
    """End a broker: from then on nothing earns for it, nor for those that still stand below it."""
    act = hand_act(by, reason, correction)
    key = {"broker_id": broker}
    change(FILE, "end", key, at=moment(at, option="--at"), given={}, act=act, as_json=as_json)


@brokers_app.command(name="list")
def list_command(
    broker: Annotated[str | None, typer.Argument(metavar="[BROKER]", help="Only this one.")] = None,
    *,
    at: ListedAt = None,
    every: Every = False,
    as_json: AsJson = False,
) -> None:
    """List the brokers' rows in force, or all of their history."""
    list_rows(FILE, matching={"broker_id": broker}, at=at, every=every, as_json=as_json)


def _values(*given: str | None) -> dict[str, str | None]:
    names = ("name", "model", "parent_id", "share", "status", "own_accounts", "payout_rail", "payout_address")
    return dict(zip(names, given, strict=True))
