"""prices.csv: the index every five minutes, with the holes that make PRICE_MISSING."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from settlement.sample.columns import write_table
from settlement.sample.decimal_text import decimal_text
from settlement.sample.market import CURRENCIES, MINUTE_MS, Market, epoch_ms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EVERY_MINUTES = 5
Hole = tuple[datetime, datetime]


def write_prices(path: Path, market: Market, *, holes: Mapping[str, Hole] | None = None, skip: frozenset[str]) -> None:
    """One row per currency and instant; nothing for the currencies in `skip`, nor inside a currency's hole."""
    tables = [
        _rows(currency.name, currency.decimals, market, (holes or {}).get(currency.name))
        for currency in CURRENCIES
        if currency.name not in skip
    ]
    write_table(path, tables)


def _rows(currency: str, decimals: int, market: Market, hole: Hole | None) -> pa.Table:
    walk = market.walks[currency]
    minutes = np.arange(0, len(walk), EVERY_MINUTES, dtype=np.int64)
    if hole is not None:
        start, end = ((epoch_ms(instant) - market.start_ms) // MINUTE_MS for instant in hole)
        minutes = minutes[(minutes < start) | (minutes >= end)]
    stamps = [(market.start + timedelta(minutes=int(minute))).strftime("%Y-%m-%dT%H:%M:%SZ") for minute in minutes]
    return pa.table(
        {
            "currency": [currency] * len(minutes),
            "ts": stamps,
            "price_usdt": decimal_text(walk[minutes], decimals),
            "source": ["index"] * len(minutes),
        }
    )
