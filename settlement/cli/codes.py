"""`settlement codes`: the broker codes that orders carry as their tag, changed one at a time."""

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

FILE = "codes.csv"

codes_app = typer.Typer(help="Broker codes, which orders carry as their tag, by hand.", no_args_is_help=True)
app.add_typer(codes_app, name="codes")

Code = Annotated[str, typer.Argument(metavar="CODE", help="1-16 letters and digits, compared exactly.")]


@codes_app.command()
def add(  # noqa: PLR0913 - one parameter per option of the command
    code: Code,
    broker: Annotated[str, typer.Argument(metavar="BROKER", help="Whose orders carry it.")],
    *,
    start: From = None,
    end: To = None,
    reason: Reason,
    by: By = None,
    correction: Correction = None,
    as_json: AsJson = False,
) -> None:
    """Give a broker a code."""
    act = hand_act(by, reason, correction)
    given = given_values({"broker_id": broker}, ends=end)
    change(FILE, "add", {"code": code}, at=moment(start, option="--from"), given=given, act=act, as_json=as_json)


@codes_app.command(name="set")
def set_command(  # noqa: PLR0913 - one parameter per option of the command
    code: Code,
    *,
    broker: Annotated[str, typer.Option(metavar="BROKER", help="Whose orders carry it from then on.")],
    start: From = None,
    reason: Reason,
    by: By = None,
    correction: Correction = None,
    as_json: AsJson = False,
) -> None:
    """Give a code to another broker from an instant on."""
    act = hand_act(by, reason, correction)
    given = given_values({"broker_id": broker})
    change(FILE, "set", {"code": code}, at=moment(start, option="--from"), given=given, act=act, as_json=as_json)


@codes_app.command()
def end(  # noqa: PLR0913 - one parameter per option of the command
    code: Code,
    *,
    at: At = None,
    reason: Reason,
    by: By = None,
    correction: Correction = None,
    as_json: AsJson = False,
) -> None:
    """End a code: it attributes nothing more, and still says that an order came through the API."""
    act = hand_act(by, reason, correction)
    change(FILE, "end", {"code": code}, at=moment(at, option="--at"), given={}, act=act, as_json=as_json)


@codes_app.command(name="list")
def list_command(
    *, broker: OfBroker = None, at: ListedAt = None, every: Every = False, as_json: AsJson = False
) -> None:
    """List the broker codes in force, or all of their history."""
    list_rows(FILE, matching={"broker_id": broker}, at=at, every=every, as_json=as_json)
