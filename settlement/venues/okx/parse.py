"""OKX fills (`trade/fills`, `trade/fills-history`) as recorded, parsed into the product's own columns.

Everything numeric is a string and "" means null; unknown keys are ignored. The execution time is `fillTime`; `ts`, when
the record was made, is `recorded_at`. OKX has no channel. `execType` is T or M, and empty on trades of the venue's own.
A JSON number where a string belongs has been through a float somewhere: such a row is put aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from settlement.errors import InputRefused
from settlement.pipeline.fill_blocks import Block, bad_rows

VENUE: Final = "okx"

# OKX's key, and the product's column.
COLUMNS: Final = {
    "account": "account",
    "billId": "bill_id",
    "tradeId": "trade_id",
    "ordId": "order_id",
    "instId": "instrument",
    "instType": "instrument_type",
    "side": "side",
    "execType": "liquidity",
    "fillPx": "price",
    "fillSz": "size",
    "fee": "fee",
    "feeCcy": "fee_currency",
    "tag": "tag",
    "fillTime": "executed_at",
    "clOrdId": "client_order_id",
    "feeRate": "fee_rate",
    "subType": "sub_type",
    "fillIdxPx": "index_price",
    "ts": "recorded_at",
    "algoId": "algo_id",
}
NEEDED: Final = ("billId", "instId", "instType", "side", "fillPx", "fillSz", "fee", "feeCcy", "fillTime")
_ROW = pa.struct([(key, pa.string()) for key in COLUMNS])
_LIQUIDITY: Final = {"T": "taker", "M": "maker"}
# A whole number is exact: identifiers and times may be written as one.
_WHOLE_NUMBERS: Final = frozenset({"account", "billId", "tradeId", "ordId", "fillTime", "ts", "subType", "algoId"})


def parse_fills(rows: Sequence[Any], *, row_numbers: Sequence[int], account: str | None) -> Block:
    """`rows` (objects of `data`) as a block; `account` is whose they are, where a row does not say so itself."""
    good, numbers = list(rows), list(row_numbers)
    bad: list[tuple[int, str, str]] = []
    try:
        parsed = pa.array(good, _ROW)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError):
        good, numbers, bad = _put_aside(rows, row_numbers)
        parsed = pa.array(good, _ROW)
    columns = {column: _filled(parsed.field(key)) for key, column in COLUMNS.items()}
    columns["venue"] = pa.array([VENUE]).take(pa.array([0] * len(good), pa.int8()))
    columns["liquidity"] = _liquidity(columns["liquidity"])
    if account is not None:
        columns["account"] = pc.fill_null(columns["account"], account)
    return Block(table=pa.table(columns), row_numbers=pa.array(numbers, pa.int64()), bad=bad_rows(bad))


def check_rows(rows: Sequence[Any], *, account: str | None, file: str) -> None:
    """Refuses rows none of which has a key that every fill needs: they are no fills, or nobody's."""
    objects = [row for row in rows if isinstance(row, dict)]
    if not objects:
        return
    missing = [key for key in NEEDED if not any(key in row for row in objects)]
    if missing:
        mend = "give OKX fills (trade/fills) as recorded"
        raise InputRefused(f"no row has {', '.join(missing)}", where=file, mend=mend)
    if account is None and not any("account" in row for row in objects):
        raise InputRefused("no row says whose fills these are", where=file, mend="pass --account UID")


def _filled(column: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


def _liquidity(column: pa.Array) -> pa.Array:
    # A letter that is neither T nor M stays as it is: validation names it.
    for letter, word in _LIQUIDITY.items():
        column = pc.if_else(pc.equal(column, letter), word, column)
    return column


def _put_aside(
    rows: Sequence[Any], row_numbers: Sequence[int]
) -> tuple[list[dict[str, Any]], list[int], list[tuple[int, str, str]]]:
    """Looks at each row of a block that holds something else than text: the good rows, their numbers, and the others."""
    good: list[dict[str, Any]] = []
    numbers: list[int] = []
    bad: list[tuple[int, str, str]] = []
    for row, number in zip(rows, row_numbers, strict=True):
        reason = _fault(row)
        if reason:
            bad.append((number, reason, orjson.dumps(row).decode()))
        else:
            good.append({key: _text(row.get(key)) for key in COLUMNS})
            numbers.append(number)
    return good, numbers, bad


def _fault(row: Any) -> str:
    """Why a row is no fill; "" if it may be one."""
    if not isinstance(row, dict):
        return "the row is not an object: give fills as OKX returns them"
    for key in COLUMNS:
        value = row.get(key)
        if value is None or isinstance(value, str):
            continue
        if isinstance(value, int) and not isinstance(value, bool) and key in _WHOLE_NUMBERS:
            continue
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return (
                f'{key} is a JSON number ({value}): write it as a string, such as "{value}", so that no digit is lost'
            )
        return f"{key} is not a string but {orjson.dumps(value).decode()[:60]}"
    return ""


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
