"""New OAuth tokens for an account, by whoever needs them first: the others find the new pair stored."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from settlement.program.venue_accounts import OAuthTokens, VenueAccount
from settlement.store import venue_accounts
from settlement.store.database import Database
from settlement.store.vault import Vault
from settlement.venues.okx.client import Renew
from settlement.venues.okx.errors import error_of
from settlement.venues.okx.oauth import refresh_tokens

UNAUTHORISED = "50114"


def renewer(database: Database, vault: Vault) -> Renew:
    """Gives an account with newer tokens than it holds; raises OkxError where there are none to be had."""

    async def renew(account: VenueAccount) -> VenueAccount:
        return await asyncio.to_thread(_renew, database, vault, account)

    return renew


def _renew(database: Database, vault: Vault, account: VenueAccount) -> VenueAccount:
    if not isinstance(account.credentials, OAuthTokens):
        raise error_of(status=401, code=UNAUTHORISED)
    with database.transaction() as connection:
        standing = venue_accounts.locked_credentials(connection, vault, venue=account.venue, account=account.account)
        if isinstance(standing, OAuthTokens) and standing.access_token == account.credentials.access_token:
            standing = refresh_tokens(account.base_url, standing)
            # The old pair has ended: nothing may come between.
            venue_accounts.replace_tokens(
                connection, vault, venue=account.venue, account=account.account, tokens=standing
            )
    return replace(account, credentials=standing)
