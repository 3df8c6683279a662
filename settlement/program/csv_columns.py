"""CSV files as text columns, checked a column at a time.

1. A file that is not whole (empty, cut off, not UTF-8, a row with other than the header's columns) is refused.
2. A missing required column refuses the file by name; unknown columns are ignored.
3. A row with a bad value is put aside with its number and the reason; the good rows go on.

Rows are numbered as a spreadsheet shows them: the header is row 1. An empty field is a missing value.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from schemas.text_columns import decimal_ok, parse_times
from settlement.errors import InputRefused

Mask = npt.NDArray[np.bool_]

FIRST_DATA_ROW = 2
BLOCK_BYTES = 8 * 1024 * 1024
RAW_CHARACTERS_LIMIT = 4000
SHOWN_CHARACTERS_LIMIT = 60
MEND_BROKEN = "export it again: the file is cut off or damaged"

_ROW_IN_ERROR = re.compile(r"Row #(\d+): ")


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """A row put aside: where it stands, why, and its text."""

    file: str
    row_number: int
    reason: str
    raw: str


class Columns:
    """Some consecutive rows of one file as text columns, the first of them row `first_row` of the file."""

    def __init__(self, table: pa.Table, *, file: str, first_row: int = FIRST_DATA_ROW) -> None:
        self.table, self.file = table.combine_chunks(), file
        self.bad: Mask = np.zeros(table.num_rows, dtype=bool)
        self._reasons: dict[int, str] = {}
        self._first_row = first_row

    def text(self, name: str) -> Any:
        """A text column as it stands, "" where it is empty."""
        column = self.table.column(name)
        return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column

    def required(self, name: str) -> Any:
        """A text column; rows where it is empty are put aside."""
        values = self.text(name)
        self._put_aside_unstorable(name, values)
        self.put_aside(mask_of(pc.equal(values, "")), name, "is missing")
        return values

    def optional(self, name: str) -> Any:
        """A text column, null where it is empty or absent from the file."""
        if name not in self.table.column_names:
            return pa.nulls(self.table.num_rows, pa.string())
        values = self.text(name)
        self._put_aside_unstorable(name, values)
        return pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)

    def one_of(self, name: str, choices: Sequence[str]) -> Any:
        """A text column that holds one of `choices`."""
        values = self.required(name)
        self.put_aside(~mask_of(pc.is_in(values, value_set=pa.array(choices))), name, f"is not {' or '.join(choices)}")
        return values

    def times(self, name: str, *, required: bool = True) -> Any:
        """A column of times as timestamp[us, UTC]; rows with anything else are put aside."""
        written = self.required(name) if required else self.optional(name)
        times, good = parse_times(written)
        wrong = "is not a time: write RFC 3339 such as 2026-09-14T08:00:00Z, to the microsecond, or epoch milliseconds"
        self.put_aside(~mask_of(good) & mask_of(pc.is_valid(written)), name, wrong)
        return times

    def decimals(self, name: str, *, required: bool = True) -> Any:
        """A column of decimals as the text that was read; rows with anything else are put aside."""
        written = self.required(name) if required else self.optional(name)
        wrong = "is not a decimal of at most 18 decimals"
        self.put_aside(~mask_of(decimal_ok(written)) & mask_of(pc.is_valid(written)), name, wrong)
        return written

    def put_aside(self, wrong: Mask, name: str, why: str) -> None:
        """Puts rows aside where `wrong`; a row keeps the first reason that was found."""
        for position in np.flatnonzero(wrong & ~self.bad):
            self._reasons[int(position)] = f"{name} {self._shown(name, position)} {why}".replace('"" ', "")
        self.bad |= wrong

    def refuse(self, wrong: Mask, what: str, *, mend: str, name: str | None = None) -> None:
        """Refuses the whole file at the first good row where `wrong`; with `name`, by what that column holds."""
        rows = np.flatnonzero(wrong & ~self.bad)
        if len(rows):
            told = what if name is None else f"{name} {self._shown(name, rows[0])} {what}".replace('"" ', "")
            raise InputRefused(told, where=f"{self.file} row {self.row_number(rows[0])}", mend=mend)

    def row_number(self, position: int | np.intp) -> int:
        """The number of a row of this table in its file."""
        return int(position) + self._first_row

    def good_rows(self, columns: dict[str, Any]) -> pa.Table:
        """`columns` of the rows that were not put aside, with their `row_number` first."""
        numbers = pa.array(np.arange(self.table.num_rows, dtype=np.int64) + self._first_row)
        return pa.table({"row_number": numbers, **columns}).filter(pa.array(~self.bad))

    def bad_rows(self) -> list[BadRow]:
        """The rows that were put aside, in the order of the file."""
        return [
            BadRow(file=self.file, row_number=self.row_number(position), reason=reason, raw=self._raw(position))
            for position, reason in sorted(self._reasons.items())
        ]

    def _put_aside_unstorable(self, name: str, values: Any) -> None:
        self.put_aside(mask_of(pc.match_substring(values, "\x00")), name, "holds a NUL character")

    def _shown(self, name: str, position: int | np.intp) -> str:
        value = self.table.column(name)[int(position)].as_py().replace("\x00", "\\0")
        return f'"{value}"' if len(value) <= SHOWN_CHARACTERS_LIMIT else f'"{value[:SHOWN_CHARACTERS_LIMIT]}..."'

    def _raw(self, position: int) -> str:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([column[position].as_py() for column in self.table.columns])
        return line.getvalue().replace("\x00", "\\0")[:RAW_CHARACTERS_LIMIT]


def read_blocks(path: Path, *, required: Sequence[str], optional: Sequence[str]) -> Iterator[Columns]:
    """The rows of a file block by block, each as `Columns`; memory stays flat however long the file is.

    Raises `InputRefused` where rules 1 and 2 of this file say so: possibly after some blocks, so whatever was done
    with them has to be undone.
    """
    file = str(path)
    names = _header(path)
    _check_columns(names, file=file, required=required, optional=optional)
    first_row = FIRST_DATA_ROW
    try:
        reader = arrow_csv.open_csv(
            path,
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
        for batch in reader:
            yield Columns(pa.Table.from_batches([batch]), file=file, first_row=first_row)
            first_row += batch.num_rows
        if first_row == FIRST_DATA_ROW:
            yield Columns(pa.table({name: pa.array([], pa.string()) for name in names}), file=file)
    except pa.ArrowInvalid as fault:
        _refuse_broken(file, str(fault))


def read_whole(path: Path, *, required: Sequence[str], optional: Sequence[str]) -> Columns:
    """All rows of a file as one `Columns`, for files whose rows are checked against each other."""
    tables = [block.table for block in read_blocks(path, required=required, optional=optional)]
    return Columns(pa.concat_tables(tables), file=str(path))


def _header(path: Path) -> list[str]:
    quotes = 0
    header = b""
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            header = header or block.partition(b"\n")[0]
            quotes += block.count(b'"')
    if not header.strip():
        raise InputRefused("the file is empty", where=str(path), mend="write at least its header")
    if quotes % 2:
        raise InputRefused("a quotation mark is never closed", where=str(path), mend=MEND_BROKEN)
    try:
        text = header.decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError:
        raise InputRefused("the header is not UTF-8", where=str(path), mend="save it as UTF-8") from None
    return next(csv.reader([text]))


def _check_columns(names: list[str], *, file: str, required: Sequence[str], optional: Sequence[str]) -> None:
    columns = ",".join(required) + (f"[,{','.join(optional)}]" if optional else "")
    for name in required:
        if name not in names:
            near = get_close_matches(name, names, n=1, cutoff=0.7)
            mend = f"rename {near[0]!r}" if near else f"add it: the columns are {columns}"
            raise InputRefused(f"column {name!r} is missing", where=f"{file} row 1", mend=mend)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputRefused(f"column {twice[0]!r} stands twice", where=f"{file} row 1", mend="remove one of them")


def _refuse_broken(file: str, fault: str) -> NoReturn:
    row = _ROW_IN_ERROR.search(fault)
    where = f"{file} row {row[1]}" if row else file
    if "UTF8" in fault:
        raise InputRefused("the text is not UTF-8", where=where, mend="save it as UTF-8")
    if "cannot infer" in fault:
        raise InputRefused("the file holds half a header", where=where, mend=MEND_BROKEN)
    told = _ROW_IN_ERROR.sub("", fault.splitlines()[0]).removeprefix("CSV parse error: ")
    raise InputRefused(
        f"broken CSV: {told[0].lower()}{told[1 : 2 * SHOWN_CHARACTERS_LIMIT]}", where=where, mend=MEND_BROKEN
    )


def mask_of(values: Any) -> Mask:
    """A boolean column as a numpy array; null is false."""
    mask: Mask = np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=bool)
    return mask
