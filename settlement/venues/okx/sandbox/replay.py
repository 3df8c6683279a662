"""Recorded rows and tapes of trades, served again with their own times.

A row belongs to the account that it names, else to the one that is given. It is served with all its keys and values as
they were recorded. The same row twice is one row; of rows that differ under the same billId the first is served.
A tape is a CSV of public trades: each becomes a spot fill of a taker who is charged 0.1 %, by OKX's fee arithmetic.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa

from settlement.errors import InputRefused
from settlement.venues.okx.files import read_recorded_rows
from settlement.venues.okx.sandbox.blocks import Block, make_block

DEFAULT_ACCOUNT: Final = "10001"
TAPE_COLUMNS: Final = ("ts_ms", "tradeId", "price", "amount", "side")
TAKER_RATE: Final = Decimal("-0.001")
_PAIR: Final = re.compile(r"([a-z0-9]+)[_-]([a-z0-9]+)", re.IGNORECASE)
_MEND_TAPE: Final = "a tape has the columns " + ",".join(TAPE_COLUMNS)


@dataclass(frozen=True, kw_only=True)
class Recording:
    """The rows of all files, whose they are, and the spot pairs among them."""

    block: Block
    accounts: list[str]
    spot: set[str]


def read_recording(files: Sequence[Path], *, account: str | None, instrument: str | None, tag: str = "") -> Recording:
    """Reads every file; InputRefused says which cannot be served and why."""
    owner = account or DEFAULT_ACCOUNT
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for path in files:
        found = _read_tape(path, instrument, tag) if path.suffix.lower() == ".csv" else _read_rows(path)
        for number, row in enumerate(found, 1):
            rows.setdefault((str(row.get("account") or owner), _bill_id(row, path, number)), row)
    if not rows:
        raise InputRefused("holds no rows", where=str(files[0]), mend="give OKX fills or a tape of trades")
    accounts = sorted({uid for uid, _ in rows})
    types = sorted({str(row["instType"]) for row in rows.values()})
    values = list(rows.values())
    block = make_block(
        accounts=accounts,
        account=_indexes(accounts, [uid for uid, _ in rows]),
        types=types,
        kind=_indexes(types, [str(row["instType"]) for row in values]),
        bill_id=np.asarray([bill_id for _, bill_id in rows], dtype=np.int64),
        order_id=np.asarray([_number(row.get("ordId")) for row in values], dtype=np.int64),
        recorded_ms=np.asarray([_number(row.get("ts") or row.get("fillTime")) for row in values], dtype=np.int64),
        text=pa.array([orjson.dumps(row).decode() for row in values], pa.large_string()),
    )
    spot = {str(row["instId"]) for row in values if row["instType"] in {"SPOT", "MARGIN"}}
    return Recording(block=block, accounts=accounts, spot=spot)


def _read_rows(path: Path) -> Iterator[dict[str, Any]]:
    with _opened(path) as stream:
        yield from read_recorded_rows(stream, file=path.name)


def _read_tape(path: Path, instrument: str | None, tag: str) -> Iterator[dict[str, Any]]:
    pair = instrument or _pair_of(path)
    base, quote = pair.split("-")[:2]
    with _opened(path) as stream:
        lines = csv.DictReader(line.decode() for line in stream)
        if missing := [name for name in TAPE_COLUMNS if name not in (lines.fieldnames or [])]:
            raise InputRefused(f"has no column {', '.join(missing)}", where=path.name, mend=_MEND_TAPE)
        for line in lines:
            yield _fill_of_trade(line, pair=pair, currencies=(base, quote), tag=tag)


def _fill_of_trade(line: dict[str, str], *, pair: str, currencies: tuple[str, str], tag: str) -> dict[str, Any]:
    buy = line["side"] == "buy"
    size, price = Decimal(line["amount"]), Decimal(line["price"])
    fee = TAKER_RATE * (size if buy else size * price)
    trade_id = int(line["tradeId"])
    return {
        "instType": "SPOT", "instId": pair, "tradeId": str(trade_id), "ordId": str(10**15 + trade_id), "clOrdId": "",
        "billId": str(2 * 10**15 + trade_id), "subType": "1" if buy else "2", "tag": tag, "fillPx": f"{price:f}",
        "fillSz": f"{size:f}", "fillIdxPx": "", "fillPnl": "0", "fillPxVol": "", "fillPxUsd": "", "fillMarkVol": "",
        "fillFwdPx": "", "fillMarkPx": "", "side": line["side"], "posSide": "net", "execType": "T",
        "feeCcy": currencies[0 if buy else 1], "fee": f"{fee.normalize():f}", "ts": line["ts_ms"],
        "fillTime": line["ts_ms"], "feeRate": f"{TAKER_RATE:f}", "tradeQuoteCcy": currencies[1],
    }  # fmt: skip


def _pair_of(path: Path) -> str:
    found = _PAIR.match(path.stem)
    if found is None:
        raise InputRefused("does not say which pair was traded", where=path.name, mend="pass --instrument BASE-QUOTE")
    return f"{found[1]}-{found[2]}".upper()


def _opened(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputRefused(f"cannot be read: {error.strerror}", where=str(path), mend="give a readable file") from None


def _bill_id(row: Any, path: Path, number: int) -> int:
    if not isinstance(row, dict) or "instType" not in row or "instId" not in row:
        raise InputRefused("is no fill", where=f"{path.name} row {number}", mend="give rows of trade/fills as recorded")
    if (bill_id := _number(row.get("billId"))) < 0:
        raise InputRefused("has no billId", where=f"{path.name} row {number}", mend="give rows as OKX returned them")
    return bill_id


def _number(value: Any) -> int:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and int(text) < 2**63 else -1


def _indexes(names: Sequence[str], values: Sequence[str]) -> Any:
    places = {name: at for at, name in enumerate(names)}
    return np.asarray([places[value] for value in values], dtype=np.int64)
