"""Prices: what one unit of a currency was worth in USDT, from `ts` on.

USDT is 1 by definition and has no price; a price is above 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.frames import AMOUNT
from settlement.program.csv_columns import BadRow, Columns, mask_of, read_blocks

REQUIRED = ("currency", "ts", "price_usdt")
OPTIONAL = ("source",)


def read_prices(path: Path) -> Iterator[tuple[pa.Table, list[BadRow]]]:
    """The good rows (row_number, currency, ts, price_usdt, source) and the bad ones of a file, block by block."""
    for columns in read_blocks(path, required=REQUIRED, optional=OPTIONAL):
        yield check_prices(columns)


def check_prices(columns: Columns) -> tuple[pa.Table, list[BadRow]]:
    """The good rows (row_number, currency, ts, price_usdt, source) and the bad ones of some rows of text."""
    currency = columns.required("currency")
    columns.put_aside(mask_of(pc.equal(currency, "USDT")), "currency", "has no price: it is 1 by definition")
    ts = columns.times("ts")
    price_usdt = columns.decimals("price_usdt")
    columns.put_aside(mask_of(pc.less_equal(_amounts(columns, price_usdt), _ZERO)), "price_usdt", "is not above 0")
    checked = {"currency": currency, "ts": ts, "price_usdt": price_usdt, "source": columns.optional("source")}
    return columns.good_rows(checked), columns.bad_rows()


_ZERO = pa.scalar(0, AMOUNT)


def _amounts(columns: Columns, written: Any) -> Any:
    return pc.cast(pc.if_else(pa.array(columns.bad), pa.scalar(None, pa.string()), written), AMOUNT)
