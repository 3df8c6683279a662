"""Stored fills in the venue's own words, to be compared with what the venue says exists."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
from sqlalchemy import Connection, text

from settlement.store.copying import copy_out

_MILLISECONDS = "(extract(epoch FROM {}) * 1000)::bigint::text"
# The venue's name of each column.
_COLUMNS = {
    "account": "account",
    "billId": "bill_id",
    "instId": "instrument",
    "side": "side",
    "fillPx": "price::text",
    "fillSz": "size::text",
    "fee": "fee::text",
    "feeCcy": "fee_currency",
    "fillTime": _MILLISECONDS.format("executed_at"),
    "ts": _MILLISECONDS.format("venue_recorded_at"),
}
_SCHEMA = pa.schema([(name, pa.string()) for name in _COLUMNS])
_READ = f"""
    SELECT {", ".join(_COLUMNS.values())} FROM fill
    WHERE venue = %(venue)s AND venue_recorded_at >= %(start)s AND venue_recorded_at < %(end)s
"""  # noqa: S608 - constants of this module


def read(connection: Connection, *, venue: str, start: datetime, end: datetime) -> pa.Table:
    """The fills that the venue recorded in [start, end), every value as text."""
    parameters = {"venue": venue, "start": start, "end": end}
    tables = list(copy_out(connection, _READ, schema=_SCHEMA, parameters=parameters))
    return pa.concat_tables(tables) if tables else _SCHEMA.empty_table()


def executed(connection: Connection, *, start: datetime, end: datetime) -> int:
    """How many fills were executed in [start, end)."""
    query = text("SELECT count(*) FROM fill WHERE executed_at >= :start AND executed_at < :end")
    return int(connection.execute(query, {"start": start, "end": end}).scalar_one())
