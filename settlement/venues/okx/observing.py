"""Asking OKX for what settlement needs beside fills: what the tasks and `settlement snapshot` do, by the same code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from settlement.errors import Refused
from settlement.pipeline.load_report import Act
from settlement.pipeline.snapshot import SnapshotReport
from settlement.program.venue_accounts import Role, VenueAccount
from settlement.store import eligibility, venue_accounts
from settlement.store.database import Database
from settlement.store.vault import Vault
from settlement.venues.okx import snapshots
from settlement.venues.okx.event_loop import run_async
from settlement.venues.okx.limits import RateLimits
from settlement.venues.okx.parse import VENUE
from settlement.venues.okx.renewal import renewer
from settlement.venues.okx.session import OkxSession, open_session

# About one a second may be asked: five minutes of work, ten times an hour.
ELIGIBILITY_A_RUN = 300

Period = tuple[datetime, datetime]


@dataclass(frozen=True, kw_only=True)
class Observer:
    """What asking needs of the outside. Every method raises Refused where no account is active."""

    database: Database
    vault: Vault
    redis_url: str
    now: datetime
    act: Act

    def instruments(self) -> SnapshotReport:
        """What can be traded, and its contract values."""
        return self._public(snapshots.snapshot_instruments)

    def prices(self) -> SnapshotReport:
        """What the currencies in use are worth now."""
        return self._public(snapshots.snapshot_prices)

    def missing_prices(self, period: Period | None = None) -> SnapshotReport:
        """What they were worth where no price stands: of a period, else of the last hours and of pending lines."""
        return self._public(partial(snapshots.backfill_prices, period=period))

    def levels(self, accounts: Sequence[str] | None = None) -> SnapshotReport:
        """The accounts' levels and scheduled fee rates."""
        opened = self._accounts(accounts)
        return self._run(
            lambda session: snapshots.snapshot_levels(
                self.database, session, accounts=opened, now=self.now, act=self.act
            )
        )

    def eligibility(self) -> SnapshotReport:
        """Whether OKX pays the broker a rebate, for the accounts that were asked about longest ago."""
        with self.database.transaction() as connection:
            names = eligibility.least_recently_seen(connection, venue=VENUE, limit=ELIGIBILITY_A_RUN)
        opened, brokers = self._accounts(names), self._active(None, "broker")
        return self._run(
            lambda session: snapshots.snapshot_eligibility(
                self.database, session, accounts=opened, broker=brokers[0] if brokers else None, now=self.now
            )
        )

    def _public(self, ask: Callable[..., Awaitable[SnapshotReport]]) -> SnapshotReport:
        hosts = Counter(account.base_url for account in self._accounts(None))
        base_url = hosts.most_common(1)[0][0]
        return self._run(lambda session: ask(self.database, session, base_url=base_url, now=self.now, act=self.act))

    def _run(self, ask: Callable[[OkxSession], Awaitable[SnapshotReport]]) -> SnapshotReport:
        async def asked() -> SnapshotReport:
            limits = RateLimits(self.redis_url)
            async with open_session(limits, renew=renewer(self.database, self.vault)) as session:
                return await ask(session)

        return run_async(asked)

    def _accounts(self, accounts: Sequence[str] | None) -> list[VenueAccount]:
        opened = self._active(accounts, "client")
        if not opened:
            raise Refused("no account is active", mend="settlement accounts add --from-json FILE")
        return opened

    def _active(self, accounts: Sequence[str] | None, role: Role) -> list[VenueAccount]:
        with self.database.transaction() as connection:
            return venue_accounts.active(connection, vault=self.vault, venue=VENUE, accounts=accounts, role=role)
