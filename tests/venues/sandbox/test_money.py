"""The funding account, and the broker's file of rebates."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.venues.sandbox.running import Sandbox, get, post, running


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    options = ("--accounts", "6", "--fills-per-hour", "60", "--file-seconds", "0.3", "--link-seconds", "2")
    with running(*options) as started:
        yield started


def until(found: Callable[[], Any], wanted: Any) -> None:
    deadline = time.monotonic() + 10
    while (last := found()) != wanted:
        assert time.monotonic() < deadline, last
        time.sleep(0.25)


def balance(account: dict[str, Any]) -> Decimal:
    return Decimal(get(account, "asset/balances", ccy="USDT").json()["data"][0]["bal"])


def test_a_transfer_is_pending_then_done(sandbox: Sandbox) -> None:
    account = sandbox.accounts[0]
    order = {"ccy": "USDT", "amt": "2.5", "from": "6", "to": "18", "clientId": "first1"}
    done = post(account, "asset/transfer", **order).json()["data"][0]
    state = lambda: get(account, "asset/transfer-state", transId=done["transId"]).json()["data"][0]["state"]  # noqa: E731 - asked again and again
    assert state() == "pending"
    until(state, "success")
    assert balance(account) == Decimal("997.5")
    bill = get(account, "asset/bills").json()["data"][0]
    assert (bill["balChg"], bill["type"], bill["clientId"]) == ("-2.5", "131", "first1")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amt": "1000000"}, "58350"),
        ({"amt": "-1"}, "51000"),
        ({"amt": "NaN"}, "51000"),
        ({"amt": "0.000000001"}, "51000"),
        ({"to": "6"}, "51000"),
        ({"ccy": ""}, "50014"),
        ({"clientId": "not allowed"}, "51000"),
    ],
)
def test_a_transfer_that_cannot_be_is_refused(sandbox: Sandbox, change: dict[str, str], code: str) -> None:
    order = {"ccy": "USDT", "amt": "1", "from": "6", "to": "18"} | change
    account = sandbox.accounts[1]
    answers = lambda: post(account, "asset/transfer", **order).json()["code"]  # noqa: E731 - asked again and again
    until(answers, code)
    assert balance(account) == 1000


def test_a_withdrawal_goes_through_its_states(sandbox: Sandbox) -> None:
    broker = sandbox.broker
    before = balance(broker)
    order = {"ccy": "USDT", "amt": "10", "dest": "4", "chain": "USDT-TRC20", "toAddr": "T1", "clientId": "out1"}
    assert post(broker, "asset/withdrawal", **order).json()["data"][0]["clientId"] == "out1"
    state = lambda: get(broker, "asset/withdrawal-history", clientId="out1").json()["data"][0]["state"]  # noqa: E731 - asked again and again
    assert state() == "0"
    until(state, "2")
    assert balance(broker) == before - 11


def test_a_withdrawal_that_fails_gives_the_money_back(sandbox: Sandbox) -> None:
    broker = sandbox.broker
    before = balance(broker)
    order = {"ccy": "USDT", "amt": "10", "dest": "3", "toAddr": "failing-1", "clientId": "out2"}
    assert post(broker, "asset/withdrawal", **order).json()["code"] == "0"
    assert balance(broker) == before - 10
    until(lambda: get(broker, "asset/withdrawal-history", clientId="out2").json()["data"][0]["state"], "-1")
    assert balance(broker) == before
    order["toAddr"] = "unverified-1"
    assert post(broker, "asset/withdrawal", **order).json()["code"] == "58207"


def test_the_same_client_id_twice_moves_the_money_twice(sandbox: Sandbox) -> None:
    broker = sandbox.broker
    before = balance(broker)
    for _ in range(2):
        order = {"ccy": "USDT", "amt": "1", "dest": "3", "toAddr": "1", "clientId": "twice"}
        assert post(broker, "asset/withdrawal", **order).json()["code"] == "0"
    assert balance(broker) == before - 2


def test_the_broker_is_paid_for_each_hour_once(sandbox: Sandbox) -> None:
    bills = get(sandbox.broker, "asset/bills", type="152").json()["data"]
    assert 20 <= len(bills) <= 24
    assert all(Decimal(bill["balChg"]) > 0 for bill in bills)
    assert len({bill["ts"] for bill in bills}) == len(bills)
    assert get(sandbox.broker, "asset/bills", type="152").json()["data"] == bills


def test_the_rebate_file_is_ordered_made_and_linked_for_a_while(sandbox: Sandbox) -> None:
    day = f"{datetime.now(UTC):%Y%m%d}"
    broker = sandbox.broker
    assert post(broker, "broker/fd/rebate-per-orders", begin=day, end=day).json()["data"][0]["result"] == "false"
    assert post(broker, "broker/fd/rebate-per-orders", begin=day, end=day).json()["code"] == "50011"
    time.sleep(0.5)
    made = get(broker, "broker/fd/rebate-per-orders", type="true", begin=day, end=day).json()["data"][0]
    assert made["state"] == "finished"
    rows = list(csv.DictReader(io.StringIO(httpx.get(made["fileHref"], timeout=60).text)))
    assert rows
    keys = [(row["uid"], row["ordId"]) for row in rows]
    assert len(set(keys)) == len(keys), "one row an order a day"
    rates = {"true": Decimal("0.10"), "false": Decimal("0.35")}
    for row in rows:
        owed = Decimal(row["netFee"]) * rates[row["affiliated"]]
        assert abs(Decimal(row["brokerRebate"]) - owed) <= Decimal("0.000000000001")
        assert Decimal(row["netFee"]) in {max(Decimal(row["fee"]), Decimal(0)), Decimal(0)}
        assert bool(Decimal(row["spotTradeAmt"])) != bool(Decimal(row["derivativeTradeAmt"]))
    forged = made["fileHref"].replace("RebateDetails-2", "RebateDetails-1")
    assert httpx.get(forged).status_code == 403
    until(lambda: httpx.get(made["fileHref"]).status_code, 403)
