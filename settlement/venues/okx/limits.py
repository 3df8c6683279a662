"""OKX's rate limits, kept by all workers together: a moving window per user and endpoint, in Redis.

Nine tenths of what is documented are used, since a request that leaves within the window may arrive a little later.
Losing Redis loses the counts only; what OKX then refuses is asked again later.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from typing import Any

from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import RedisError

from settlement.errors import Unavailable
from settlement.venues.okx.endpoints import Endpoint

USED_PER_MILLE = 900
ASKED_AT_ONCE = 8
SHORTEST_WAIT_SECONDS = 0.02


class RateLimits:
    """The limits in one Redis. `remaining` and `acquire` raise Unavailable if it does not answer."""

    def __init__(self, redis_url: str) -> None:
        pool = ConnectionPool.from_url(redis_url, max_connections=2 * ASKED_AT_ONCE)
        self._redis = Redis(connection_pool=pool)
        options: Any = {"connection_pool": pool}  # the library's annotation knows plain values only
        url = redis_url.replace("unix://", "redis+unix://", 1)
        storage = RedisStorage(f"async+{url}", implementation="redispy", key_prefix="settlement.limits", **options)
        self._window = MovingWindowRateLimiter(storage)
        self._asking = asyncio.Semaphore(ASKED_AT_ONCE)

    async def acquire(self, endpoint: Endpoint, *, who: str, params: Mapping[str, str]) -> None:
        """Waits until `who` may ask `endpoint` once more, and counts that."""
        item, key = _item(endpoint), _key(endpoint, who, params)
        try:
            while True:
                async with self._asking:
                    if await self._window.hit(item, *key):
                        return
                    reset_at = (await self._window.get_window_stats(item, *key)).reset_time
                await asyncio.sleep(max(reset_at - time.time(), SHORTEST_WAIT_SECONDS))
        except RedisError as error:
            raise Unavailable(f"Redis does not answer, and without it OKX's limits cannot be kept: {error}") from error

    async def remaining(
        self, endpoint: Endpoint, *, who: str, params: Mapping[str, str] | None = None
    ) -> tuple[int, int, int]:
        """How many requests are left now, of how many, in how many seconds."""
        item = _item(endpoint)
        try:
            async with self._asking:
                stats = await self._window.get_window_stats(item, *_key(endpoint, who, params or {}))
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error
        return stats.remaining, item.amount, endpoint.seconds

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._redis.aclose(close_connection_pool=True)


def _item(endpoint: Endpoint) -> RateLimitItemPerSecond:
    allowed = max(1, math.floor(endpoint.requests * USED_PER_MILLE / 1000))
    return RateLimitItemPerSecond(allowed, endpoint.seconds)


def _key(endpoint: Endpoint, who: str, params: Mapping[str, str]) -> tuple[str, ...]:
    return (endpoint.path, who, params.get(endpoint.per, "")) if endpoint.per else (endpoint.path, who)
