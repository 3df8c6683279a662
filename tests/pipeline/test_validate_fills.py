"""Which rows are no fills: each with its reason, naming the column, the value and the mend."""

from __future__ import annotations

import io

import pytest

from settlement.pipeline.fill_blocks import Block
from settlement.pipeline.validate_fills import validate
from settlement.venues.files.csv import read_csv_fills
from tests.venues.fill_files import NOW, as_csv, fill


def checked(*rows: dict[str, str]) -> Block:
    [block] = read_csv_fills(io.BytesIO(as_csv(rows)), file="fills.csv")
    return validate(block, now=NOW)


def reason_of(**changes: str) -> str:
    """Why the changed fill, between two good ones, is put aside."""
    result = checked(fill(1), fill(2, **changes), fill(3))
    assert result.row_numbers.to_pylist() == [2, 4]
    [bad] = result.bad.to_pylist()
    assert bad["row_number"] == 3
    assert "bill_id=5002" in bad["raw"]
    return str(bad["reason"])


NEEDED = [
    "account",
    "bill_id",
    "instrument",
    "instrument_type",
    "side",
    "price",
    "size",
    "fee",
    "fee_currency",
    "executed_at",
    "venue",
]


@pytest.mark.parametrize("column", NEEDED)
def test_a_missing_value_is_named(column: str) -> None:
    [bad] = checked(fill(1, **{column: ""})).bad.to_pylist()

    assert bad["reason"] == f"{column} is empty: every fill needs one"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"price": "abc"}, "price is not a decimal: 'abc'; write plain digits such as 0.25, at most 18 decimals"),
        ({"fee": "NaN"}, "fee is 'NaN': an amount must be a finite decimal"),
        ({"fee": "-Infinity"}, "fee is '-Infinity': an amount must be a finite decimal"),
        ({"size": "1,5"}, "size is not a decimal: '1,5'"),
        (
            {"price": "1." + "1" * 19},
            "price has more than 18 decimals: '1.1111111111111111111'; round it at its source",
        ),
        ({"fee": "1" * 21}, "fee has more than 20 digits before the point"),
        ({"fee_rate": "x"}, "fee_rate is not a decimal: 'x'"),
        ({"index_price": "x"}, "index_price is not a decimal: 'x'"),
        ({"size": "-0.25"}, "size is '-0.25': it must be above zero"),
        ({"size": "0.000"}, "size is '0.000': it must be above zero"),
        ({"size": "0e5"}, "size is '0e5': it must be above zero"),
        ({"price": "-1"}, "price is '-1': it cannot be below zero"),
        ({"fee": "-1" + "0" * 15}, "fee is '-1000000000000000': nobody pays that much; correct it"),
        ({"fee_rebate": "1e15"}, "fee_rebate is '1e15': nobody pays that much; correct it"),
        (
            {"price": "1" + "0" * 10, "size": "1" + "0" * 9},
            "price x size is '10000000000' x '1000000000': nothing is worth that much; correct it",
        ),
        ({"fee_rebate": "-0.1"}, "fee_rebate is '-0.1': it cannot be below zero"),
        (
            {"instrument_type": "FOREX"},
            "instrument_type is unknown: 'FOREX'; write one of SPOT, MARGIN, SWAP, FUTURES, OPTION, EVENTS",
        ),
        ({"side": "hold"}, "side is unknown: 'hold'; write one of buy, sell"),
        ({"liquidity": "both"}, "liquidity is unknown: 'both'; write one of maker, taker"),
        ({"liquidity": "unknown"}, "liquidity is empty: write maker or taker"),
        ({"channel": "fax"}, "channel is unknown: 'fax'; write one of api, web, app"),
        ({"executed_at": "soon"}, "executed_at is not a time: 'soon'; write RFC 3339"),
        ({"executed_at": "2026-02-30T00:00:00Z"}, "executed_at is not a time: '2026-02-30T00:00:00Z'"),
        ({"executed_at": "1789369200"}, "executed_at is before 2010: '1789369200'; epoch times are milliseconds"),
        ({"executed_at": "2009-12-31T23:59:59Z"}, "executed_at is before 2010: '2009-12-31T23:59:59Z'"),
        ({"executed_at": "2026-09-20T00:01:01Z"}, "executed_at is in the future: '2026-09-20T00:01:01Z'"),
        ({"recorded_at": "then"}, "recorded_at is not a time: 'then'"),
        ({"tag": "a\x07b"}, "tag has a control character in 'a\x07b': remove it"),
        ({"instrument": "BTC\x00USDT"}, "instrument has a control character in 'BTC\\0USDT': remove it"),
    ],
)
def test_a_bad_value_is_named_with_its_mend(changes: dict[str, str], reason: str) -> None:
    assert reason_of(**changes).startswith(reason)


@pytest.mark.parametrize(
    "changes",
    [
        {"fee": "0.0001"},
        {"price": "0"},
        {"price": "-0"},
        {"size": "1e-18"},
        {"size": "1234567890123456789.123456789012345678", "price": "0.000000000000000001"},
        {"price": "1" + "0" * 9, "size": "1" + "0" * 8, "fee": "-123456789012345.1"},
        {"tag": "", "trade_id": "", "order_id": ""},
        {"channel": "unknown"},
        {"liquidity": "", "sub_type": "104"},
        {"executed_at": "2026-09-20T00:00:59Z"},
        {"executed_at": "2026-09-14T09:00:00.123456+02:00"},
        {"tag": "with, comma and 'quote' and \\ backslash"},
    ],
)
def test_what_is_unusual_but_right_is_kept(changes: dict[str, str]) -> None:
    assert checked(fill(1, **changes)).bad.to_pylist() == []


def test_a_row_has_the_first_reason_only() -> None:
    [bad] = checked(fill(1, account="", price="x", executed_at="soon")).bad.to_pylist()

    assert bad["reason"].startswith("account is empty")


def test_an_unknown_channel_is_null_and_digits_are_never_rewritten() -> None:
    [row] = checked(fill(1, channel="unknown", price="060000.500", fee="-1E-4")).table.to_pylist()

    assert (row["channel"], row["price"], row["fee"]) == (None, "060000.500", "-1E-4")
