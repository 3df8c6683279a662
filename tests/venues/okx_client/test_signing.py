"""A request proves whose it is: known answers, the very bytes that are sent, and which headers go with which account."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest

from settlement.program.venue_accounts import OAuthTokens
from settlement.venues.okx.endpoints import CONFIG, FILLS, INSTRUMENTS, Endpoint
from settlement.venues.okx.session import OkxSession
from settlement.venues.okx.signing import signature, timestamp_of
from tests.venues.okx_client.wire import KEY, Request, ask, rows, serving

TRANSFER = Endpoint(path="/api/v5/asset/transfer", requests=60, seconds=1, method="POST")
TOKENS = OAuthTokens(access_token="access-31", refresh_token="refresh-77")  # noqa: S106 - opens nothing


def signed(request: Request) -> str:
    """The signature that the bytes which came should carry."""
    text = request.headers["OK-ACCESS-TIMESTAMP"] + request.method + request.target
    digest = hmac.new(KEY.secret.encode(), text.encode("ascii") + request.body, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    ("target", "sign"),
    [
        (b"/api/v5/account/balance", "tpQYvXdaAfU8ae6zI1rJ2xVcyMIk9BKWK/fysaanweQ="),
        (b"/api/v5/account/balance?ccy=BTC", "pS6nHuBl6Qc9S0h+soCkCVHaVHZzS19KqFpeI/doTlE="),
    ],
)
def test_the_known_signatures_come_out(target: bytes, sign: str) -> None:
    made = signature(secret="mock-secret", timestamp="2020-12-08T09:08:57.715Z", method="GET", target=target)  # noqa: S106 - the published example
    assert made == sign


@pytest.mark.parametrize(
    ("instant", "written"),
    [
        (datetime(2026, 3, 2, 7, tzinfo=UTC), "2026-03-02T07:00:00.000Z"),
        (datetime(2026, 3, 2, 7, 0, 0, 999_999, tzinfo=UTC), "2026-03-02T07:00:00.999Z"),
        (datetime(2026, 3, 2, 9, tzinfo=timezone(timedelta(hours=2))), "2026-03-02T07:00:00.000Z"),
    ],
)
def test_a_timestamp_is_utc_with_three_digits_of_milliseconds(instant: datetime, written: str) -> None:
    assert timestamp_of(instant) == written


@pytest.mark.parametrize("value", ["BTC-USDT", "a b", "a+b", "50%", "x&y=z", "ü/ä?#", "[1,2];:@!$'()*", "%41", ""])
def test_what_the_server_receives_is_what_was_signed(value: str, redis_url: str) -> None:
    with serving(lambda _: rows()) as wire:
        params = {"instId": value, "limit": "100"}
        answer = ask(redis_url, lambda session: session.client(wire.account()).get(FILLS, params))
    [request] = wire.requests
    assert request.headers["OK-ACCESS-SIGN"] == signed(request)
    assert answer.request == request.target
    # A value with nothing in it is what parse_qsl leaves out.
    assert request.params == {name: text for name, text in params.items() if text}


def test_the_body_of_a_post_is_signed_as_it_is_sent(redis_url: str) -> None:
    document = {"ccy": "USDT", "amt": "1.50", "note": "ü €"}
    with serving(lambda _: rows()) as wire:
        ask(redis_url, lambda session: session.client(wire.account()).post(TRANSFER, document))
    [request] = wire.requests
    assert request.method == "POST"
    assert request.headers["Content-Type"] == "application/json"
    assert orjson.loads(request.body) == document
    assert request.headers["OK-ACCESS-SIGN"] == signed(request)


@pytest.mark.parametrize(("demo", "header"), [(True, "1"), (False, None)])
def test_only_a_demo_account_says_so(demo: bool, header: str | None, redis_url: str) -> None:  # noqa: FBT001 - a column of the table
    with serving(lambda _: rows()) as wire:
        ask(redis_url, lambda session: session.client(wire.account(demo=demo)).get(CONFIG))
    [request] = wire.requests
    assert request.headers.get("x-simulated-trading") == header
    assert request.headers["OK-ACCESS-KEY"] == KEY.api_key
    assert request.headers["OK-ACCESS-PASSPHRASE"] == KEY.passphrase


def test_tokens_are_sent_as_a_bearer_and_nothing_is_signed(redis_url: str) -> None:
    with serving(lambda _: rows()) as wire:
        ask(redis_url, lambda session: session.client(wire.account(credentials=TOKENS)).get(CONFIG))
    [request] = wire.requests
    assert request.headers["Authorization"] == "Bearer access-31"
    assert [name for name in request.headers if name.upper().startswith("OK-ACCESS")] == []


def test_what_everybody_may_ask_is_asked_without_a_key(redis_url: str) -> None:
    with serving(lambda _: rows()) as wire:

        async def asking(session: OkxSession) -> None:
            await session.public(wire.base_url).get(INSTRUMENTS, {"instType": "SPOT"})
            await session.client(wire.account(demo=True)).get(INSTRUMENTS, {"instType": "SPOT"})

        ask(redis_url, asking)
    told = [name for request in wire.requests for name in request.headers if name.upper().startswith(("OK-", "AUTH"))]
    assert (len(wire.requests), told, wire.times_told) == (2, [], 0)


def test_each_account_is_asked_at_its_own_host(redis_url: str) -> None:
    with serving(lambda _: rows("here")) as one, serving(lambda _: rows("there"), ahead_seconds=-600) as other:

        async def asking(session: OkxSession) -> list[object]:
            clients = [session.client(one.account("7001")), session.client(other.account("7002"))]
            return [(await client.get(CONFIG)).data for client in clients]

        assert ask(redis_url, asking) == [["here"], ["there"]]
    # Each host's clock is its own.
    stamps = [wire.requests[0].headers["OK-ACCESS-TIMESTAMP"] for wire in (one, other)]
    first, second = (datetime.fromisoformat(stamp) for stamp in stamps)
    assert timedelta(seconds=595) < first - second < timedelta(seconds=605)
