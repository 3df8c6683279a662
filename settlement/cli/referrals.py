"""`settlement referrals`: the codes by which clients come to a broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from settlement.cli.app import app
from settlement.cli.by_hand import (
    AsJson,
    By,
    Correction,
    From,
    OfBroker,
    Reason,
    To,
    hand_act,
    moment,
    print_table,
    tell,
)
from settlement.cli.output import print_json
from settlement.cli.times import parse_time

if TYPE_CHECKING:
    from settlement.program.referrals import ReferralCode

referrals_app = typer.Typer(help="Referral codes, and the clients they bind.", no_args_is_help=True)
app.add_typer(referrals_app, name="referrals")

Code = Annotated[str, typer.Argument(metavar="CODE", help="The code, or an alias of it.")]


@referrals_app.command()
def add(  # noqa: PLR0913 - one parameter per option of the command
    code: Annotated[str, typer.Argument(metavar="CODE", help="1-16 letters and digits, compared exactly.")],
    broker: Annotated[str, typer.Argument(metavar="BROKER", help="Whose clients it makes.")],
    *,
    campaign: Annotated[str, typer.Option(metavar="NAME", help="What it is for.")],
    limit: Annotated[
        int | None, typer.Option(min=1, help="How many clients it may bind; any number if not given.")
    ] = None,
    start: From = None,
    end: To = None,
    reason: Reason,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Make a referral code."""
    if not campaign.strip():
        raise typer.BadParameter("name the campaign", param_hint="--campaign")
    begins, ends = moment(start, option="--from"), parse_time(end, option="--to") if end else None
    if ends is not None and ends <= begins:
        raise typer.BadParameter("the code ends before it begins", param_hint="--to")
    act = hand_act(by, reason)
    from settlement.pipeline import referrals
    from settlement.program.referrals import ReferralCode
    from settlement.runtime import open_database

    made = ReferralCode(
        code=code,
        broker_id=broker,
        campaign=campaign.strip(),
        client_limit=limit,
        effective_from=begins,
        effective_to=ends,
    )
    with open_database() as database:
        referrals.add(database, made, act=act)
    _tell(made, f"referral code {code} of {broker} added", as_json=as_json)


@referrals_app.command(name="alias")
def alias_command(
    code: Code,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="Another text for it: 1-16 letters and digits.")],
    *,
    reason: Reason,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Let another text stand for the same code."""
    act = hand_act(by, reason)
    from settlement.pipeline import referrals
    from settlement.runtime import open_database

    with open_database() as database:
        standing = referrals.add_alias(database, code, alias, act=act)
    _tell(standing, f"{alias} stands for referral code {standing.code} of {standing.broker_id}", as_json=as_json)


@referrals_app.command()
def deactivate(code: Code, *, reason: Reason, by: By = None, as_json: AsJson = False) -> None:
    """Let a code, under all its texts, bind nobody from now on; the clients that it has bound stay."""
    act = hand_act(by, reason)
    from settlement.pipeline import referrals
    from settlement.runtime import open_database

    with open_database() as database:
        standing = referrals.deactivate(database, code, act=act)
    _tell(standing, f"referral code {standing.code} deactivated at {_time(standing.deactivated_at)}", as_json=as_json)


@referrals_app.command(name="list")
def list_command(*, broker: OfBroker = None, as_json: AsJson = False) -> None:
    """List the referral codes: broker, campaign, clients and limit, period, aliases."""
    from settlement.pipeline.referrals import list_codes
    from settlement.runtime import open_database

    with open_database() as database:
        codes = list_codes(database, broker=broker)
    if as_json:
        from settlement.reports.plain_text import plain

        print_json(plain([vars(code) for code in codes]))
    elif codes:
        titles = ("code", "broker", "campaign", "clients", "limit", "from", "to", "deactivated", "aliases")
        print_table(titles, [_row(code) for code in codes], right=(3, 4))
    else:
        typer.echo("there are none: settlement referrals add CODE BROKER --campaign NAME")


@referrals_app.command()
def bind(  # noqa: PLR0913 - one parameter per option of the command
    venue: Annotated[str, typer.Argument(metavar="VENUE", help="The exchange, such as okx.")],
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The client's id there.")],
    code: Code,
    *,
    start: From = None,
    rebind_reason: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Why an administrator (--by) binds a client who has, or had, a link."),
    ] = None,
    by: By = None,
    correction: Correction = None,
    as_json: AsJson = False,
) -> None:
    """Bind a client to the code's broker. The first code counts: another one needs an administrator and a reason."""
    if rebind_reason is not None and not by:
        raise typer.BadParameter("say which administrator binds the client again", param_hint="--by")
    act = hand_act(by, f"gave referral code {code}" if rebind_reason is None else rebind_reason, correction)
    at = moment(start, option="--from")
    from settlement.pipeline.bind_client import Given, bind_client
    from settlement.runtime import open_database

    given = Given(venue=venue, account=account, code=code, at=at)
    with open_database() as database:
        report = bind_client(database, given, act=act, again=rebind_reason is not None)
    tell(report, as_json=as_json)


def _tell(code: ReferralCode, words: str, *, as_json: bool) -> None:
    if as_json:
        from settlement.reports.plain_text import plain

        print_json(plain(vars(code)))
    else:
        typer.echo(words)


def _row(code: ReferralCode) -> list[str]:
    return [
        code.code,
        code.broker_id,
        code.campaign,
        f"{code.clients:,}",
        "-" if code.client_limit is None else f"{code.client_limit:,}",
        _time(code.effective_from),
        _time(code.effective_to),
        _time(code.deactivated_at),
        " ".join(code.aliases) or "-",
    ]


def _time(moment: Any) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z") if moment else "-"
