"""`settlement accounts`: the accounts at venues whose fills are pulled."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from settlement.cli.app import app
from settlement.cli.output import print_json

if TYPE_CHECKING:
    from settlement.program.venue_accounts import VenueAccount
    from settlement.store.database import Database
    from settlement.store.vault import Vault
    from settlement.store.venue_accounts import StoredAccount
    from settlement.venues.okx.check import AccountCheck

accounts_app = typer.Typer(help="Accounts at venues, and the credentials that open them.", no_args_is_help=True)
app.add_typer(accounts_app, name="accounts")

Account = Annotated[str, typer.Argument(metavar="UID", help="The account's id at the venue.")]
Venue = Annotated[str, typer.Option(metavar="NAME", help="The account's venue.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@accounts_app.command()
def add(
    *,
    from_json: Annotated[
        str, typer.Option("--from-json", metavar="FILE", help="Accounts as JSON; - is standard input.")
    ],
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who adds them; the user if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add accounts, all or none: an object, a list, JSON lines, or the line that `settlement sandbox` prints.

    Keys: account, base_url, and api_key, secret, passphrase or access_token, refresh_token [client_id, client_secret,
    expires_at]; optional venue, role (client, broker), demo, pull_from. An account that stands already is given the
    new credentials and made active. Everything is stored encrypted.
    """
    from settlement import runtime
    from settlement.pipeline import accounts
    from settlement.pipeline.load_report import current_user
    from settlement.program.account_documents import parse_accounts
    from settlement.store.venue_accounts import Outcome
    from settlement.venues.okx.fills import INSTRUMENT_TYPES

    entries = parse_accounts(_content(from_json), source="standard input" if from_json == "-" else from_json)
    vault = runtime.vault()
    with runtime.open_database() as database:
        outcomes = accounts.add(
            database,
            vault,
            entries,
            instrument_types={"okx": INSTRUMENT_TYPES},
            added_by=by or current_user(),
            now=datetime.now(UTC),
        )
    counts = {outcome.value: outcomes.count(outcome) for outcome in Outcome}
    if as_json:
        told = [
            {"venue": entry.account.venue, "account": entry.account.account, "outcome": outcome}
            for entry, outcome in zip(entries, outcomes, strict=True)
        ]
        print_json(counts | {"accounts": told})
        return
    typer.echo(", ".join(f"{_number(count)} {name}" for name, count in counts.items() if count))


@accounts_app.command(name="list")
def list_command(*, as_json: AsJson = False) -> None:
    """List the accounts: status and why, since when fills are expected, when pulled and checked last."""
    from settlement.pipeline.accounts import list_accounts
    from settlement.runtime import open_database

    with open_database() as database:
        standing = list_accounts(database)
    if as_json:
        print_json([_as_json(account) for account in standing])
        return
    if not standing:
        typer.echo("there are no accounts: settlement accounts add --from-json FILE")
        return
    _print_table(standing)


@accounts_app.command()
def check(
    uids: Annotated[
        list[str] | None, typer.Argument(metavar="[UID]...", help="These accounts; all that are not disabled.")
    ] = None,
    *,
    venue: Venue = "okx",
    as_json: AsJson = False,
) -> None:
    """Ask each account how it is: key, permissions, clock, expiry, remaining requests; 1 if any is broken.

    What is found is kept, and shown by `settlement accounts list` and `settlement doctor`.
    """
    from settlement import runtime
    from settlement.pipeline import accounts
    from settlement.venues.okx.check import unopened_check
    from settlement.venues.okx.event_loop import run_async

    vault = runtime.vault()
    with runtime.open_database() as database:
        opened, unopened = accounts.open_for_check(database, vault, venue=venue, accounts=uids or None)
        found = [unopened_check(each) for each in unopened] + run_async(lambda: _ask(database, vault, opened))
        accounts.record_health(database, [each.health for each in found], now=datetime.now(UTC))
    found.sort(key=lambda each: each.health.account)
    if as_json:
        print_json([asdict(each) for each in found])
    else:
        _print_checks(found)
    if any(each.health.condition == "broken" for each in found):
        raise typer.Exit(1)


@accounts_app.command()
def disable(
    account: Account,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; shown in the list.")],
    venue: Venue = "okx",
) -> None:
    """Take an account out of use: its fills are not pulled until it is enabled or added again."""
    if not reason.strip():
        raise typer.BadParameter("say why the account is taken out of use", param_hint="--reason")
    from settlement.pipeline import accounts
    from settlement.runtime import open_database

    with open_database() as database:
        accounts.disable(database, venue=venue, account=account, reason=reason.strip(), now=datetime.now(UTC))
    typer.echo(f"{venue} {account} disabled")


@accounts_app.command()
def enable(account: Account, *, venue: Venue = "okx") -> None:
    """Put a parked or disabled account to use again, with the credentials it has."""
    from settlement.pipeline import accounts
    from settlement.runtime import open_database

    with open_database() as database:
        accounts.enable(database, venue=venue, account=account, now=datetime.now(UTC))
    typer.echo(f"{venue} {account} enabled")


@accounts_app.command(name="new-key")
def new_key_command() -> None:
    """Print a fresh key for SETTLEMENT_SECRET_KEY or its file; nothing is stored."""
    from settlement.store.secret_key import new_key

    typer.echo(new_key())


@accounts_app.command(name="reseal")
def reseal_command() -> None:
    """Encrypt all credentials with the newest key, so that older keys can be dropped."""
    from settlement import runtime
    from settlement.pipeline.accounts import reseal

    vault = runtime.vault()
    with runtime.open_database() as database:
        number = reseal(database, vault)
    typer.echo(f"{_number(number)} sealed with the newest key of {vault.where}")


async def _ask(database: Database, vault: Vault, accounts: list[VenueAccount]) -> list[AccountCheck]:
    from settlement import runtime
    from settlement.venues.okx.check import check_accounts
    from settlement.venues.okx.limits import RateLimits
    from settlement.venues.okx.renewal import renewer
    from settlement.venues.okx.session import open_session

    if not accounts:
        return []
    async with open_session(RateLimits(runtime.redis_url()), renew=renewer(database, vault)) as session:
        return await check_accounts(session, accounts, now=datetime.now(UTC))


def _print_checks(found: list[AccountCheck]) -> None:
    if not found:
        typer.echo("there are no accounts: settlement accounts add --from-json FILE")
    for each in found:
        health = each.health
        typer.echo(f"{health.condition:<9}  {health.venue} {health.account}  {health.found}")
        if health.next_step:
            typer.echo(f"    next: {health.next_step}")
        about = [
            f"permissions {health.permissions}" if health.permissions else "",
            f"key bound to {each.ip}" if each.ip else "",
            f"sub-account of {each.main_account}" if each.main_account else "",
            f"tokens until {each.tokens_until}" if each.tokens_until else "",
        ]
        if any(about):
            typer.echo(f"    {'; '.join(part for part in about if part)}")
        if each.budgets:
            left = ", ".join(
                f"{budget.path.removeprefix('/api/v5/')} {budget.remaining} of {budget.limit} in {budget.seconds} s"
                for budget in each.budgets
            )
            typer.echo(f"    requests left: {left}")


def _content(source: str) -> bytes:
    from settlement.errors import InputRefused

    if source == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise InputRefused(
            f"cannot be read: {error.strerror}", where=source, mend="give a file of accounts as JSON, or -"
        ) from None


def _number(count: int) -> str:
    return f"{count} account" if count == 1 else f"{count} accounts"


def _as_json(account: StoredAccount) -> dict[str, Any]:
    values = dict(vars(account))
    health = {name: values.pop(name) for name in ("condition", "found", "next_step", "permissions", "level")}
    checked_at = values.pop("checked_at")
    values["health"] = None if checked_at is None else {**health, "checked_at": _time(checked_at)}
    return {name: _time(value) if isinstance(value, datetime) else value for name, value in values.items()}


def _print_table(standing: list[StoredAccount]) -> None:
    """A line an account, whole ids; below it why it is out of use, and what it said when it was checked last."""
    titles = ("account", "role", "model", "status", "fills from", "pulled", "host")
    rows = [titles, *(_row(account) for account in standing)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(titles))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    typer.echo(lines[0])
    for account, line in zip(standing, lines[1:], strict=True):
        typer.echo(line)
        if account.status_reason:
            typer.echo(f"    {account.status}: {account.status_reason}")
        if account.condition and account.checked_at:
            step = f"; next: {account.next_step}" if account.next_step else ""
            typer.echo(f"    checked {_time(account.checked_at)}: {account.condition}, {account.found}{step}")


def _row(account: StoredAccount) -> tuple[str, ...]:
    return (
        f"{account.venue} {account.account}",
        account.role,
        account.model,
        account.status,
        _time(account.pull_from),
        _time(account.pulled_at) if account.pulled_at else "never",
        account.base_url + (" (demo)" if account.demo else ""),
    )


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
