"""Instruments as a venue's adapter hands them over, in the product's own words."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from settlement.program.csv_columns import BadRow


@dataclass(frozen=True, kw_only=True)
class Instruments:
    """A snapshot of a venue's instruments.

    `rows` are text columns: row_number, venue, instrument, instrument_type, contract_type, contract_value,
    contract_multiplier, contract_value_currency, settle_currency, base_currency, quote_currency; null where the
    instrument has none.
    """

    source: str
    rows: pa.Table
    bad_rows: tuple[BadRow, ...]
    read: int
