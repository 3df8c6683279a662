"""Fills as the canonical columns: every value as text, ready for CSV, Parquet or OKX rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from settlement.sample.decimal_text import decimal_text
from settlement.sample.trades import FIRST_BILL_ID, PPM_DECIMALS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from settlement.sample.draws import Integers
    from settlement.sample.market import Instrument
    from settlement.sample.trades import Fills

VENUE = "okx"
ORDER_ID_OFFSET = 41_000_000_000_000


def canonical_table(
    fills: Fills, *, instruments: Sequence[Instrument], accounts: Sequence[str], tags: pa.Array, channels: pa.Array
) -> pa.Table:
    """The required columns of a canonical fills file and those optional ones that the generator fills in."""
    number = fills.instrument
    spot = np.asarray([instrument.type in {"SPOT", "MARGIN"} for instrument in instruments])[number]
    rate = pc.if_else(pa.array(spot), decimal_text(-fills.rate_ppm, PPM_DECIMALS), "")
    price_decimals = np.asarray([instrument.price_decimals for instrument in instruments], dtype=np.int64)
    size_decimals = np.asarray([instrument.size_decimals for instrument in instruments], dtype=np.int64)
    bill_id = _integer_text(fills.bill_id)
    return pa.table(
        {
            "venue": pa.repeat(pa.scalar(VENUE), len(number)),
            "account": _look_up(accounts, fills.account),
            "bill_id": bill_id,
            "trade_id": _integer_text((fills.bill_id - FIRST_BILL_ID) // 7),
            "order_id": _integer_text(fills.bill_id - ORDER_ID_OFFSET),
            "instrument": _look_up([instrument.name for instrument in instruments], number),
            "instrument_type": _look_up([instrument.type for instrument in instruments], number),
            "side": _look_up(("sell", "buy"), fills.buy.astype(np.int64)),
            "liquidity": _look_up(("maker", "taker"), fills.taker.astype(np.int64)),
            "price": decimal_text(fills.price, price_decimals[number]),
            "size": decimal_text(fills.size, size_decimals[number]),
            "fee": decimal_text(fills.fee, fills.fee_scale),
            "fee_currency": _look_up(fills.fee_currencies, fills.fee_currency),
            "tag": tags,
            "executed_at": _integer_text(fills.time_ms),
            "client_order_id": pc.binary_join_element_wise("c", _integer_text(fills.bill_id % 100_000_000), ""),
            "fee_rate": rate,
            "fee_rebate": pa.repeat(pa.scalar(""), len(number)),
            "fee_discount": pa.repeat(pa.scalar(""), len(number)),
            "channel": channels,
            "sub_type": _look_up(("2", "1"), fills.buy.astype(np.int64)),
        }
    )


def replace(table: pa.Table, name: str, values: pa.Array, *, where: Any) -> pa.Table:
    """`table` with `values` in column `name` at the rows that are true in `where`."""
    mask = pa.array(where)
    changed = pc.if_else(mask, values, table[name])
    return table.set_column(table.column_names.index(name), name, changed)


def write_table(path: Path, tables: Iterable[pa.Table]) -> int:
    """`tables`, all of the same columns, as one plain CSV file; returns the number of rows.

    Nothing is quoted: no value that the generator makes holds a comma or a quote.
    """
    rows = 0
    with path.open("wb") as file:
        for table in tables:
            if rows == 0:
                file.write(",".join(table.column_names).encode() + b"\n")
            csv.write_csv(table, file, csv.WriteOptions(include_header=False, quoting_style="none"))
            rows += table.num_rows
    return rows


def _look_up(values: Sequence[str], index: Integers) -> pa.Array:
    return pa.array(list(values), pa.string()).take(pa.array(index))


def _integer_text(values: Integers) -> pa.Array:
    return pc.cast(pa.array(values), pa.string())
