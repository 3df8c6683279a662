"""How much of OKX's limits is left right now, over all accounts that are pulled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from settlement.venues.okx.endpoints import FILLS, FILLS_HISTORY, Endpoint
from settlement.venues.okx.event_loop import run_async
from settlement.venues.okx.limits import RateLimits

WATCHED = (FILLS, FILLS_HISTORY)


@dataclass(frozen=True, kw_only=True)
class LeastLeft:
    """The account with the least left of one endpoint: how many requests, of how many, in how many seconds."""

    path: str
    account: str
    remaining: int
    limit: int
    seconds: int


def least_left(redis_url: str, accounts: Sequence[str]) -> list[LeastLeft]:
    """One for each watched endpoint; raises Unavailable if Redis does not answer. `accounts` is not empty."""
    return run_async(lambda: _least_left(redis_url, accounts))


async def _least_left(redis_url: str, accounts: Sequence[str]) -> list[LeastLeft]:
    limits = RateLimits(redis_url)
    try:
        return [await _of_endpoint(limits, endpoint, accounts) for endpoint in WATCHED]
    finally:
        await limits.aclose()


async def _of_endpoint(limits: RateLimits, endpoint: Endpoint, accounts: Sequence[str]) -> LeastLeft:
    left = await asyncio.gather(*(limits.remaining(endpoint, who=account) for account in accounts))
    (remaining, limit, seconds), account = min(zip(left, accounts, strict=True))
    path = endpoint.path.removeprefix("/api/v5/")
    return LeastLeft(path=path, account=account, remaining=remaining, limit=limit, seconds=seconds)
