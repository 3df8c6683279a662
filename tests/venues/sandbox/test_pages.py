"""Fills in pages: the market's own, in OKX's order and shape."""

from __future__ import annotations

import time
from collections import Counter
from decimal import Decimal
from itertools import pairwise

import httpx
import pytest

from tests.venues.sandbox.conftest import SIZE
from tests.venues.sandbox.running import Sandbox, get, running, walk

HOUR_MS = 3_600_000


def last_hour() -> dict[str, int]:
    start = time.time_ns() // 1_000_000 // HOUR_MS * HOUR_MS - HOUR_MS
    return {"begin": start, "end": start + HOUR_MS - 1}


def test_a_walk_gives_every_fill_of_an_hour_once_newest_first(market: Sandbox) -> None:
    account, hour = market.accounts[3], last_hour()
    rows = walk(account, "trade/fills", **hour)
    assert len(rows) > 200
    for newer, older in pairwise(rows):
        assert int(newer["billId"]) > int(older["billId"])
        assert int(newer["ts"]) >= int(older["ts"])
        assert int(newer["fillTime"]) >= int(older["fillTime"])
    existing = market.fills(account=account["account"], begin=str(hour["begin"]), end=str(hour["end"] + 1))
    assert {row["billId"]: row for row in rows} == {
        row["billId"]: {key: value for key, value in row.items() if key != "account"} for row in existing
    }


def test_the_hour_has_as_many_fills_as_was_asked_for(market: Sandbox) -> None:
    hour = last_hour()
    assert len(market.fills(begin=str(hour["begin"]), end=str(hour["end"] + 1))) == 9000


def test_some_page_ends_inside_an_order_within_one_millisecond(market: Sandbox) -> None:
    cut = 0
    for account in market.accounts:
        rows = walk(account, "trade/fills", **last_hour())
        ends = [(rows[at - 1], rows[at]) for at in range(100, len(rows), 100)]
        cut += sum(left["ordId"] == right["ordId"] and left["ts"] == right["ts"] for left, right in ends)
    assert cut > 0


def test_history_needs_an_instrument_type_and_agrees_with_fills(market: Sandbox) -> None:
    account, hour = market.accounts[10], last_hour()
    refused = get(account, "trade/fills-history", **hour)
    assert (refused.status_code, refused.json()["code"]) == (400, "50014")
    kinds = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION", "EVENTS")
    history = [row for kind in kinds for row in walk(account, "trade/fills-history", instType=kind, **hour)]
    recent = walk(account, "trade/fills", **hour)
    assert sorted(row["billId"] for row in history) == sorted(row["billId"] for row in recent)


def test_before_alone_gives_the_newest_rows(market: Sandbox) -> None:
    account = market.accounts[3]
    rows = walk(account, "trade/fills", **last_hour())
    page = get(account, "trade/fills", before=rows[-1]["billId"], **last_hour()).json()["data"]
    assert [row["billId"] for row in page] == [row["billId"] for row in rows[:100]]


def test_both_ends_of_a_span_are_inclusive(market: Sandbox) -> None:
    account = market.accounts[3]
    some = walk(account, "trade/fills", **last_hour())[50]
    found = walk(account, "trade/fills", begin=some["ts"], end=some["ts"])
    assert some in found
    assert {row["ts"] for row in found} == {some["ts"]}


def test_rows_have_the_shape_of_their_type(market: Sandbox) -> None:
    rows = market.fills(**{name: str(value) for name, value in last_hour().items()})
    for row in rows:
        assert ("feeRate" in row) == (row["instType"] in {"SPOT", "MARGIN"})
        assert 0 <= int(row["ts"]) - int(row["fillTime"]) <= 14
        if row["instType"] == "SPOT":
            assert row["feeCcy"] == row["instId"].split("-")[0 if row["side"] == "buy" else 1]
    assert any(Decimal(row["fee"]) > 0 for row in rows), "maker rebates"
    assert any(row["tradeId"].startswith("-") for row in rows), "liquidations"
    system = [row for row in rows if row["execType"] == ""]
    assert system
    assert all(row["tag"] == "" and 100 <= int(row["subType"]) <= 377 for row in system)
    orders = Counter((row["account"], row["ordId"]) for row in rows)
    assert set(orders.values()) == {1, 2, 3, 4}


def test_an_algo_child_has_no_tag_but_its_algo_order_has(market: Sandbox) -> None:
    account = market.accounts[17]
    untagged = [row for row in walk(account, "trade/fills", **last_hour()) if not row["tag"]]
    children = [row for row in untagged if row["clOrdId"].startswith("O")]
    others = [row for row in untagged if not row["clOrdId"]]
    order = get(account, "trade/order", instId=children[0]["instId"], ordId=children[0]["ordId"]).json()["data"][0]
    assert (order["source"], order["clOrdId"]) == ("7", f"O{order['algoId']}")
    algo = get(account, "trade/order-algo", algoId=order["algoId"]).json()["data"][0]
    assert len(algo["tag"]) == 16
    plain = get(account, "trade/order", instId=others[0]["instId"], ordId=others[0]["ordId"]).json()["data"][0]
    assert plain["algoId"] == ""
    assert get(account, "trade/order", instId="BTC-USDT", ordId="1").json()["code"] == "51603"


def test_an_order_is_the_sum_of_its_fills(market: Sandbox) -> None:
    account = market.accounts[3]
    rows = walk(account, "trade/fills", **last_hour())
    order_id, count = Counter(row["ordId"] for row in rows[5:]).most_common(1)[0]
    fills = [row for row in rows if row["ordId"] == order_id]
    assert count > 1
    order = get(account, "trade/order", instId=fills[0]["instId"], ordId=order_id).json()["data"][0]
    assert Decimal(order["fee"]) == sum(Decimal(row["fee"]) for row in fills)
    assert Decimal(order["accFillSz"]) == sum(Decimal(row["fillSz"]) for row in fills)


def test_the_same_seed_makes_the_same_market(market: Sandbox) -> None:
    hour = {name: str(value) for name, value in last_hour().items()}
    with running("--seed", "20260302", *SIZE) as again:
        assert again.fills(**hour) == market.fills(**hour)
        assert [each["secret"] for each in again.accounts] == [each["secret"] for each in market.accounts]
    with running("--seed", "7", *SIZE) as other:
        assert other.fills(**hour) != market.fills(**hour)


def test_nothing_is_served_before_it_was_recorded(market: Sandbox) -> None:
    rows = walk(market.accounts[3], "trade/fills", begin=time.time_ns() // 1_000_000 - HOUR_MS)
    newest = int(get(market.accounts[3], "trade/fills", limit=1).json()["data"][0]["ts"])
    assert rows
    assert int(rows[0]["ts"]) <= newest <= time.time_ns() // 1_000_000


@pytest.mark.parametrize("parameter", [{"limit": "101"}, {"limit": "0"}, {"after": "x"}, {"instType": "STOCK"}])
def test_a_parameter_that_makes_no_sense_is_refused(market: Sandbox, parameter: dict[str, str]) -> None:
    refused = get(market.accounts[4], "trade/fills", **parameter)
    assert (refused.status_code, refused.json()["code"]) == (400, "51000")


def test_the_index_is_the_one_that_the_fills_were_priced_by(market: Sandbox) -> None:
    rows = [row for row in market.fills(begin=str(last_hour()["begin"])) if row["instId"] == "BTC-USDT-SWAP"]
    fill = rows[0]
    minute = int(fill["fillTime"]) // 60_000 * 60_000
    asked = {"instId": "BTC-USDT", "bar": "1m", "after": str(minute + 1), "limit": "3"}
    candles = httpx.get(f"{market.base_url}/api/v5/market/history-index-candles", params=asked).json()["data"]
    assert [int(candle[0]) for candle in candles] == [minute, minute - 60_000, minute - 120_000]
    assert candles[0][1] == fill["fillIdxPx"]
    assert candles[0][5] == "1"
    assert candles[1][4] == candles[0][1], "a candle closes where the next one opens"


def test_public_data_needs_no_key(market: Sandbox) -> None:
    public = f"{market.base_url}/api/v5/public"
    server = int(httpx.get(f"{public}/time").json()["data"][0]["ts"])
    assert abs(server - time.time_ns() // 1_000_000) < 2_000
    swaps = httpx.get(f"{public}/instruments", params={"instType": "SWAP"}).json()["data"]
    assert {"BTC-USDT-SWAP", "BTC-USD-SWAP"} <= {row["instId"] for row in swaps}
    assert httpx.get(f"{public}/instruments", params={"instType": "OPTION"}).json()["code"] == "50014"
    asked = {"instType": "OPTION", "instFamily": "BTC-USD"}
    options = httpx.get(f"{public}/instruments", params=asked).json()["data"]
    assert [row["ctMult"] for row in options] == ["0.01"]
    tickers = httpx.get(f"{market.base_url}/api/v5/market/index-tickers", params={"quoteCcy": "USDT"}).json()["data"]
    assert {"BTC-USDT", "USDC-USDT"} <= {row["instId"] for row in tickers}
