"""Canonical columns as CSV.

The lines of a block go to Arrow's parser as they are. What that parser would get wrong is taken out before: a line with
an open quotation mark (it would swallow the lines after it), one with a carriage return inside, one that is not UTF-8; blank lines are no rows.
What is still wrong then is found by halving the block. So one row stands on one line, and every number is exact.
"""

from __future__ import annotations

import csv as standard_csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from schemas.frames import FILE_COLUMNS, REQUIRED_FILL_COLUMNS
from settlement.errors import InputRefused
from settlement.pipeline.fill_blocks import Block, bad_rows
from settlement.venues.files.lines import Lines, OverlongLine, read_lines

LINE_BYTES_MAX = 1024 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
MEND_ENCODING = "save the file as UTF-8"

_NEWLINE, _QUOTE = 0x0A, 0x22
_BadRow = tuple[int, str, str]


def read_csv_fills(stream: BinaryIO, *, file: str) -> Iterator[Block]:
    """The rows of a CSV file with a header, as blocks; rows that cannot be read are in `bad`.

    Raises InputRefused if the file is empty, its header lacks a required column, or it is not text in UTF-8.
    """
    runs = read_lines(stream, line_bytes_max=LINE_BYTES_MAX)
    first = next(runs, None)
    if first is None:
        raise InputRefused("is empty", where=file, mend="give a file with a header and rows")
    if isinstance(first, OverlongLine):
        raise InputRefused("has a first line of more than 1 MiB", where=file, mend="give a header of column names")
    header, body = _split_header(first)
    names = _column_names(header, file=file)
    for run in chain([body], runs):
        if isinstance(run, OverlongLine):
            reason = f"the line has {run.length_bytes} bytes, more than 1 MiB: cut it up or leave it out"
            yield _block(names, [], [], [(run.number, reason, run.sample)])
        elif run.count:
            yield _read_run(run, names)


def _split_header(first: Lines) -> tuple[bytes, Lines]:
    header, _, data = first.data.partition(b"\n")
    return header, Lines(data=data, first=2, count=first.count - 1)


def _column_names(header: bytes, *, file: str) -> list[str]:
    if header.startswith(UTF16_MARKS) or b"\x00" in header:
        raise InputRefused("is not UTF-8 text but looks like UTF-16", where=file, mend=MEND_ENCODING)
    try:
        text = header.removeprefix(BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError as error:
        raise InputRefused(
            f"is not UTF-8 text (byte {error.start} of line 1)", where=file, mend=MEND_ENCODING
        ) from None
    if not text.strip():
        raise InputRefused("has an empty first line", where=file, mend="begin with a header of column names")
    names = [name.strip() for name in next(standard_csv.reader([text]))]
    missing = [name for name in REQUIRED_FILL_COLUMNS if name not in names]
    if missing:
        raise InputRefused(f"has no column {', '.join(missing)}", where=file, mend="add what is missing to the header")
    repeated = sorted({name for name in names if name in FILE_COLUMNS and names.count(name) > 1})
    if repeated:
        raise InputRefused(f"has the column {', '.join(repeated)} twice", where=file, mend="leave one of them out")
    return names


@dataclass
class _Found:
    """What has been read of a run: tables with the numbers of their rows, and the bad rows."""

    names: list[str]
    bad: list[_BadRow]
    tables: list[pa.Table] = field(default_factory=list)
    kept: list[npt.NDArray[np.int64]] = field(default_factory=list)


def _read_run(run: Lines, names: list[str]) -> Block:
    data, numbers, bad = _screen(run)
    found = _Found(names=names, bad=bad)
    _parse(data, numbers, found)
    block = _block(names, found.tables, found.kept, found.bad)
    return _without_blank_rows(block, run) if block.table["venue"].null_count else block


def _without_blank_rows(block: Block, run: Lines) -> Block:
    """`block` without the rows of lines that hold nothing, or nothing but commas: they are no rows."""
    blank = [run.first + at for at, line in enumerate(_split(run.data)) if not line.strip(b",\r")]
    kept = pc.invert(pc.is_in(block.row_numbers, value_set=pa.array(blank, pa.int64())))
    return Block(table=block.table.filter(kept), row_numbers=block.row_numbers.filter(kept), bad=block.bad)


def _screen(run: Lines) -> tuple[bytes, npt.NDArray[np.int64], list[_BadRow]]:
    """The lines of a run without those that cannot stand alone; their numbers; and the others as bad rows."""
    data = run.data
    numbers = np.arange(run.first, run.first + run.count, dtype=np.int64)
    reasons: dict[int, str] = {}
    if b'"' in data:
        reasons |= dict.fromkeys(
            _open_quotes(data), "a quotation mark is not closed on its line: close it, or double it"
        )
    if not data.isascii():
        reasons |= dict.fromkeys(_not_utf8(data), f"the line is not UTF-8 text: {MEND_ENCODING}")
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
        inside = [at for at, line in enumerate(_split(data)) if b"\r" in line.removesuffix(b"\r")]
        reasons |= dict.fromkeys(inside, "the line has a carriage return inside: remove it")
    if not reasons:
        return data, numbers, []
    lines = _split(data)
    bad = [(int(numbers[at]), reason, lines[at].decode(errors="replace")) for at, reason in reasons.items()]
    good = [line for at, line in enumerate(lines) if at not in reasons]
    return b"\n".join([*good, b""]) if good else b"", np.delete(numbers, list(reasons)), bad


def _open_quotes(data: bytes) -> list[int]:
    characters = np.frombuffer(data, dtype=np.uint8)
    quotes = np.flatnonzero(characters == _QUOTE)
    line_ends = np.append(np.flatnonzero(characters == _NEWLINE), len(data))
    quotes_by_line = np.diff(np.searchsorted(quotes, line_ends), prepend=0)
    return [int(at) for at in np.flatnonzero(quotes_by_line % 2)]


def _not_utf8(data: bytes) -> list[int]:
    try:
        data.decode()
    except UnicodeDecodeError:
        return [at for at, line in enumerate(_split(data)) if not _is_utf8(line)]
    return []


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _split(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return lines[:-1] if data.endswith(b"\n") else lines


def _parse(data: bytes, numbers: npt.NDArray[np.int64], found: _Found) -> None:
    """Adds the rows of `data`, whose lines have these `numbers`, to `found`."""
    if not len(numbers):
        return
    invalid: list[csv.InvalidRow] = []
    try:
        table = _arrow_table(data, found.names, invalid)
        whole = table.num_rows + len(invalid) == len(numbers)
    except pa.ArrowInvalid:
        whole = False
    if whole:
        at = np.array([row.number - 1 for row in invalid], dtype=np.int64)
        found.tables.append(table)
        found.kept.append(np.delete(numbers, at))
        found.bad += [(int(numbers[row.number - 1]), _columns_reason(row), row.text) for row in invalid]
    elif len(numbers) == 1:
        reason = "the line is not CSV: check its quotation marks"
        found.bad.append((int(numbers[0]), reason, data.decode(errors="replace")))
    else:
        lines, middle = _split(data), len(numbers) // 2
        _parse(b"\n".join([*lines[:middle], b""]), numbers[:middle], found)
        _parse(b"\n".join([*lines[middle:], b""]), numbers[middle:], found)


def _columns_reason(row: csv.InvalidRow) -> str:
    mend = (
        "the row may be cut off" if row.actual_columns < row.expected_columns else "put quotation marks around commas"
    )
    return f"the row has {row.actual_columns} columns where the header has {row.expected_columns}: {mend}"


def _arrow_table(data: bytes, names: list[str], invalid: list[csv.InvalidRow]) -> pa.Table:
    """Whole lines of checked UTF-8 as columns of text, an empty field as null; puts rows of another width in `invalid`."""

    def put_aside(row: csv.InvalidRow) -> str:
        invalid.append(row)
        return "skip"

    wanted = [name for name in names if name in FILE_COLUMNS]
    return csv.read_csv(
        pa.BufferReader(data),
        csv.ReadOptions(column_names=names, use_threads=False, block_size=len(data) + 1),
        csv.ParseOptions(
            quote_char='"' if b'"' in data else False,
            ignore_empty_lines=False,
            invalid_row_handler=put_aside,
        ),
        csv.ConvertOptions(
            column_types=dict.fromkeys(wanted, pa.string()),
            include_columns=wanted,
            strings_can_be_null=True,
            null_values=[""],
            check_utf8=False,
        ),
    )


def _block(names: list[str], tables: list[pa.Table], kept: list[npt.NDArray[np.int64]], bad: list[_BadRow]) -> Block:
    schema = pa.schema([(name, pa.string()) for name in names if name in FILE_COLUMNS])
    table = pa.concat_tables(tables) if tables else schema.empty_table()
    numbers = np.concatenate(kept) if kept else np.empty(0, dtype=np.int64)
    return Block(table=table, row_numbers=pa.array(numbers), bad=bad_rows(sorted(bad)))
