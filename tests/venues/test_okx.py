"""Recorded OKX fills: envelopes, lists, JSON lines; numbers that are no strings; trades of the venue's own."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from settlement.errors import InputRefused
from settlement.pipeline.fill_blocks import Block
from settlement.pipeline.validate_fills import validate
from settlement.venues.okx import files
from settlement.venues.okx.files import read_okx_fills
from tests.venues.fill_files import NOW, as_envelope, as_okx, fill

ROWS = [fill(1), fill(2, tag=""), fill(3, liquidity="maker")]


def read(data: bytes, *, account: str | None = None) -> list[Block]:
    return list(read_okx_fills(io.BytesIO(data), file="fills.json", account=account))


def bill_ids(data: bytes) -> list[str]:
    return [bill for block in read(data) for bill in block.table["bill_id"].to_pylist()]


def put_aside(data: bytes) -> dict[int, str]:
    return {row["row_number"]: row["reason"] for block in read(data) for row in block.bad.to_pylist()}


def refusal(data: bytes) -> str:
    with pytest.raises(InputRefused) as refused:
        read(data)
    return str(refused.value)


def with_row(changes: dict[str, Any], *, at: int = 1) -> bytes:
    rows = as_okx(ROWS)
    rows[at] |= changes
    return json.dumps(rows).encode()


def in_lines(documents: list[Any]) -> bytes:
    return b"\n".join(json.dumps(document).encode() for document in documents)


SHAPES = {
    "envelope": as_envelope(ROWS),
    "envelope, indented": json.dumps(json.loads(as_envelope(ROWS)), indent=1).encode(),
    "integer code": json.dumps({"code": 0, "data": as_okx(ROWS), "new": {}}).encode(),
    "list": json.dumps(as_okx(ROWS)).encode(),
    "list of envelopes": b"[" + as_envelope(ROWS[:1]) + b"," + as_envelope(ROWS[1:]) + b"]",
    "lines of rows": in_lines(as_okx(ROWS)),
    "lines of envelopes": as_envelope(ROWS[:2]) + b"\n" + as_envelope(ROWS[2:]) + b"\n",
    "byte order mark": b"\xef\xbb\xbf" + as_envelope(ROWS),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_rows(shape: str) -> None:
    assert bill_ids(SHAPES[shape]) == ["5001", "5002", "5003"]


def test_columns_are_the_products_and_an_empty_string_is_null() -> None:
    [block] = read(as_envelope([fill(1, tag="", recorded_at="1789369201007", sub_type="1")]))
    [row] = block.table.to_pylist()

    assert row["executed_at"] == "1789369201000"
    assert row["recorded_at"] == "1789369201007"
    assert (row["venue"], row["account"], row["liquidity"], row["tag"]) == ("okx", "7001", "taker", None)
    assert (row["sub_type"], row["fee"], row["algo_id"]) == ("1", "-0.0001", None)
    assert "channel" not in row


def test_the_account_is_the_rows_own_or_else_the_callers() -> None:
    named, unnamed = as_okx(ROWS[:2])
    del unnamed["account"]
    [block] = read(json.dumps([named, unnamed]).encode(), account="42")

    assert block.table["account"].to_pylist() == ["7001", "42"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fee": 0.1}, "fee is a JSON number (0.1): write it as a string"),
        ({"fillSz": 3}, "fillSz is a JSON number (3): write it as a string"),
        ({"fillPx": ["1"]}, 'fillPx is not a string but ["1"]'),
        ({"side": True}, "side is not a string but true"),
    ],
)
def test_a_value_that_is_no_string_puts_its_row_aside(changes: dict[str, Any], reason: str) -> None:
    data = with_row(changes)

    assert put_aside(data)[2].startswith(reason)
    assert bill_ids(data) == ["5001", "5003"]


def test_whole_numbers_are_exact_as_identifiers_and_times() -> None:
    data = with_row({"fillTime": 1_789_369_202_000, "ordId": 901})

    assert put_aside(data) == {}
    assert bill_ids(data) == ["5001", "5002", "5003"]


def test_a_line_that_is_not_json_is_put_aside_with_its_number() -> None:
    first, second, third = in_lines(as_okx(ROWS)).split(b"\n")
    data = b"\n".join([first, second[:50], third.replace(b'"-0.0001"', b"NaN"), third])

    assert bill_ids(data) == ["5001", "5003"]
    assert list(put_aside(data)) == [2, 3]
    assert "the line is not JSON" in put_aside(data)[3]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "fills.json: is empty"),
        (b" \n", "fills.json: is empty"),
        (as_envelope(ROWS)[:-30], "is not JSON: "),
        (as_envelope(ROWS).replace(b'"-0.0001"', b"NaN"), "is not JSON: "),
        (b'{"code": "50011", "msg": "Too Many Requests"}', "is an answer with code 50011: Too Many Requests"),
        (b'{"code": 50011, "msg": "Too Many Requests", "data": []}', "is an answer with code 50011: Too Many Requests"),
        (b'{"code": "0", "msg": ""}', "has no list under data"),
        (b'[{"instId": "BTC-USDT", "ctVal": "1"}]', "no row has billId, instType, side, fillPx"),
        (b"3", "is neither an envelope nor a list of rows"),
    ],
)
def test_what_cannot_be_fills_is_refused_by_name(data: bytes, message: str) -> None:
    assert message in refusal(data)


def test_rows_that_do_not_say_whose_they_are_are_refused_unless_the_caller_does() -> None:
    rows = [{key: value for key, value in row.items() if key != "account"} for row in as_okx(ROWS)]

    assert "no row says whose fills these are; pass --account UID" in refusal(json.dumps(rows).encode())
    assert "pass --account UID" in refusal(in_lines(rows))


def test_a_document_beyond_the_limit_is_refused_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "DOCUMENT_BYTES_MAX", 500)

    assert "split it into JSON lines" in refusal(as_envelope(ROWS))


def test_only_the_venues_own_trades_may_leave_the_execution_type_out() -> None:
    rows = [fill(1, liquidity="", sub_type="104"), fill(2, liquidity="", sub_type="1"), fill(3, liquidity="X")]
    [block] = read(as_envelope(rows))
    checked = validate(block, now=NOW)

    assert checked.table["liquidity"].to_pylist() == [None]
    assert {row["row_number"]: row["reason"].split(":")[0] for row in checked.bad.to_pylist()} == {
        2: "liquidity is empty",
        3: "liquidity is unknown",
    }


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "bills"),
    [
        ("rows/mytrade_spot_tagged_fill.json", ["1877236041573744642"]),
        ("docs/docs_trade_fills.json", ["680800019754098688"]),
        ("docs/manual_fills_events.json", ["1003", "1004"]),
    ],
)
def test_recorded_fills_are_read_and_valid(shared_dir: Path, name: str, bills: list[str]) -> None:
    blocks = read((shared_dir / "okx" / name).read_bytes(), account="77")
    checked = [validate(block, now=NOW) for block in blocks]

    assert [bill for block in checked for bill in block.table["bill_id"].to_pylist()] == bills
    assert [block.bad.num_rows for block in checked] == [0]


@pytest.mark.shared
def test_the_recorded_fill_with_a_tag_keeps_every_digit(shared_dir: Path) -> None:
    [block] = read((shared_dir / "okx/rows/mytrade_spot_tagged_fill.json").read_bytes(), account="77")
    [row] = validate(block, now=NOW).table.to_pylist()

    assert (row["tag"], row["fee"], row["fee_rate"]) == ("e847386590ce4dBC", "-0.000001", "-0.001")
    assert row["executed_at"].isoformat() == "2024-10-09T04:33:13.707000+00:00"
    assert row["recorded_at"].isoformat() == "2024-10-09T04:33:13.708000+00:00"
