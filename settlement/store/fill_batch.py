"""A batch of fills made ready for PostgreSQL: the bytes that COPY reads, and what ingest has to know about them.

Everything here is done before the batch's turn comes, in the thread that reads ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.frames import FILL_TEXT
from settlement.store.copy_text import characters, encode_rows

KEY: Final = ("venue", "account", "bill_id")
COLUMN_NAMES: Final = {name: name for name in FILL_TEXT.names} | {"recorded_at": "venue_recorded_at"}


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
