"""Rows and files of fills for tests: one good fill, and what differs from it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

NOW = datetime(2026, 9, 20, tzinfo=UTC)
FIRST = 1_789_369_200_000  # 2026-09-14T07:00:00Z

GOOD = {
    "venue": "okx",
    "account": "7001",
    "bill_id": "5001",
    "trade_id": "801",
    "order_id": "901",
    "instrument": "BTC-USDT",
    "instrument_type": "SPOT",
    "side": "buy",
    "liquidity": "taker",
    "price": "60000.5",
    "size": "0.25",
    "fee": "-0.0001",
    "fee_currency": "BTC",
    "tag": "alphaOne",
    "executed_at": str(FIRST),
}
OKX_KEYS = {
    "account": "account",
    "bill_id": "billId",
    "trade_id": "tradeId",
    "order_id": "ordId",
    "instrument": "instId",
    "instrument_type": "instType",
    "side": "side",
    "liquidity": "execType",
    "price": "fillPx",
    "size": "fillSz",
    "fee": "fee",
    "fee_currency": "feeCcy",
    "tag": "tag",
    "executed_at": "fillTime",
    "sub_type": "subType",
    "recorded_at": "ts",
}


def fill(number: int = 1, **changes: str) -> dict[str, str]:
    """The good fill with bill id 5000 + `number`, executed `number` seconds after 07:00, and with `changes`."""
    return {**GOOD, "bill_id": str(5000 + number), "executed_at": str(FIRST + number * 1000), **changes}


def as_csv(rows: Sequence[Mapping[str, str]], *, line_end: str = "\n") -> bytes:
    """`rows` as a CSV file with all the columns that any of them has."""
    columns = list(dict.fromkeys(name for row in [GOOD, *rows] for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator=line_end)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_okx(rows: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """`rows` as OKX would return them, each with its account."""
    return [_okx_row(row) for row in rows]


def as_envelope(rows: Sequence[Mapping[str, str]]) -> bytes:
    """`rows` in OKX's envelope."""
    return json.dumps({"code": "0", "msg": "", "data": as_okx(rows)}).encode()


def _okx_row(row: Mapping[str, str]) -> dict[str, Any]:
    written = {OKX_KEYS[name]: value for name, value in row.items() if name != "venue"}
    written["execType"] = {"maker": "M", "taker": "T"}.get(row["liquidity"], row["liquidity"])
    return {**written, "posSide": "net", "fillPnl": "0"}
