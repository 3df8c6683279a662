"""Orders without a tag: listed first where they are many, asked one by one where not, each algo order once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from settlement.pipeline.venue import OrderTag
from settlement.venues.okx.algo_tags import PAGES_MAX, AlgoTags
from settlement.venues.okx.endpoints import ALGO_ORDER, ORDER, ORDERS_HISTORY, ORDERS_HISTORY_ARCHIVE
from settlement.venues.okx.errors import Action, OkxError
from settlement.venues.okx.session import OkxSession
from settlement.venues.okx.signing import milliseconds
from tests.venues.okx_client.wire import Reply, Request, Wire, ask, refusal, rows, serving

NOW = datetime.now(UTC)


@dataclass
class Orders:
    """A venue's orders: order id -> algo id; those that are still open are in no history; algo id -> tag."""

    orders: dict[str, str]
    tags: dict[str, str] = field(default_factory=dict)
    open: frozenset[str] = frozenset()
    refusing: str = ""

    def __call__(self, request: Request) -> Reply:
        asked = request.params
        if request.path == self.refusing:
            return refusal("50030")
        if request.path == ORDER.path:
            found = [order for order in self.orders if order == asked["ordId"]]
            return rows(self._row(found[0])) if found else refusal("51603")
        if request.path == ALGO_ORDER.path:
            tag = self.tags.get(asked["algoId"])
            return refusal("51603") if tag is None else rows({"algoId": asked["algoId"], "tag": tag})
        closed = sorted((int(order) for order in self.orders if order not in self.open), reverse=True)
        older = [str(order) for order in closed if order < int(asked["after"])]
        return rows(*(self._row(order) for order in older[: int(asked["limit"])]))

    def _row(self, order: str) -> dict[str, str]:
        return {"ordId": order, "instId": "BTC-USDT", "algoId": self.orders[order], "tag": "", "clOrdId": ""}


def find(
    wire: Wire, redis_url: str, *asked: Sequence[str], since: datetime = NOW - timedelta(hours=2)
) -> list[Sequence[OrderTag]]:
    """Each of `asked` in turn, by one AlgoTags."""

    async def asking(session: OkxSession) -> list[Sequence[OrderTag]]:
        tags = AlgoTags(client=session.client(wire.account()))
        return [await tags.find("SPOT", dict.fromkeys(orders, "BTC-USDT"), since=since) for orders in asked]

    return ask(redis_url, asking)


def written(tags: Sequence[OrderTag]) -> dict[str, tuple[str, str]]:
    assert {tag.account for tag in tags} <= {"7001"}
    return {tag.order_id: (tag.algo_id, tag.tag) for tag in tags}


def asked_for(wire: Wire) -> Mapping[str, int]:
    """How many requests went to each endpoint, by the end of its path."""
    paths = [request.path.rpartition("/")[2] for request in wire.requests]
    return {path: paths.count(path) for path in dict.fromkeys(paths)}


def test_a_few_orders_are_asked_one_by_one(redis_url: str) -> None:
    with serving(Orders({"11": "a1", "12": ""}, {"a1": "alphaOne"})) as wire:
        [tags] = find(wire, redis_url, ["11", "12"])
    assert written(tags) == {"11": ("a1", "alphaOne"), "12": ("", "")}
    assert asked_for(wire) == {"order": 2, "order-algo": 1}
    assert wire.of(ORDER.path)[0].params == {"instId": "BTC-USDT", "ordId": "11"}


def test_many_orders_are_listed_in_one_request(redis_url: str) -> None:
    orders = {str(number): f"a{number % 2}" for number in range(100, 140)}
    with serving(Orders(orders, {"a0": "alphaOne", "a1": ""})) as wire:
        [tags] = find(wire, redis_url, list(orders)[10:30])
    assert written(tags) == {
        str(number): (f"a{number % 2}", "alphaOne" if number % 2 == 0 else "") for number in range(110, 130)
    }
    assert asked_for(wire) == {"orders-history": 1, "order-algo": 2}
    [listing] = wire.of(ORDERS_HISTORY.path)
    # Orders are listed by when they were placed: before their fills.
    begin = milliseconds(NOW - timedelta(hours=3))
    assert listing.params == {"instType": "SPOT", "begin": begin, "after": "130", "limit": "100"}


def test_what_the_listing_does_not_hold_is_asked_by_itself(redis_url: str) -> None:
    orders = {str(number): "a1" for number in range(100, 110)}
    with serving(Orders(orders, {"a1": "alphaOne"}, open=frozenset({"104"}))) as wire:
        [tags] = find(wire, redis_url, ["102", "104", "106", "999"])
    assert written(tags) == {**dict.fromkeys(["102", "104", "106"], ("a1", "alphaOne")), "999": ("", "")}
    assert [request.params["ordId"] for request in wire.of(ORDER.path)] == ["104", "999"]
    assert asked_for(wire) == {"orders-history": 1, "order": 2, "order-algo": 1}


def test_the_listing_goes_on_until_the_oldest_order_and_no_further_than_a_few_pages(redis_url: str) -> None:
    orders = {str(number): "" for number in range(1000, 2000)}
    with serving(Orders(orders)) as wire:
        near, far = find(wire, redis_url, ["1999", "1950", "1850"], ["1999", "1950", "1001"])
    assert (len(near), len(far)) == (3, 3)
    cursors = [request.params["after"] for request in wire.of(ORDERS_HISTORY.path)]
    assert cursors == ["2000", "1900", "2000", "1900", "1800"]
    assert PAGES_MAX == 3
    assert [request.params["ordId"] for request in wire.of(ORDER.path)] == ["1001"]


@pytest.mark.parametrize(
    ("age", "path"),
    [
        (timedelta(hours=2), ORDERS_HISTORY.path),
        (timedelta(days=7) - timedelta(minutes=61), ORDERS_HISTORY.path),
        (timedelta(days=7) - timedelta(minutes=59), ORDERS_HISTORY_ARCHIVE.path),
        (timedelta(days=60), ORDERS_HISTORY_ARCHIVE.path),
    ],
)
def test_what_is_older_than_seven_days_is_listed_from_the_archive(age: timedelta, path: str, redis_url: str) -> None:
    with serving(Orders({"11": "", "12": "", "13": ""})) as wire:
        find(wire, redis_url, ["11", "12", "13"], since=datetime.now(UTC) - age)
    assert [request.path for request in wire.requests] == [path]


def test_an_order_or_an_algo_order_that_is_not_known_any_more_has_no_tag(redis_url: str) -> None:
    with serving(Orders({"11": "gone"})) as wire:
        [tags] = find(wire, redis_url, ["11", "12"])
    assert written(tags) == {"11": ("gone", ""), "12": ("", "")}


def test_each_algo_order_is_asked_once(redis_url: str) -> None:
    orders = {str(number): "a1" if number % 2 else "gone" for number in range(10, 20)}
    with serving(Orders(orders, {"a1": "alphaOne"})) as wire:
        first, second = find(wire, redis_url, list(orders), ["11", "12"])
    assert len(first) == 10
    assert written(second) == {"11": ("a1", "alphaOne"), "12": ("gone", "")}
    assert sorted(request.params["algoId"] for request in wire.of(ALGO_ORDER.path)) == ["a1", "gone"]


def test_no_orders_are_no_requests(redis_url: str) -> None:
    with serving(Orders({})) as wire:
        assert find(wire, redis_url, []) == [[]]
    assert wire.requests == []


def test_orders_that_are_no_numbers_are_asked_one_by_one(redis_url: str) -> None:
    with serving(Orders({"x1": "a1", "x2": "", "x3": ""}, {"a1": "alphaOne"})) as wire:
        [tags] = find(wire, redis_url, ["x1", "x2", "x3"])
    assert written(tags)["x1"] == ("a1", "alphaOne")
    assert asked_for(wire) == {"order": 3, "order-algo": 1}


@pytest.mark.parametrize("path", [ORDER.path, ALGO_ORDER.path, ORDERS_HISTORY.path])
def test_what_a_person_has_to_mend_is_no_missing_tag(path: str, redis_url: str) -> None:
    orders = {"11": "a1", "12": "a1", "13": "a1"}
    asked = ["11", "12"] if path == ORDER.path else list(orders)
    with serving(Orders(orders, {"a1": "alphaOne"}, refusing=path)) as wire, pytest.raises(OkxError) as refused:
        find(wire, redis_url, asked)
    assert refused.value.action is Action.ALERT
