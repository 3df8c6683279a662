"""Pulling fills from OKX: what the task, `settlement pull` and `settlement backfill` do, by the same code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from settlement.errors import Refused
from settlement.pipeline.harvest import HarvestReport, PlanOf, harvest
from settlement.pipeline.venue import Page
from settlement.program.venue_accounts import VenueAccount
from settlement.store import venue_accounts
from settlement.store.database import Database
from settlement.store.vault import Vault
from settlement.venues.okx.event_loop import run_async
from settlement.venues.okx.fills import OkxFills, OkxVenue
from settlement.venues.okx.limits import RateLimits
from settlement.venues.okx.parse import VENUE
from settlement.venues.okx.renewal import renewer
from settlement.venues.okx.session import open_session

# Each holds a lock in PostgreSQL while it is pulled.
ACCOUNTS_OF_ONE_HARVEST = 500


@dataclass(frozen=True, kw_only=True)
class Puller:
    """What pulling needs of the outside."""

    database: Database
    vault: Vault
    redis_url: str
    now: datetime
    loaded_by: str
    on_page: Callable[[Page], None] = field(default=lambda _: None)

    def pull(self, accounts: Sequence[str] | None, plan: PlanOf) -> HarvestReport:
        """Pulls what `plan` wants of `accounts` (None: of all that are active); raises Refused if there is none."""
        with self.database.transaction() as connection:
            opened = venue_accounts.active(connection, vault=self.vault, venue=VENUE, accounts=accounts, role="client")
        _refuse_missing(opened, accounts)
        return run_async(lambda: self._pull(opened, plan))

    async def _pull(self, accounts: Sequence[VenueAccount], plan: PlanOf) -> HarvestReport:
        limits = RateLimits(self.redis_url)
        total = HarvestReport()
        async with open_session(limits, renew=renewer(self.database, self.vault)) as session:
            for first in range(0, len(accounts), ACCOUNTS_OF_ONE_HARVEST):
                some = accounts[first : first + ACCOUNTS_OF_ONE_HARVEST]
                report = await harvest(
                    self.database,
                    OkxVenue(),
                    [OkxFills.of(session.client(account)) for account in some],
                    plan=plan,
                    now=self.now,
                    loaded_by=self.loaded_by,
                    on_page=self.on_page,
                )
                total.add(report)
        return total


def _refuse_missing(opened: Sequence[VenueAccount], wanted: Sequence[str] | None) -> None:
    if wanted is None:
        if not opened:
            raise Refused("no account is active", mend="settlement accounts add --from-json FILE")
        return
    missing = sorted(set(wanted) - {account.account for account in opened})
    if missing:
        mend = "settlement accounts list shows which there are, accounts enable makes one active again"
        raise Refused("no such active client account", where=f"{VENUE} {missing[0]}", mend=mend)
