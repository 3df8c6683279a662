"""What can be read back out: seven exports, each one query over the books as they stand or stood, streamed by COPY.

Rows come sorted by their key columns as text (byte order). Decimals are written without exponents and without trailing
zeros, so that one value has one text; times are RFC 3339 in UTC; what is empty is an empty field in CSV and null in
JSON and Parquet. In JSON decimals are strings; in Parquet they are decimal128 and times are timestamps (docs/adr/0006).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import parquet
from sqlalchemy import Connection, text

from settlement.errors import Refused
from settlement.reports.as_of import AS_OF
from settlement.reports.export_queries import QUERIES, TREE, Query, stamp
from settlement.store.copying import copy_out, raw_cursor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

FORMATS = ("csv", "json", "parquet")
BLOCK_BYTES = 1024 * 1024

ARROW_TYPES = {
    "text": pa.string(),
    "count": pa.int64(),
    "time": pa.timestamp("us", tz="UTC"),
    "amount": pa.decimal128(38, 12),
    "rate": pa.decimal128(38, 6),
    "price": pa.decimal128(38, 18),
}
DECIMALS = frozenset({"amount", "rate", "price"})


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which rows: windows in `[start, end)`, and one broker; None takes all. `as_of` None: as they stand now."""

    start: datetime | None = None
    end: datetime | None = None
    broker: str | None = None
    as_of: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """Rows ready to be copied out; kinds of columns are those of ARROW_TYPES, and "document" for JSON."""

    connection: Connection
    columns: Mapping[str, str]
    statement: str
    parameters: Mapping[str, Any]

    def rows(self, *, as_text: bool) -> str:
        """The columns in order, '' as null; `as_text` writes times and decimals as CSV and JSON carry them."""
        columns = ", ".join(
            f"{_text_of(name, kind) if as_text or kind == 'text' else name} AS {name}"
            for name, kind in self.columns.items()
        )
        return f"SELECT {columns} FROM ({self.statement}) AS rows"  # noqa: S608 - made of this package's constants

    def blocks(self, copy: str) -> Iterator[bytes]:
        """The bytes of a COPY, whole rows, about a mebibyte at a time."""
        with raw_cursor(self.connection) as cursor, cursor.copy(copy, self.parameters) as stream:
            pending = bytearray()
            for chunk in stream:
                pending += chunk
                if len(pending) >= BLOCK_BYTES:
                    yield bytes(pending)
                    pending.clear()
            if pending:
                yield bytes(pending)


def export(connection: Connection, what: str, *, file_format: str, selection: Selection, sink: IO[bytes]) -> None:
    """Writes export `what` to `sink` in `file_format`, in flat memory however many rows there are.

    Raises Refused for an unknown `what` or format, for a broker nobody knows, and where a selection has no meaning.
    """
    query = QUERIES.get(what)
    if query is None:
        raise Refused(f"nothing called {what!r} can be exported", mend=f"choose one of {', '.join(QUERIES)}")
    if file_format not in FORMATS:
        raise Refused(f"unknown format {file_format!r}", mend=f"choose one of {', '.join(FORMATS)}")
    if selection.broker is not None:
        _check_broker(connection, query, selection.broker)
    parameters = {name: value for name, value in vars(selection).items() if value is not None}
    source = Source(
        connection=connection, columns=query.columns, statement=_statement(query, selection), parameters=parameters
    )
    write(source, file_format=file_format, sink=sink)


def write(source: Source, *, file_format: str, sink: IO[bytes]) -> None:
    """Writes the rows of `source` in one of FORMATS."""
    {"csv": _write_csv, "json": _write_json, "parquet": _write_parquet}[file_format](source, sink)


def _check_broker(connection: Connection, query: Query, broker: str) -> None:
    roots = connection.scalars(text("SELECT parent_id IS NULL FROM broker WHERE broker_id = :id"), {"id": broker}).all()
    if not roots:
        raise Refused(f"no broker {broker!r} is registered", mend="see brokers.csv of the registry that was loaded")
    if query.per_root and not any(roots):
        raise Refused(
            f"windows are counted per root broker, and {broker!r} has a parent",
            mend=f"use `export lines --broker {broker}`",
        )


def _statement(query: Query, selection: Selection) -> str:
    """The query with the conditions that the selection needs, and nothing that would slow it when there are none."""
    conditions = [
        condition
        for condition, wanted in (
            (query.from_condition, selection.start),
            (query.to_condition, selection.end),
            (query.broker_condition, selection.broker),
        )
        if wanted is not None
    ]
    dated = selection.start is not None or selection.end is not None
    body = query.dated_body if dated and query.dated_body else query.body
    where = " AND ".join(["true", *conditions])
    tree = TREE if "tree" in where else ""
    if selection.as_of is not None:
        tree = AS_OF + (f", tree AS ({TREE} SELECT broker_id FROM tree)" if tree else "")  # noqa: S608 - constants
    return tree + body.replace("{where}", where)


def _text_of(name: str, kind: str) -> str:
    if kind == "time":
        return stamp(name)
    if kind in DECIMALS:
        return f"trim_scale({name})::text"
    return f"nullif({name}, '')" if kind == "text" else name


def _write_csv(source: Source, sink: IO[bytes]) -> None:
    for block in source.blocks(f"COPY ({source.rows(as_text=True)}) TO STDOUT WITH (FORMAT csv, HEADER true)"):
        sink.write(block)


def _write_json(source: Source, sink: IO[bytes]) -> None:
    """One array, one object a line.

    The quote and the delimiter are control characters, which JSON always escapes: COPY hands each object on untouched,
    and every newline in the stream is the end of an object.
    """
    objects = f"SELECT row_to_json(o) FROM ({source.rows(as_text=True)}) AS o"  # noqa: S608 - constants only
    separator = b"["
    for block in source.blocks(f"COPY ({objects}) TO STDOUT WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"):
        sink.write(separator + b"\n" + block.removesuffix(b"\n").replace(b"\n", b",\n"))
        separator = b","
    sink.write(b"\n]\n" if separator == b"," else b"[]\n")


def _write_parquet(source: Source, sink: IO[bytes]) -> None:
    schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in source.columns.items()])
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        rows = source.rows(as_text=False)
        for table in copy_out(source.connection, rows, schema=schema, parameters=source.parameters):
            writer.write_table(table)
