"""COPY in and out, as Arrow: columns from the first byte to the last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any

import pyarrow as pa
from pyarrow import csv
from sqlalchemy import Connection

READ_BLOCK_BYTES = 16 * 1024 * 1024


def copy_in(connection: Connection, table: str, batches: Iterable[pa.Table], *, columns: Sequence[str]) -> int:
    """Appends `batches` to `table` by COPY and returns the number of rows.

    Nulls arrive as NULL, empty strings as ''. Columns that hold text are handed on as they are: a number that was
    validated as text is never turned into a number and back.
    """
    names = ", ".join(f'"{name}"' for name in columns)
    rows = 0
    with (
        raw_cursor(connection) as cursor,
        cursor.copy(f"COPY {table} ({names}) FROM STDIN WITH (FORMAT csv)") as stream,
    ):
        for batch in batches:
            stream.write(encode_csv(batch.select(list(columns))))
            rows += batch.num_rows
    return rows


def encode_csv(batch: pa.Table) -> bytes:
    """`batch` as the CSV that COPY reads: no header, quotes only where needed, null = nothing between the commas."""
    sink = BytesIO()
    # pyarrow writes whatever stands in memory for a chunk without rows: such chunks are merged away first.
    csv.write_csv(batch.combine_chunks(), sink, csv.WriteOptions(include_header=False, quoting_style="needed"))
    return sink.getvalue()


def copy_out(
    connection: Connection, query: str, *, schema: pa.Schema, parameters: Mapping[str, Any] | None = None
) -> Iterator[pa.Table]:
    """Streams the result of `query` as tables of `schema`, one block of about 16 MiB at a time.

    `query` uses psycopg's `%(name)s` parameters. Numbers are parsed from their text into the decimal type that the
    schema names, never through a float.
    """
    with (
        raw_cursor(connection) as cursor,
        cursor.copy(f"COPY ({query}) TO STDOUT WITH (FORMAT csv)", parameters) as stream,
    ):
        yield from _decode(stream, schema)


def raw_cursor(connection: Connection) -> Any:
    """A psycopg cursor in the transaction of `connection`."""
    driver: Any = connection.connection.driver_connection
    return driver.cursor()


def _decode(stream: Iterable[bytes | memoryview], schema: pa.Schema) -> Iterator[pa.Table]:
    pending: list[bytes] = []
    size = 0
    for chunk in stream:
        pending.append(bytes(chunk))
        size += len(pending[-1])
        if size >= READ_BLOCK_BYTES:
            yield parse_csv(b"".join(pending), schema)
            pending, size = [], 0
    if pending:
        yield parse_csv(b"".join(pending), schema)


def parse_csv(data: bytes, schema: pa.Schema) -> pa.Table:
    """CSV as COPY writes it, into `schema`: an unquoted empty field is null, a quoted one the empty string."""
    return csv.read_csv(
        BytesIO(data),
        read_options=csv.ReadOptions(column_names=schema.names, block_size=READ_BLOCK_BYTES * 2),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=schema, strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""]
        ),
    )
