"""Rows as the exchange has them, and as they are stored: to be equal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from tests.harvest.desk import Desk


def served(desk: Desk, start: datetime) -> list[tuple[Any, ...]]:
    """What exists at the exchange, executed within the hour, as it is to be stored."""
    begin = int(start.timestamp() * 1000)
    rows = [row for row in desk.sandbox.fills(all="true") if begin <= int(row["fillTime"]) < begin + 3_600_000]
    return sorted(
        (row["account"], row["billId"], Decimal(row["fillPx"]), Decimal(row["fillSz"]), Decimal(row["fee"]))
        for row in rows
    )


def stored(desk: Desk) -> list[tuple[Any, ...]]:
    """Every stored fill."""
    return sorted(desk.stored("account, bill_id, price, size, fee"))


def write_recording(path: Path, *, start: datetime, fills: int, accounts: int, types: Sequence[str]) -> None:
    """Rows for the sandbox to replay, ten of them in each millisecond that has any; every order has a tag."""
    begin = int(start.timestamp() * 1000)
    with path.open("wb") as lines:
        for number in range(fills):
            instant = str(begin + number // 10 * (36_000_000 // fills))
            row = {
                "account": str(9000 + number % accounts), "instType": types[number // accounts % len(types)],
                "instId": "BTC-USDT", "tradeId": str(number), "ordId": str(10**15 + number // 30), "clOrdId": "",
                "billId": str(2 * 10**15 + number), "subType": "1", "tag": "someCode", "fillPx": "60000.1",
                "fillSz": f"0.{number:06}1", "side": "buy", "posSide": "net", "execType": "T", "feeCcy": "BTC",
                "fee": f"-0.{number:09}1", "ts": instant, "fillTime": instant,
            }  # fmt: skip
            lines.write(orjson.dumps(row) + b"\n")
