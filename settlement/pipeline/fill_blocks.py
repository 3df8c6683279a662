"""What a reader of fills hands to ingest: blocks of rows as text, and the rows that could not be read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

BAD_ROWS = pa.schema([("row_number", pa.int64()), ("reason", pa.string()), ("raw", pa.string())])
RAW_CHARACTERS_MAX = 2_000


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some consecutive rows of a file, columns as in `schemas.frames.FILL_TEXT`.

    `table` holds the columns that the file has, as the text that was read (null where nothing stood); only
    `executed_at` and `recorded_at` may be timestamps already. `row_numbers` (int64) says where each row stands: the line
    of a CSV file, as an editor counts it, and the position of the row in other files, from 1. `bad` (BAD_ROWS) are
    the rows that never became columns.
    """

    table: pa.Table
    row_numbers: pa.Array
    bad: pa.Table

    @property
    def rows_read(self) -> int:
        """Rows of the file that this block accounts for."""
        return int(self.table.num_rows + self.bad.num_rows)


def bad_rows(rows: Iterable[tuple[int, str, str]]) -> pa.Table:
    """`(row_number, reason, raw)` as a table of BAD_ROWS; `raw` is cut, and free of the NUL that PostgreSQL refuses."""
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    numbers, reasons, raws = columns
    return pa.table(
        [
            pa.array(numbers, pa.int64()),
            pa.array([storable(reason) for reason in reasons], pa.string()),
            pa.array([storable(raw) for raw in raws], pa.string()),
        ],
        schema=BAD_ROWS,
    )


def storable(value: str) -> str:
    """`value` as PostgreSQL can store it, not longer than is good for a person."""
    return value[:RAW_CHARACTERS_MAX].replace("\x00", "\\0")
