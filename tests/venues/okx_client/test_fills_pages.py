"""Walks through the pages of fills: nothing is lost or asked twice, and each walk ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from settlement.pipeline.venue import Page
from settlement.program.venue_accounts import ApiKey, VenueAccount
from settlement.venues.okx.endpoints import FILLS, FILLS_HISTORY, Endpoint
from settlement.venues.okx.errors import OkxError
from settlement.venues.okx.fills import INSTRUMENT_TYPES, PAGE_ROWS, OkxFills
from settlement.venues.okx.session import OkxSession
from settlement.venues.okx.signing import milliseconds
from tests.venues.fill_files import as_okx, fill
from tests.venues.okx_client.wire import (
    Reply,
    Request,
    Script,
    Wire,
    ask,
    in_turn,
    refusal,
    rows,
    serving,
    without_waits,
)
from tests.venues.sandbox.running import Sandbox, running

HOUR = timedelta(hours=1)
NOW = datetime.now(UTC).replace(microsecond=0)


def recorded(number: int, *, at: datetime = NOW - HOUR, **changes: Any) -> dict[str, Any]:
    """A row as OKX gives it: without an account, recorded at `at`."""
    [row] = as_okx([fill(number)])
    del row["account"]
    return {**row, "ts": milliseconds(at), "fillTime": milliseconds(at), **changes}


def book(held: Sequence[dict[str, Any]]) -> Script:
    """A venue that holds these rows and pages as OKX does: newest first, by billId."""
    newest_first = sorted(held, key=lambda row: -int(row["billId"]))

    def script(request: Request) -> Reply:
        asked = request.params
        found = [
            row
            for row in newest_first
            if int(asked["begin"]) <= int(row["ts"]) <= int(asked["end"])
            and int(row["billId"]) < int(asked.get("after") or 10**18)
        ]
        return rows(*found[: int(asked["limit"])])

    return script


async def walk(
    session: OkxSession, account: VenueAccount, *, kind: str = "SPOT", begin: datetime, end: datetime
) -> list[Page]:
    own = OkxFills.of(session.client(account))
    pages = [await own.read_page(kind, begin=begin, end=end, after=None)]
    while pages[-1].older is not None:
        pages.append(await own.read_page(kind, begin=begin, end=end, after=pages[-1].older))
    return pages


def walked(wire: Wire, redis_url: str, *, begin: datetime = NOW - 2 * HOUR, end: datetime = NOW) -> list[Page]:
    return ask(redis_url, lambda session: walk(session, wire.account(), begin=begin, end=end))


def data(page: Page) -> list[dict[str, Any]]:
    return list(orjson.loads(page.body)["data"])


def bill_ids(pages: Sequence[Page]) -> list[str]:
    return [row["billId"] for page in pages for row in data(page)]


def test_pages_that_end_inside_one_millisecond_of_one_order_lose_nothing(redis_url: str) -> None:
    held = [recorded(number) for number in range(250)]
    assert {(row["ordId"], row["ts"]) for row in held} == {("901", held[0]["ts"])}
    with serving(book(held)) as wire:
        pages = walked(wire, redis_url)
    assert bill_ids(pages) == [row["billId"] for row in reversed(held)]
    assert [page.rows for page in pages] == [100, 100, 50]
    assert [page.older for page in pages] == ["5150", "5050", None]
    assert [request.params.get("after") for request in wire.requests] == [None, "5150", "5050"]


def test_a_page_says_what_was_asked_and_keeps_the_answer_as_it_came(redis_url: str) -> None:
    begin, end = NOW - 2 * HOUR, NOW - HOUR
    with serving(book([recorded(1)])) as wire:
        [page] = walked(wire, redis_url, begin=begin, end=end)
    [request] = wire.requests
    assert request.params == {
        "instType": "SPOT",
        "begin": milliseconds(begin),
        "end": milliseconds(end),
        "limit": "100",
    }
    assert (page.account, page.instrument_type, page.request) == ("7001", "SPOT", request.target)
    assert page.body == wire.script(request).body
    assert NOW <= page.fetched_at <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("count", "pages"), [(0, [0]), (99, [99]), (100, [100, 0]), (101, [100, 1]), (200, [100, 100, 0])]
)
def test_a_page_that_is_not_full_is_the_last(count: int, pages: list[int], redis_url: str) -> None:
    with serving(book([recorded(number) for number in range(count)])) as wire:
        assert [page.rows for page in walked(wire, redis_url)] == pages


def test_a_page_with_rows_twice_still_leads_on(redis_url: str) -> None:
    held = [recorded(number) for number in range(150, 0, -1)]
    first, second = [*held[:3], *held[:100]], held[100:]
    with serving(in_turn(rows(*first), rows(*second))) as wire:
        pages = walked(wire, redis_url)
    assert [(page.rows, page.older) for page in pages] == [(103, "5051"), (50, None)]


def circle(*starts: int) -> Script:
    """Full pages that begin at these rows, whatever is asked."""
    return in_turn(*(rows(*(recorded(number) for number in range(start, start - 100, -1))) for start in starts))


@pytest.mark.parametrize(
    "starts", [(200,), (200, 250), (200, 100, 200)], ids=["same page", "newer page", "in a circle"]
)
def test_a_page_that_does_not_lead_on_is_refused(
    starts: tuple[int, ...], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_waits(monkeypatch)
    with serving(circle(*starts)) as wire, pytest.raises(OkxError, match="does not lead on") as refused:
        walked(wire, redis_url)
    assert refused.value.retry_helps
    assert len(wire.requests) == max(len(starts), 2)


@pytest.mark.parametrize(
    ("age", "endpoint"),
    [
        (timedelta(minutes=10), FILLS),
        (timedelta(days=3) - timedelta(minutes=31), FILLS),
        # The three days end while the walk is under way.
        (timedelta(days=3) - timedelta(minutes=29), FILLS_HISTORY),
        (timedelta(days=80), FILLS_HISTORY),
    ],
)
def test_what_is_older_than_three_days_is_asked_of_the_history(
    age: timedelta, endpoint: Endpoint, redis_url: str
) -> None:
    begin = datetime.now(UTC) - age
    with serving(book([])) as wire:
        walked(wire, redis_url, begin=begin, end=begin + HOUR)
    assert [request.path for request in wire.requests] == [endpoint.path]


def test_a_refused_page_is_an_error(redis_url: str) -> None:
    with serving(lambda _: refusal("50119")) as wire, pytest.raises(OkxError) as refused:
        walked(wire, redis_url)
    assert refused.value.parks


SYSTEM, OWN = "100", "1"


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({"tag": ""}, True),
        ({"tag": None}, True),
        ({"tag": "alphaOne"}, False),
        ({"tag": "", "ordId": ""}, False),
        ({"tag": "", "subType": OWN}, True),
        # Trades of the venue's own were not placed through a broker.
        ({"tag": "", "subType": SYSTEM}, False),
        # A number where a text belongs: the row is put aside later, its page goes on.
        ({"tag": "", "fee": 0.5}, True),
        ({"tag": "", "ordId": 901}, True),
    ],
)
def test_orders_without_a_tag_are_named(changes: dict[str, Any], asked: bool, redis_url: str) -> None:  # noqa: FBT001 - a column of the table
    with serving(book([recorded(1, tag="alphaOne", ordId="7"), recorded(2, **changes)])) as wire:
        [page] = walked(wire, redis_url)
    assert page.untagged == ({"901": "BTC-USDT"} if asked else {})


def test_a_row_that_is_no_fill_does_not_stop_the_walk(redis_url: str) -> None:
    held = [recorded(number) for number in range(150, 0, -1)]
    spoilt = [held[0] | {"tag": 5}, "no row", *held[1:98], held[98] | {"billId": int(held[98]["billId"])}]
    with serving(in_turn(rows(*spoilt), rows(*held[99:]))) as wire:
        pages = walked(wire, redis_url)
    assert [(page.rows, page.older) for page in pages] == [(PAGE_ROWS, held[98]["billId"]), (51, None)]


@pytest.fixture(scope="module")
def market() -> Iterator[Sandbox]:
    with running("--seed", "11", "--accounts", "2", "--fills-per-hour", "2400") as sandbox:
        yield sandbox


def sandbox_account(market: Sandbox, number: int) -> VenueAccount:
    written = market.accounts[number]
    key = ApiKey(**{name: written[name] for name in ("api_key", "secret", "passphrase")})
    return VenueAccount(venue="okx", account=written["account"], base_url=market.base_url, credentials=key)


@pytest.mark.parametrize("hours_ago", [1, 100], ids=["recent", "history"])
def test_walks_of_all_types_bring_what_the_exchange_has(market: Sandbox, hours_ago: int, redis_url: str) -> None:
    account = sandbox_account(market, 0)
    start = NOW.replace(minute=0, second=0) - hours_ago * HOUR
    end = start + HOUR - timedelta(milliseconds=1)

    async def asking(session: OkxSession) -> list[list[Page]]:
        return [await walk(session, account, kind=kind, begin=start, end=end) for kind in INSTRUMENT_TYPES]

    walks = ask(redis_url, asking)
    held = market.fills(account=account.account, begin=milliseconds(start), end=milliseconds(start + HOUR))
    found = [bill_id for pages in walks for bill_id in bill_ids(pages)]
    assert len(held) > 500
    assert sorted(found) == sorted(row["billId"] for row in held)


@pytest.mark.parametrize(
    "fault", ["cut_before", "cut_inside", "truncated", "50011_int", "502_html", "skew", "duplicate_rows"]
)
def test_a_walk_survives_what_the_exchange_does_wrong(market: Sandbox, fault: str, redis_url: str) -> None:
    account = sandbox_account(market, 1)
    start = NOW.replace(minute=0, second=0) - 2 * HOUR
    span = {"begin": start, "end": start + HOUR - timedelta(milliseconds=1)}
    before = market.stats()["faults"].get(fault, 0)
    market.control("faults", {"script": [{"path": FILLS.path, "nth": 2, "fault": fault}]})
    pages = ask(redis_url, lambda session: walk(session, account, kind="SWAP", **span))
    held = [
        row
        for row in market.fills(account=account.account, begin=milliseconds(start), end=milliseconds(start + HOUR))
        if row["instType"] == "SWAP"
    ]
    assert market.stats()["faults"][fault] == before + 1
    assert set(bill_ids(pages)) == {row["billId"] for row in held}
