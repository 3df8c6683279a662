"""Canonical columns as Parquet: any column types that are exact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from schemas.frames import FILE_COLUMNS, REQUIRED_FILL_COLUMNS, TIMESTAMP
from settlement.errors import InputRefused
from settlement.pipeline.fill_blocks import Block, bad_rows

BLOCK_ROWS = 50_000
TIMES = ("executed_at", "recorded_at")


def read_parquet_fills(path: Any, *, file: str) -> Iterator[Block]:
    """The rows of a Parquet file as blocks, numbered from 1.

    Raises InputRefused if the file is empty, cut off or not Parquet, lacks a required column, or holds a column of
    floats: 0.1 as a float is another number.
    """
    try:
        source = parquet.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        what = f"is not a whole Parquet file: {str(error).splitlines()[0]}"
        raise InputRefused(what, where=file, mend="write it again: it is empty, cut off or damaged") from None
    with source:
        names = _column_names(source.schema_arrow, file=file)
        first = 1
        for batch in _batches(source, names, file=file):
            columns = {name: _text(batch.column(name), name, file=file) for name in names}
            numbers = pa.array(np.arange(first, first + batch.num_rows, dtype=np.int64))
            first += batch.num_rows
            yield Block(table=pa.table(columns), row_numbers=numbers, bad=bad_rows([]))


def _batches(source: parquet.ParquetFile, names: list[str], *, file: str) -> Iterator[pa.RecordBatch]:
    try:
        yield from source.iter_batches(batch_size=BLOCK_ROWS, columns=names, use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        what = f"is damaged: {str(error).splitlines()[0]}"
        raise InputRefused(what, where=file, mend="write it again, or copy it again") from None


def _column_names(schema: pa.Schema, *, file: str) -> list[str]:
    missing = [name for name in REQUIRED_FILL_COLUMNS if name not in schema.names]
    if missing:
        raise InputRefused(f"has no column {', '.join(missing)}", where=file, mend="add what is missing")
    names = [name for name in schema.names if name in FILE_COLUMNS]
    for name in names:
        column_type = schema.field(name).type
        if not _is_exact(column_type, name):
            mend = "write decimals or strings, so that no digit is lost"
            raise InputRefused(f"column {name} has type {column_type}", where=file, mend=mend)
    return names


def _is_exact(column_type: pa.DataType, name: str) -> bool:
    if pa.types.is_dictionary(column_type):
        return _is_exact(column_type.value_type, name)
    if pa.types.is_timestamp(column_type):
        return name in TIMES and column_type.tz is not None
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_decimal, pa.types.is_null)
    return any(is_kind(column_type) for is_kind in kinds)


def _text(column: pa.Array, name: str, *, file: str) -> pa.Array:
    if pa.types.is_timestamp(column.type):
        try:
            return column.cast(TIMESTAMP)
        except pa.ArrowInvalid:
            what = f"column {name} has times finer than microseconds"
            raise InputRefused(what, where=file, mend="round them at their source") from None
    text = column.cast(pa.string())
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
