"""One account's view of OKX v5: signed requests within the limits, tried again where that helps.

A read is tried again whatever its outcome was. A request that changes something is tried again only where OKX says that it
had no effect (too many requests, a refused timestamp or token); after an unknown outcome its caller asks, never resends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from settlement.program.venue_accounts import VenueAccount
from settlement.venues.okx.clock import VenueClock
from settlement.venues.okx.endpoints import TIME, Endpoint
from settlement.venues.okx.envelope import data_of
from settlement.venues.okx.errors import Action, OkxError, broken_answer
from settlement.venues.okx.limits import RateLimits
from settlement.venues.okx.signing import EPOCH, headers_of

ATTEMPTS = 8
HAD_NO_EFFECT = frozenset({Action.BACK_OFF, Action.RESYNC, Action.REAUTHORISE})
TRIED_AGAIN = frozenset({*HAD_NO_EFFECT, Action.RETRY})
# What has to be mended before it is tried again, and how often that may help one request.
MENDED_AT_MOST = {Action.RESYNC: 2, Action.REAUTHORISE: 1}

_soon = wait_exponential_jitter(multiplier=0.2, max=5, jitter=0.3)
_later = wait_exponential_jitter(multiplier=1, max=10, jitter=1)

Renew = Callable[[VenueAccount], Awaitable[VenueAccount]]
"""Gives the account with tokens that are newer than those it holds; raises OkxError where there are none."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What OKX answered: the rows of `data`, the body as it came, and the path that was asked."""

    data: list[Any]
    body: bytes = field(repr=False)
    request: str


@dataclass(kw_only=True)
class OkxClient:
    """Asks OKX at `base_url`, for `account` or, without one, its public endpoints."""

    http: httpx.AsyncClient
    slots: asyncio.Semaphore
    base_url: str
    limits: RateLimits
    clock: VenueClock
    account: VenueAccount | None
    renew: Renew | None = None

    async def get(self, endpoint: Endpoint, params: Mapping[str, str] | None = None) -> Answer:
        """The answer to a read; raises OkxError once trying again does not help any more."""
        return await self._try(endpoint, params or {}, b"", tried_again=TRIED_AGAIN)

    async def post(self, endpoint: Endpoint, document: Mapping[str, Any]) -> Answer:
        """The answer to a request that changes something; an OkxError with RETRY leaves its outcome unknown."""
        return await self._try(endpoint, {}, orjson.dumps(document), tried_again=HAD_NO_EFFECT)

    async def server_time(self) -> datetime:
        """OKX's clock. Straight to the host: the caller may hold a slot, and so few requests need no limit of their own."""
        status, content = await self._send(self.http.build_request("GET", f"{self.base_url}{TIME.path}"))
        try:
            return EPOCH + timedelta(milliseconds=int(data_of(content, status=status)[0]["ts"]))
        except (KeyError, IndexError, TypeError, ValueError, OverflowError):
            raise broken_answer("public/time tells no time", status=status) from None

    async def _try(
        self, endpoint: Endpoint, params: Mapping[str, str], body: bytes, *, tried_again: frozenset[Action]
    ) -> Answer:
        seen: list[Action] = []

        def helps(error: BaseException) -> bool:
            if not isinstance(error, OkxError) or error.action not in tried_again:
                return False
            return seen.count(error.action) <= MENDED_AT_MOST.get(error.action, ATTEMPTS)

        async for attempt in AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS), wait=_wait, retry=retry_if_exception(helps), reraise=True
        ):
            with attempt:
                if seen and seen[-1] in MENDED_AT_MOST:
                    await self._mend(seen[-1])
                try:
                    return await self._ask(endpoint, params, body)
                except OkxError as error:
                    seen.append(error.action)
                    raise
        raise AssertionError("tenacity ends with an answer or an error")

    async def _ask(self, endpoint: Endpoint, params: Mapping[str, str], body: bytes) -> Answer:
        # The limit of what everybody may ask is the address's, whoever asks.
        who = self.account.account if self.account is not None and endpoint.signed else self.base_url
        await self.limits.acquire(endpoint, who=who, params=params)
        query = f"?{urlencode(params)}" if params else ""
        request = self.http.build_request(endpoint.method, f"{self.base_url}{endpoint.path}{query}", content=body)
        request.headers["Content-Type"] = "application/json"
        async with self.slots:
            if endpoint.signed and self.account is not None:
                # Signed last: a timestamp does not wait for a slot.
                now = await self.clock.now(self.server_time)
                target = request.url.raw_path
                request.headers.update(
                    headers_of(self.account, method=endpoint.method, target=target, body=body, now=now)
                )
            status, content = await self._send(request)
        data = data_of(content, status=status)
        return Answer(data=data, body=content, request=request.url.raw_path.decode())

    async def _send(self, request: httpx.Request) -> tuple[int, bytes]:
        try:
            response = await self.http.send(request)
        except httpx.TimeoutException:
            raise broken_answer(f"{request.url.host} did not answer in time") from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise broken_answer(f"the connection to {request.url.host} failed: {type(error).__name__}") from None
        return response.status_code, response.content

    async def _mend(self, action: Action) -> None:
        """What has to be done before the same request has a chance."""
        if action is Action.RESYNC:
            await self.clock.measure(self.server_time)
        elif self.renew is not None and self.account is not None:
            self.account = await self.renew(self.account)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    crowded = isinstance(error, OkxError) and (error.action is Action.BACK_OFF or error.code == "50013")
    return _later(state) if crowded else _soon(state)
