"""The limits hold for all processes together, for each user apart; counted where the requests arrive."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable
from dataclasses import replace

import pytest

from settlement.errors import Unavailable
from settlement.venues.okx.endpoints import CONFIG, INSTRUMENTS, Endpoint
from settlement.venues.okx.limits import RateLimits
from settlement.venues.okx.session import OkxSession
from tests.venues.okx_client.wire import Wire, ask, in_turn, refusal, rows, serving

SMALL = Endpoint(path="/api/v5/small", requests=5, seconds=1)
# Whoever waits for this one waits far longer than a busy machine may take for a few requests.
LONG = Endpoint(path="/api/v5/long", requests=5, seconds=60)
SOON = 20
EACH = 7
# One of several processes that ask as fast as they are let, all at once.
ASKING = f"""
import asyncio, sys
from settlement.program.venue_accounts import ApiKey, VenueAccount
from settlement.venues.okx.endpoints import Endpoint
from settlement.venues.okx.limits import RateLimits
from settlement.venues.okx.session import open_session

base_url, redis_url = sys.argv[1:]
small = Endpoint(path="{SMALL.path}", requests={SMALL.requests}, seconds={SMALL.seconds})
key = ApiKey(api_key="k", secret="s", passphrase="p")
account = VenueAccount(venue="okx", account="7001", base_url=base_url, credentials=key)

async def run():
    async with open_session(RateLimits(redis_url)) as session:
        await asyncio.gather(*(session.client(account).get(small) for _ in range({EACH})))

asyncio.run(run())
"""


def arrivals(wire: Wire) -> list[float]:
    return sorted(request.at for request in wire.requests)


def test_two_processes_together_stay_within_the_limit(redis_url: str) -> None:
    with serving(lambda _: rows()) as wire:
        command = [sys.executable, "-c", ASKING, wire.base_url, redis_url]
        asking = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        complaints = [process.communicate(timeout=60)[1] for process in asking]
    assert complaints == ["", ""]
    times = arrivals(wire)
    assert len(times) == 2 * EACH
    windows = [last - first for first, last in zip(times, times[SMALL.requests :], strict=False)]
    # A busy machine notes an arrival late; without a common count the windows would be of no length at all.
    assert min(windows) > SMALL.seconds / 2, windows
    assert times[-1] - times[0] < SOON, "the limit is used, not undercut"


async def seconds_of(*asked: Awaitable[object]) -> float:
    begun = time.monotonic()
    await asyncio.gather(*asked)
    return time.monotonic() - begun


def test_one_user_does_not_wait_for_another(redis_url: str) -> None:
    accounts = [f"700{number}" for number in range(6)]

    async def asking(session: OkxSession) -> float:
        clients = [session.client(wire.account(account)) for account in accounts]
        return await seconds_of(*(client.get(LONG) for client in clients for _ in range(4)))

    with serving(lambda _: rows()) as wire:
        assert ask(redis_url, asking) < SOON
    assert len(wire.requests) == 4 * len(accounts)


def test_each_endpoint_is_counted_apart(redis_url: str) -> None:
    other = replace(LONG, path="/api/v5/other")

    async def asking(session: OkxSession) -> float:
        own = session.client(wire.account())
        return await seconds_of(*(own.get(endpoint) for endpoint in (LONG, other) for _ in range(4)))

    with serving(lambda _: rows()) as wire:
        assert ask(redis_url, asking) < SOON
    assert len(wire.requests) == 8


def test_nine_tenths_go_at_once_and_the_next_waits_for_the_window(redis_url: str) -> None:
    async def asking(session: OkxSession) -> list[tuple[int, int, int]]:
        own, left = session.client(wire.account()), []
        for endpoint in [LONG] * 4 + [SMALL] * 5:
            await own.get(endpoint)
            left.append(await session.limits.remaining(LONG, who="7001"))
        return left

    with serving(lambda _: rows()) as wire:
        left = ask(redis_url, asking)
    assert left[:4] == [(count, 4, 60) for count in (3, 2, 1, 0)]
    first, last = wire.of(SMALL.path)[0], wire.of(SMALL.path)[-1]
    assert last.at - first.at > SMALL.seconds - 0.2


@pytest.mark.parametrize(
    ("endpoint", "left"), [(INSTRUMENTS, {"SPOT": 16, "SWAP": 17}), (CONFIG, {"SPOT": 1, "SWAP": 1})]
)
def test_what_is_limited_per_parameter_is_counted_per_parameter(
    endpoint: Endpoint, left: dict[str, int], redis_url: str
) -> None:
    async def asking(session: OkxSession) -> dict[str, int]:
        own = session.client(wire.account())
        for kind in ("SPOT", "SPOT", "SWAP"):
            await own.get(endpoint, {"instType": kind})
        who = wire.base_url if endpoint is INSTRUMENTS else "7001"
        counted = {kind: session.limits.remaining(endpoint, who=who, params={"instType": kind}) for kind in left}
        return {kind: (await count)[0] for kind, count in counted.items()}

    with serving(lambda _: rows()) as wire:
        assert ask(redis_url, asking) == left


def test_the_address_shares_one_limit_for_what_everybody_may_ask(redis_url: str) -> None:
    public = Endpoint(path="/api/v5/public/small", requests=5, seconds=1, scope="address")

    async def asking(session: OkxSession) -> None:
        clients = [session.public(wire.base_url), *(session.client(wire.account(f"700{at}")) for at in range(4))]
        await asyncio.gather(*(client.get(public) for client in clients))

    with serving(lambda _: rows()) as wire:
        # The first may take its time on the way; the last one waits from when it was counted.
        begun = time.monotonic()
        ask(redis_url, asking)
    assert arrivals(wire)[-1] - begun > public.seconds - 0.2, "five requests of one address, of which four go at once"


def test_without_redis_nothing_is_asked() -> None:
    async def asking(session: OkxSession) -> None:
        await session.client(wire.account()).get(SMALL)

    with serving(lambda _: rows()) as wire, pytest.raises(Unavailable, match="limits cannot be kept"):
        ask("redis://127.0.0.1:1/0", asking)
    assert wire.requests == []


def test_a_request_that_is_refused_counts(redis_url: str) -> None:
    async def asking(session: OkxSession) -> tuple[int, int, int]:
        await session.client(wire.account()).get(LONG)
        return await session.limits.remaining(LONG, who="7001")

    with serving(in_turn(refusal("50026", 500), rows())) as wire:
        assert ask(redis_url, asking) == (2, 4, 60)


def test_an_allowance_of_one_stays_one(redis_url: str) -> None:
    single = Endpoint(path="/api/v5/single", requests=1, seconds=10)

    async def run() -> tuple[int, int, int]:
        limits = RateLimits(redis_url)
        await limits.acquire(single, who="7001", params={})
        left = await limits.remaining(single, who="7001")
        await limits.aclose()
        return left

    assert asyncio.run(run()) == (0, 1, 10)
