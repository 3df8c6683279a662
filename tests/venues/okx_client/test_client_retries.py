"""What is tried again, how often, and what is not; counted where the requests arrive."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from tenacity import AsyncRetrying, RetryCallState, wait_fixed

from settlement.venues.okx import client
from settlement.venues.okx.client import ATTEMPTS
from settlement.venues.okx.endpoints import FILLS, Endpoint
from settlement.venues.okx.errors import Action, OkxError, broken_answer, error_of
from settlement.venues.okx.session import OkxSession
from tests.venues.okx_client.wire import Reply, Request, Wire, ask, in_turn, refusal, rows, serving, without_waits

TRANSFER = Endpoint(path="/api/v5/asset/transfer", requests=60, seconds=1, method="POST")
PROXY = Reply(body=b"<html>502 Bad Gateway</html>", status=502)
CUT, CUT_INSIDE = Reply(cut="before"), Reply(body=b'{"code":"0","data":[]}', cut="inside")
TRUNCATED = Reply(body=b'{"code":"0","msg":"","data":[{"billId":"1')
INTEGER = Reply(body=b'{"msg":"Requests too frequent.","code":50011}', status=429)
AGAIN = {
    "50001": refusal("50001", 503),
    "50004": refusal("50004", 400),
    "50011 under 200": refusal("50011"),
    "50011 under 429": refusal("50011", 429),
    "50011 as an integer without data": INTEGER,
    "50013": refusal("50013", 429),
    "50026": refusal("50026", 500),
    "a proxy's page": PROXY,
    "429 of a proxy": Reply(body=b"slow down", status=429),
    "truncated": TRUNCATED,
    "cut before the answer": CUT,
    "cut inside the answer": CUT_INSIDE,
}


def read(wire: Wire, redis_url: str) -> list[object]:
    return ask(redis_url, lambda session: session.client(wire.account()).get(FILLS)).data


def write(wire: Wire, redis_url: str) -> list[object]:
    return ask(redis_url, lambda session: session.client(wire.account()).post(TRANSFER, {"amt": "1"})).data


def refused(asking: Callable[[Wire, str], list[object]], wire: Wire, redis_url: str) -> OkxError:
    with pytest.raises(OkxError) as raised:
        asking(wire, redis_url)
    return raised.value


@pytest.mark.parametrize("fault", AGAIN)
def test_a_read_is_tried_again(fault: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_waits(monkeypatch)
    with serving(in_turn(AGAIN[fault], AGAIN[fault], rows("here"))) as wire:
        assert read(wire, redis_url) == ["here"]
    assert len(wire.requests) == 3


def test_every_try_is_signed_anew(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_soon", wait_fixed(0.01))
    with serving(in_turn(PROXY, rows())) as wire:
        read(wire, redis_url)
    stamps = [request.headers["OK-ACCESS-TIMESTAMP"] for request in wire.requests]
    signs = [request.headers["OK-ACCESS-SIGN"] for request in wire.requests]
    assert stamps[0] < stamps[1]
    assert signs[0] != signs[1]


@pytest.mark.parametrize("fault", ["50026", "50011 under 200", "truncated", "cut before the answer"])
def test_tries_end_with_an_error_that_says_a_retry_helps(
    fault: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_waits(monkeypatch)
    with serving(in_turn(AGAIN[fault])) as wire:
        error = refused(read, wire, redis_url)
    assert len(wire.requests) == ATTEMPTS
    assert (error.retry_helps, error.parks) == (True, False)


@pytest.mark.parametrize(
    ("code", "status", "action"),
    [
        ("50014", 400, Action.REFUSE),
        ("51603", 200, Action.REFUSE),
        ("59999", 200, Action.REFUSE),
        ("50110", 401, Action.ALERT),
        ("50030", 200, Action.ALERT),
        ("50119", 200, Action.PARK),
        ("50113", 401, Action.PARK),
    ],
)
def test_what_trying_again_cannot_mend_is_asked_once(code: str, status: int, action: Action, redis_url: str) -> None:
    with serving(in_turn(refusal(code, status), rows())) as wire:
        error = refused(read, wire, redis_url)
    assert (len(wire.requests), error.action, error.code) == (1, action, code)


@pytest.mark.parametrize(
    "fault",
    ["50001", "50004", "50026", "a proxy's page", "truncated", "cut before the answer", "cut inside the answer"],
)
def test_a_post_is_not_sent_again_after_an_outcome_that_is_not_known(fault: str, redis_url: str) -> None:
    with serving(in_turn(AGAIN[fault], rows())) as wire:
        error = refused(write, wire, redis_url)
    assert (len(wire.requests), error.action) == (1, Action.RETRY)


@pytest.mark.parametrize("fault", ["50011 under 200", "50011 under 429", "50011 as an integer without data"])
def test_a_post_that_had_no_effect_is_sent_again(fault: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_waits(monkeypatch)
    with serving(in_turn(AGAIN[fault], rows("done"))) as wire:
        assert write(wire, redis_url) == ["done"]
    assert len(wire.requests) == 2


def test_a_host_that_nobody_answers_at_is_an_error_without_secrets(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_waits(monkeypatch)
    with serving(in_turn(rows())) as wire:
        pass
    error = refused(read, wire, redis_url)
    assert error.retry_helps
    assert str(error) == (
        "the connection to 127.0.0.1 failed: ConnectError; check the base_url and the connection to OKX"
    )


def test_a_server_that_is_too_slow_is_given_up(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_waits(monkeypatch)
    replies = in_turn(rows("late"), rows("in time"))

    def script(request: Request) -> Reply:
        reply = replies(request)
        if b"late" in reply.body:
            time.sleep(0.5)
        return reply

    async def asking(session: OkxSession) -> list[object]:
        own = session.client(wire.account())
        own.http.timeout = 0.2
        return (await own.get(FILLS)).data

    with serving(script) as wire:
        assert ask(redis_url, asking) == ["in time"]


def waits(error: OkxError) -> list[float]:
    """How long the client waits after each of its attempts has ended so."""
    state = RetryCallState(retry_object=AsyncRetrying(), fn=None, args=(), kwargs={})
    state.set_exception((type(error), error, None))
    each = []
    for attempt in range(1, ATTEMPTS):
        state.attempt_number = attempt
        each.append(client._wait(state))
    return each


@pytest.mark.parametrize(
    ("error", "first", "longest"),
    [
        (error_of(status=200, code="50011"), (1, 2), 10),
        (error_of(status=429, code="58102"), (1, 2), 10),
        (error_of(status=429, code="50013"), (1, 2), 10),
        (error_of(status=500, code="50026"), (0.2, 0.5), 5),
        (broken_answer("cut"), (0.2, 0.5), 5),
    ],
)
def test_a_crowded_venue_is_left_alone_for_longer(error: OkxError, first: tuple[float, float], longest: float) -> None:
    waited = waits(error)
    assert first[0] <= waited[0] <= first[1]
    # It doubles, give or take what is drawn.
    assert waited[2] > waited[0]
    assert max(waited) == waited[-1] == longest


def skewed(wire: Wire, request: Request) -> Reply:
    """OKX's own check: thirty seconds."""
    told = datetime.fromisoformat(request.headers["OK-ACCESS-TIMESTAMP"])
    ours = datetime.now(UTC) + timedelta(seconds=wire.ahead_seconds)
    return rows("here") if abs(told - ours) < timedelta(seconds=30) else refusal("50102", 401)


@pytest.mark.parametrize("ahead_seconds", [40, -40])
def test_the_clock_of_the_venue_is_measured_before_anything_is_signed(ahead_seconds: int, redis_url: str) -> None:
    with serving(lambda request: skewed(wire, request), ahead_seconds=ahead_seconds) as wire:

        async def asking(session: OkxSession) -> list[object]:
            own = session.client(wire.account())
            return [(await own.get(FILLS)).data for _ in range(2)]

        assert ask(redis_url, asking) == [["here"], ["here"]]
    assert (len(wire.requests), wire.times_told) == (2, 1)


@pytest.mark.parametrize("ahead_seconds", [40, -40])
def test_a_clock_that_goes_off_is_measured_again(ahead_seconds: int, redis_url: str) -> None:
    with serving(lambda request: skewed(wire, request)) as wire:

        async def asking(session: OkxSession) -> list[object]:
            own = session.client(wire.account())
            before = (await own.get(FILLS)).data
            wire.ahead_seconds = ahead_seconds
            return [before, (await own.get(FILLS)).data, (await own.get(FILLS)).data]

        assert ask(redis_url, asking) == [["here"]] * 3
    assert (len(wire.requests), wire.times_told) == (4, 2)


def test_a_timestamp_that_is_refused_three_times_is_given_up(redis_url: str) -> None:
    with serving(in_turn(refusal("50102", 401))) as wire:
        error = refused(read, wire, redis_url)
    assert (len(wire.requests), wire.times_told, error.action) == (3, 3, Action.RESYNC)


def test_a_post_with_a_refused_timestamp_is_sent_once_more(redis_url: str) -> None:
    with serving(in_turn(refusal("50102", 401), rows("done"))) as wire:
        assert write(wire, redis_url) == ["done"]
    assert len(wire.requests) == 2
