"""Column contracts of the frames that pass between the parts."""

from __future__ import annotations

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")
AMOUNT = pa.decimal128(38, 18)

REQUIRED_FILL_COLUMNS = (
    "venue",
    "account",
    "bill_id",
    "trade_id",
    "order_id",
    "instrument",
    "instrument_type",
    "side",
    "liquidity",
    "price",
    "size",
    "fee",
    "fee_currency",
    "tag",
    "executed_at",
)
OPTIONAL_FILL_COLUMNS = (
    "client_order_id",
    "fee_rate",
    "fee_rebate",
    "fee_discount",
    "channel",
    "sub_type",
    "index_price",
    "recorded_at",
    "algo_id",
)

# A fill as it is handed from a reader to ingest and by COPY to PostgreSQL: every number and identifier as the text that
# was read and validated, so that no digit is ever rewritten; only the times are parsed.
# `flags` are set by an adapter that looked something up; no file brings any.
TAG_FROM_ALGO = "TAG_FROM_ALGO"  # the tag is that of the algo order which placed the fill's order
FILE_COLUMNS = (*REQUIRED_FILL_COLUMNS, *OPTIONAL_FILL_COLUMNS)
FILL_TEXT = pa.schema(
    [(name, TIMESTAMP if name in {"executed_at", "recorded_at"} else pa.string()) for name in (*FILE_COLUMNS, "flags")]
)

# A fill as the rules read it.
FILL = pa.schema(
    [
        ("venue", pa.string()),
        ("account", pa.string()),
        ("bill_id", pa.string()),
        ("instrument", pa.string()),
        ("instrument_type", pa.string()),
        ("liquidity", pa.string()),
        ("price", AMOUNT),
        ("size", AMOUNT),
        ("fee", AMOUNT),
        ("fee_currency", pa.string()),
        ("tag", pa.string()),
        ("executed_at", TIMESTAMP),
        ("fee_rate", AMOUNT),
        ("fee_rebate", AMOUNT),
        ("fee_discount", pa.string()),
        ("channel", pa.string()),
        ("sub_type", pa.string()),
        ("flags", pa.string()),
    ]
)
