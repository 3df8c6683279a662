"""Use cases: accounts at venues are added, listed, taken out of use and back, and their credentials put under a new key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from settlement.errors import Refused
from settlement.program.account_documents import AccountEntry
from settlement.program.venue_accounts import VenueAccount
from settlement.store import venue_accounts
from settlement.store.database import Connection, Database
from settlement.store.vault import Vault
from settlement.store.venue_accounts import Health, Outcome, StoredAccount, Unopened


def add(  # noqa: PLR0913 - what is added, and by whom
    database: Database,
    vault: Vault,
    entries: Sequence[AccountEntry],
    *,
    instrument_types: Mapping[str, Sequence[str]],
    added_by: str,
    now: datetime,
) -> list[Outcome]:
    """Adds all of `entries` or, if one is refused, none; what became of each, in their order.

    `instrument_types` are those that a venue's fills are pulled by. An API key that stands for another account already is
    refused: its fills would be counted for both.
    """
    with database.transaction() as connection:
        venue_accounts.begin_adding(connection)
        outcomes = [
            venue_accounts.add(
                connection,
                entry.account,
                vault=vault,
                pull_from=entry.pull_from,
                instrument_types=instrument_types[entry.account.venue],
                added_by=added_by,
                now=now,
            )
            for entry in entries
        ]
        for entry in entries:
            _refuse_shared_key(connection, entry)
    return outcomes


def list_accounts(database: Database) -> list[StoredAccount]:
    """Every account, without what opens it."""
    with database.transaction() as connection:
        return venue_accounts.listed(connection)


def disable(database: Database, *, venue: str, account: str, reason: str, now: datetime) -> None:
    """Takes an account out of use, until it is enabled or added again."""
    with database.transaction() as connection:
        if not venue_accounts.disable(connection, venue=venue, account=account, reason=reason, now=now):
            raise venue_accounts.unknown_account(venue, account)


def enable(database: Database, *, venue: str, account: str, now: datetime) -> None:
    """Puts a parked or disabled account to use again."""
    with database.transaction() as connection:
        if not venue_accounts.enable(connection, venue=venue, account=account, now=now):
            raise venue_accounts.unknown_account(venue, account)


def open_for_check(
    database: Database, vault: Vault, *, venue: str | None, accounts: Sequence[str] | None
) -> tuple[list[VenueAccount], list[Unopened]]:
    """The accounts to ask how they are, and those that do not open; one that was never added is refused."""
    with database.transaction() as connection:
        opened, unopened = venue_accounts.open_each(connection, vault=vault, venue=venue, accounts=accounts)
    found = {each.account for each in opened} | {each.account for each in unopened}
    for account in accounts or ():
        if account not in found:
            raise venue_accounts.unknown_account(venue, account)
    return opened, unopened


def record_health(database: Database, found: Sequence[Health], *, now: datetime) -> None:
    """Keeps how accounts are, for the list and the doctor."""
    with database.transaction() as connection:
        venue_accounts.record_health(connection, found, now=now)


def reseal(database: Database, vault: Vault) -> int:
    """Puts all credentials under the newest key, or none; returns how many."""
    with database.transaction() as connection:
        return venue_accounts.reseal(connection, vault)


def _refuse_shared_key(connection: Connection, entry: AccountEntry) -> None:
    other = venue_accounts.same_key_elsewhere(connection, entry.account)
    if other is not None:
        raise Refused(
            f"the API key is that of account {other} already",
            where=f"{entry.account.venue} {entry.account.account}",
            mend="give the account's own key, or disable the other account first",
        )
