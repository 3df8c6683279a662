"""Facts and fills from plain CSV text, so that a test reads as a table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Any

import pandas as pd
import pyarrow as pa

from schemas.frames import AMOUNT, FILL, TIMESTAMP
from settlement.rules.facts import Facts, Terms

_TEXT = pa.string()
FACT_COLUMNS: dict[str, dict[str, pa.DataType]] = {
    "brokers": {
        "broker_id": _TEXT, "parent_id": _TEXT, "share": AMOUNT, "status": _TEXT, "own_accounts": _TEXT,
        "effective_from": TIMESTAMP, "effective_to": TIMESTAMP,
    },
    "codes": {"code": _TEXT, "broker_id": _TEXT, "effective_from": TIMESTAMP, "effective_to": TIMESTAMP},
    "clients": {
        "venue": _TEXT, "account": _TEXT, "broker_id": _TEXT, "effective_from": TIMESTAMP, "effective_to": TIMESTAMP,
        "affiliated": pa.bool_(), "account_class": _TEXT, "rebate_share": AMOUNT,
    },
    "vip_levels": {"venue": _TEXT, "account": _TEXT, "level": pa.int16(), "effective_from": TIMESTAMP},
    "fee_rates": {
        "venue": _TEXT, "account": _TEXT, "product": _TEXT, "liquidity": _TEXT, "rate": AMOUNT, "effective_from": TIMESTAMP,
    },
    "tiers": {"broker_id": _TEXT, "tier": _TEXT, "effective_from": TIMESTAMP, "effective_to": TIMESTAMP},
    "overrides": {
        "broker_id": _TEXT, "kind": _TEXT, "product": _TEXT, "liquidity": _TEXT, "value": AMOUNT,
        "effective_from": TIMESTAMP, "effective_to": TIMESTAMP,
    },
    "reviews": {"broker_id": _TEXT, "tier": _TEXT, "effective_from": TIMESTAMP},
    "instruments": {
        "venue": _TEXT, "instrument_type": _TEXT, "instrument": _TEXT, "contract_type": _TEXT, "contract_value": AMOUNT,
        "contract_multiplier": AMOUNT, "contract_value_currency": _TEXT, "settle_currency": _TEXT, "base_currency": _TEXT,
        "quote_currency": _TEXT, "effective_from": TIMESTAMP,
    },
    "prices": {"price_id": pa.int64(), "currency": _TEXT, "ts": TIMESTAMP, "price_usdt": AMOUNT},
}  # fmt: skip


def frame(columns: Mapping[str, pa.DataType], rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows of text as a frame of `columns`; a missing or empty cell is null, or false."""
    return pd.DataFrame(
        {
            name: pd.Series(
                pd.arrays.ArrowExtensionArray(pa.array([_value(row.get(name), kind) for row in rows], kind))
            )
            for name, kind in columns.items()
        }
    )


def table(text: str) -> list[dict[str, str]]:
    """Rows of a CSV text; spaces around cells do not count."""
    parsed = pd.read_csv(StringIO(text.strip()), dtype=str, keep_default_na=False, skipinitialspace=True)
    return [{str(name).strip(): value.strip() for name, value in row.items()} for row in parsed.to_dict("records")]


def facts_of(terms: tuple[Terms, ...], **tables: list[dict[str, str]]) -> Facts:
    """Facts from rows of text; tables that are not given are empty."""
    numbered = [{**row, "price_id": str(number)} for number, row in enumerate(tables.pop("prices", []), 1)]
    frames = {name: frame(columns, tables.get(name, [])) for name, columns in FACT_COLUMNS.items() if name != "prices"}
    return Facts(terms=terms, prices=frame(FACT_COLUMNS["prices"], numbered), **frames)


def fills_of(rows: list[dict[str, str]]) -> pd.DataFrame:
    """Fills from rows of text; `unknown` channel stays as it is."""
    return frame({field.name: field.type for field in FILL}, rows)


def instant(text: str) -> datetime:
    """RFC 3339 or epoch milliseconds."""
    if text.isdigit():
        return datetime.fromtimestamp(int(text) // 1000, UTC) + pd.Timedelta(milliseconds=int(text) % 1000)
    return datetime.fromisoformat(text)


def _value(text: str | None, kind: pa.DataType) -> Any:
    if not text:
        return False if pa.types.is_boolean(kind) else None
    if pa.types.is_timestamp(kind):
        return instant(text)
    if pa.types.is_decimal(kind):
        return Decimal(text)
    if pa.types.is_boolean(kind):
        return text == "true"
    return int(text) if pa.types.is_integer(kind) else text
