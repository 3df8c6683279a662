"""Recorded rows and tapes, served with their own times and values."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.venues.sandbox.running import COMMAND, get, running, walk


def row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "instType": "SPOT", "instId": "AAA-USDT", "tradeId": str(number), "ordId": str(900 + number // 2), "clOrdId": "",
        "billId": str(10_000 + number), "subType": "1", "tag": "someBrokersCode1", "fillPx": "1.50", "fillSz": "2.0",
        "side": "buy", "posSide": "net", "execType": "T", "feeCcy": "AAA", "fee": "-0.0020", "feeRate": "-0.001",
        "ts": str(1_600_000_000_000 + number // 3), "fillTime": str(1_600_000_000_000 + number // 3), "newKey": "kept",
        **more,
    }  # fmt: skip


def lines(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return str(path)


def test_rows_are_served_as_recorded_whatever_their_age(tmp_path: Path) -> None:
    rows = [row(number) for number in range(250)]
    envelope = tmp_path / "first.json"
    envelope.write_text(json.dumps({"code": "0", "msg": "", "data": rows[:120]}))
    more = lines(tmp_path / "more.jsonl", rows[100:])
    with running("--replay", str(envelope), more, "--account", "70001") as sandbox:
        assert [each["account"] for each in sandbox.accounts] == ["70001"]
        assert {"venue", "account", "api_key", "secret", "passphrase", "base_url"} <= set(sandbox.line)
        first = get(sandbox.line, "trade/fills").json()["data"]
        assert len(first) == 100
        assert walk(sandbox.line, "trade/fills") == rows[::-1]
        assert walk(sandbox.line, "trade/fills-history", instType="SPOT") == rows[::-1]
        assert get(sandbox.line, "trade/fills-history", instType="SWAP").json()["data"] == []
        assert [each["account"] for each in sandbox.fills()] == ["70001"] * 250


def test_a_row_belongs_to_the_account_that_it_names(tmp_path: Path) -> None:
    rows = [row(1, account="80001"), row(2), row(3, account="80002")]
    with running("--replay", lines(tmp_path / "rows.jsonl", rows)) as sandbox:
        owners = {each["account"]: walk(each, "trade/fills") for each in sandbox.accounts}
        assert owners == {"80001": [rows[0]], "80002": [rows[2]], "10001": [rows[1]]}
        assert "api_key" not in sandbox.line


def test_an_order_of_recorded_rows_can_be_looked_up(tmp_path: Path) -> None:
    with running("--replay", lines(tmp_path / "rows.jsonl", [row(2), row(3)])) as sandbox:
        order = get(sandbox.line, "trade/order", instId="AAA-USDT", ordId="901").json()["data"][0]
        assert (order["accFillSz"], order["fee"], order["tag"]) == ("4", "-0.004", "someBrokersCode1")
        assert get(sandbox.line, "trade/order", instId="BBB-USDT", ordId="901").json()["code"] == "51603"


def test_a_tape_of_trades_becomes_a_takers_fills(tmp_path: Path) -> None:
    tape = tmp_path / "aaa_bbb_trades.csv"
    tape.write_text(
        "ts_ms,tradeId,type,side,price,amount,cost\n"
        "1600000000000,7,,sell,0.002,50.0,0.1\n1600000000000,8,,buy,0.002,20.0,0.04\n"
    )
    with running("--replay", str(tape), "--tag", "tapeBroker000001") as sandbox:
        buy, sell = walk(sandbox.line, "trade/fills-history", instType="SPOT")
    assert (buy["tradeId"], buy["fee"], buy["feeCcy"], buy["subType"]) == ("8", "-0.02", "AAA", "1")
    assert (sell["tradeId"], sell["fee"], sell["feeCcy"], sell["subType"]) == ("7", "-0.0001", "BBB", "2")
    assert {(each["ts"], each["tag"]) for each in (buy, sell)} == {("1600000000000", "tapeBroker000001")}


def test_recorded_rows_stand_beside_a_live_market(tmp_path: Path) -> None:
    path = lines(tmp_path / "rows.jsonl", [row(1)])
    with running("--seed", "3", "--accounts", "2", "--fills-per-hour", "20", "--replay", path) as sandbox:
        assert sandbox.accounts[0]["account"] == "10001"
        assert len(sandbox.accounts) == 3
        assert walk(sandbox.accounts[0], "trade/fills") == [row(1)]
        assert walk(sandbox.accounts[1], "trade/fills")


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("empty.json", "", "is empty"),
        ("odd.json", '[{"instId": "A-B"}]', "odd.json row 1: is no fill"),
        ("error.json", '{"code": "50011", "msg": "Too Many Requests"}', "code 50011"),
        ("cut.jsonl", f'{json.dumps(row(1))}\n{json.dumps(row(2))}\n{{"bil', "cut.jsonl line 3"),
        ("tape.csv", "ts_ms,price\n1,2\n", "does not say which pair"),
        ("aaa_bbb.csv", "ts_ms,price\n1,2\n", "has no column tradeId"),
    ],
)
def test_a_file_that_cannot_be_served_is_named(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    command = [sys.executable, "-c", COMMAND, "sandbox", "--replay", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert complaint in ended.stderr
    assert "Traceback" not in ended.stderr
