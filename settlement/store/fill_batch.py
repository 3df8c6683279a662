"""A batch of fills made ready for PostgreSQL: the bytes that COPY reads, and what ingest has to know about them.

Everything here is done before the batch's turn comes, in the thread that reads ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.frames import FILL_TEXT

KEY: Final = ("venue", "account", "bill_id")
COLUMN_NAMES: Final = {name: name for name in FILL_TEXT.names} | {"recorded_at": "venue_recorded_at"}

_BACKSLASH = 0x5C
_MICROSECONDS_OF_MINUTE, _MICROSECONDS_OF_MILLISECOND = 60_000_000, 1_000


@dataclass(frozen=True, kw_only=True)
class FillBatch:
    """Fills in the order in which they are to be stored: by hour of execution, then by key.

    `copy_text` is COPY's text format of `columns`. `reach` has a row for each (venue, account, day) with the least and
    the greatest bill id: columns venue, account, day, first, last.
    """

    table: pa.Table
    row_numbers: pa.Array
    load_id: int
    columns: tuple[str, ...]
    copy_text: memoryview
    reach: pa.Table
    days: tuple[date, ...]
    hours: tuple[datetime, ...]

    @property
    def days_overlap(self) -> bool:
        """Whether an account has bill ids on one day that lie within its range of another day of this batch."""
        if len(self.days) == 1:
            return False
        reach = self.reach.sort_by([("venue", "ascending"), ("account", "ascending"), ("first", "ascending")])
        before, after = reach.slice(0, reach.num_rows - 1), reach.slice(1)
        same = pc.and_(pc.equal(before["venue"], after["venue"]), pc.equal(before["account"], after["account"]))
        return bool(pc.any(pc.and_(same, pc.greater_equal(before["last"], after["first"]))).as_py())


def make_batch(table: pa.Table, row_numbers: pa.Array, *, load_id: int) -> FillBatch:
    """`table` (FILL_TEXT, at least one row, validated) as a batch of this load."""
    hour = pc.floor_temporal(table["executed_at"], unit="hour")
    day = pc.cast(pc.floor_temporal(table["executed_at"], unit="day"), pa.date32())
    keys = table.select(KEY).append_column("hour", hour).append_column("day", day)
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in ("hour", *KEY)])
    columns = tuple(name for name in FILL_TEXT.names if table[name].null_count < table.num_rows)
    lines = encode_rows(table, columns, last=str(load_id)).take(order)
    ranges = keys.group_by(["venue", "account", "day"]).aggregate([("bill_id", "min"), ("bill_id", "max")])
    return FillBatch(
        table=table,
        row_numbers=row_numbers,
        load_id=load_id,
        columns=(*(COLUMN_NAMES[name] for name in columns), "load_id"),
        copy_text=characters(lines),
        reach=ranges.rename_columns({"bill_id_min": "first", "bill_id_max": "last"}),
        days=tuple(pc.unique(day).sort().to_pylist()),
        hours=tuple(pc.unique(hour).sort().to_pylist()),
    )


def encode_rows(table: pa.Table, columns: Sequence[str], *, last: Any) -> pa.Array:
    """Each row as a line of COPY's text format: tabs between, null as nothing, `last` (text or column) as last column.

    No value holds a tab or a newline: control characters were refused. So a backslash is all there is to escape.
    """
    texts = [_text(table[name].combine_chunks()) for name in columns]
    ends = pc.binary_join_element_wise(last, "", "\n")
    return pc.binary_join_element_wise(*texts, ends, "\t", null_handling="replace", null_replacement="")


def characters(lines: pa.Array) -> memoryview:
    """The text of all lines, one after the other, without a copy."""
    offsets = np.frombuffer(lines.buffers()[1], dtype=np.int32)
    start, end = offsets[lines.offset], offsets[lines.offset + len(lines)]
    return memoryview(lines.buffers()[2])[start:end]


def _text(column: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(column.type):
        return time_text(column)
    data = column.buffers()[2]
    if data is not None and (np.frombuffer(data, dtype=np.uint8) == _BACKSLASH).any():
        return pc.replace_substring(column, "\\", "\\\\")
    return column


def time_text(times: pa.Array) -> pa.Array:
    """Times (timestamp[us, UTC]) as text that PostgreSQL reads; null stays null.

    Puts together the text of the minute, which few rows make differ, and that of the millisecond within it, which is
    one of 60,000: five times as fast as to write out each time. Finer times are written out.
    """
    since_epoch = pc.cast(times.fill_null(0), pa.int64()).to_numpy(zero_copy_only=False)
    if (since_epoch % _MICROSECONDS_OF_MILLISECOND).any():
        return pc.cast(times, pa.string())
    minutes, of_row = np.unique(since_epoch // _MICROSECONDS_OF_MINUTE, return_inverse=True)
    starts = pc.cast(pa.array(minutes * _MICROSECONDS_OF_MINUTE), pa.timestamp("us"))
    prefixes = pc.utf8_slice_codeunits(pc.cast(starts, pa.string()), 0, len("2026-09-14 08:00:"))
    within = since_epoch % _MICROSECONDS_OF_MINUTE // _MICROSECONDS_OF_MILLISECOND
    text = pc.binary_join_element_wise(prefixes.take(pa.array(of_row)), _milliseconds().take(pa.array(within)), "")
    return pc.if_else(pc.is_valid(times), text, pa.scalar(None, pa.string())) if times.null_count else text


@cache
def _milliseconds() -> pa.Array:
    """The text of every millisecond of a minute."""
    return pa.array([f"{at // 1000:02}.{at % 1000:03}Z" for at in range(60_000)], pa.string())
