"""What all clients of a process share: connections, the clock of each host, the limits, and how much is on its way at once.

async with open_session(limits) as session:
    answer = await session.client(account).get(endpoints.CONFIG)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import httpx

from settlement.program.venue_accounts import VenueAccount
from settlement.venues.okx.client import OkxClient, Renew
from settlement.venues.okx.clock import VenueClock
from settlement.venues.okx.limits import RateLimits

# More would only wait at OKX instead of here: two cores parse about as many pages as this many requests bring.
REQUESTS_AT_ONCE = 32
# A pool looks at each of its connections for every request: four small ones cost a quarter of a large one.
POOLS = 4
TIMEOUT = httpx.Timeout(15.0, connect=5.0)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Connections, and how many requests may be on their way over them at once: served in the order of asking."""

    http: httpx.AsyncClient
    slots: asyncio.Semaphore


@dataclass(kw_only=True)
class OkxSession:
    """Gives clients that share everything but the account; `renew` gives newer tokens to accounts that have tokens."""

    pools: Sequence[Pool]
    limits: RateLimits
    renew: Renew | None = None
    _clocks: dict[str, VenueClock] = field(default_factory=dict)
    _given: int = 0

    def client(self, account: VenueAccount) -> OkxClient:
        """Asks in the name of `account`."""
        return self._client(account.base_url, account)

    def public(self, base_url: str) -> OkxClient:
        """Asks what everybody may ask."""
        return self._client(base_url, None)

    def _client(self, base_url: str, account: VenueAccount | None) -> OkxClient:
        pool = self.pools[self._given % len(self.pools)]
        self._given += 1
        return OkxClient(
            http=pool.http,
            slots=pool.slots,
            base_url=base_url,
            limits=self.limits,
            clock=self._clocks.setdefault(base_url, VenueClock()),
            account=account,
            renew=self.renew,
        )


@asynccontextmanager
async def open_session(limits: RateLimits, *, renew: Renew | None = None) -> AsyncIterator[OkxSession]:
    """A session; its connections, and those of `limits`, are closed when the block ends."""
    at_once = REQUESTS_AT_ONCE // POOLS
    connections = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(limits.aclose)
        pools = [
            Pool(
                http=await stack.enter_async_context(httpx.AsyncClient(timeout=TIMEOUT, limits=connections)),
                slots=asyncio.Semaphore(at_once),
            )
            for _ in range(POOLS)
        ]
        yield OkxSession(pools=pools, limits=limits, renew=renew)
