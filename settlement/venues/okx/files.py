"""Files of recorded OKX fills: an envelope, a list of rows, or JSON lines of rows or of envelopes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import orjson
import pyarrow as pa

from settlement.errors import InputRefused
from settlement.pipeline.fill_blocks import Block, bad_rows
from settlement.venues.files.lines import Lines, OverlongLine, read_lines
from settlement.venues.okx.parse import check_rows, parse_fills

DOCUMENT_BYTES_MAX = 64 * 1024 * 1024
LINE_BYTES_MAX = 1024 * 1024
BLOCK_ROWS = 50_000
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MEND_LINES = "split it into JSON lines, one row or one envelope a line"
MEND_RECORD = "record it again: it is cut off or damaged"

_BadRow = tuple[int, str, str]


def read_okx_fills(stream: BinaryIO, *, file: str, account: str | None) -> Iterator[Block]:
    """The rows of a recorded file as blocks. Rows are numbered from 1, in JSON lines by the line they stand on.

    Raises InputRefused if the file is empty, is not JSON, is an envelope with an error in it, or is one document
    of more than 64 MiB.
    """
    if _holds_lines(stream, file=file):
        yield from _read_json_lines(stream, file=file, account=account)
        return
    rows = _document_rows(stream, file=file)
    check_rows(rows, account=account, file=file)
    for first in range(0, len(rows), BLOCK_ROWS):
        part = rows[first : first + BLOCK_ROWS]
        yield parse_fills(part, row_numbers=range(first + 1, first + 1 + len(part)), account=account)


def read_recorded_rows(stream: BinaryIO, *, file: str) -> Iterator[Any]:
    """The rows of a recorded file as they are, to be served again. Raises InputRefused as above, and for a bad line."""
    if not _holds_lines(stream, file=file):
        yield from _document_rows(stream, file=file)
        return
    for run in read_lines(stream, line_bytes_max=LINE_BYTES_MAX):
        if isinstance(run, OverlongLine):
            raise InputRefused("has a line of more than 1 MiB", where=f"{file} line {run.number}", mend=MEND_LINES)
        rows, _, bad = _rows_of_run(run, file=file)
        if bad:
            raise InputRefused(bad[0][1], where=f"{file} line {bad[0][0]}", mend=MEND_RECORD)
        yield from rows


def _holds_lines(stream: BinaryIO, *, file: str) -> bool:
    """Whether the file is JSON lines; leaves the stream at the first byte behind a byte order mark."""
    start = stream.read(LINE_BYTES_MAX)
    stream.seek(0)
    if start.startswith(BYTE_ORDER_MARK):
        stream.seek(len(BYTE_ORDER_MARK))
        start = start.removeprefix(BYTE_ORDER_MARK)
    if not start.strip():
        raise InputRefused("is empty", where=file, mend="give an OKX envelope, a list of rows or JSON lines")
    return _is_lines(start)


def _document_rows(stream: BinaryIO, *, file: str) -> Sequence[Any]:
    document = stream.read(DOCUMENT_BYTES_MAX + 1)
    if len(document) > DOCUMENT_BYTES_MAX:
        raise InputRefused("is one JSON document of more than 64 MiB", where=file, mend=MEND_LINES)
    try:
        parsed = orjson.loads(document)
    except orjson.JSONDecodeError as error:
        raise InputRefused(f"is not JSON: {error.msg}", where=f"{file} line {error.lineno}", mend=MEND_RECORD) from None
    return _rows_of(parsed, file=file)


def _is_lines(start: bytes) -> bool:
    """True if the first line is an object by itself and another begins on the next."""
    first, newline, rest = start.partition(b"\n")
    if not newline or not rest.lstrip().startswith(b"{") or not first.strip().startswith(b"{"):
        return False
    return first.rstrip().endswith(b"}")


def _rows_of(document: Any, *, file: str) -> Sequence[Any]:
    """The rows of an envelope, of a list, or the one row that the document is."""
    if isinstance(document, list):
        return [row for item in document for row in (_rows_of(item, file=file) if _is_envelope(item) else [item])]
    if not isinstance(document, dict):
        raise InputRefused("is neither an envelope nor a list of rows", where=file, mend=MEND_RECORD)
    if "billId" in document:
        return [document]
    code = str(document.get("code", "0"))
    if code != "0":
        what = f"is an answer with code {code}: {document.get('msg', '')}"
        raise InputRefused(what, where=file, mend="ask OKX again and record the answer with code 0")
    if not isinstance(document.get("data"), list):
        raise InputRefused("has no list under data", where=file, mend='give {"code": "0", "data": [...]}')
    rows: list[Any] = document["data"]
    return rows


def _read_json_lines(stream: BinaryIO, *, file: str, account: str | None) -> Iterator[Block]:
    checked = False
    for run in read_lines(stream, line_bytes_max=LINE_BYTES_MAX):
        if isinstance(run, OverlongLine):
            reason = f"the line has {run.length_bytes} bytes, more than 1 MiB: cut it up or leave it out"
            empty = parse_fills([], row_numbers=[], account=account)
            yield Block(
                table=empty.table, row_numbers=empty.row_numbers, bad=bad_rows([(run.number, reason, run.sample)])
            )
            continue
        rows, numbers, bad = _rows_of_run(run, file=file)
        if rows and not checked:
            check_rows(rows, account=account, file=file)
            checked = True
        block = parse_fills(rows, row_numbers=numbers, account=account)
        yield _with_bad(block, bad) if bad else block


def _rows_of_run(run: Lines, *, file: str) -> tuple[list[Any], list[int], list[_BadRow]]:
    """The rows of a run of lines, the line of each, and the lines that are not JSON."""
    lines = [(run.first + at, line) for at, line in enumerate(run.data.split(b"\n")) if line.strip()]
    bad: list[_BadRow] = []
    try:
        documents = list(zip((at for at, _ in lines), orjson.loads(_as_list(lines)), strict=True))
    except (orjson.JSONDecodeError, ValueError):
        documents, bad = _one_by_one(lines)
    rows: list[Any] = []
    numbers: list[int] = []
    for number, document in documents:
        found = [document] if not _is_envelope(document) else _rows_of(document, file=f"{file} line {number}")
        rows.extend(found)
        numbers.extend([number] * len(found))
    return rows, numbers, bad


def _with_bad(block: Block, bad: Sequence[_BadRow]) -> Block:
    together = pa.concat_tables([block.bad, bad_rows(bad)]).sort_by("row_number")
    return Block(table=block.table, row_numbers=block.row_numbers, bad=together)


def _as_list(lines: Sequence[tuple[int, bytes]]) -> bytes:
    return b"[" + b",".join(line for _, line in lines) + b"]"


def _is_envelope(document: Any) -> bool:
    return isinstance(document, dict) and "billId" not in document and ("data" in document or "code" in document)


def _one_by_one(lines: Sequence[tuple[int, bytes]]) -> tuple[list[tuple[int, Any]], list[_BadRow]]:
    documents: list[tuple[int, Any]] = []
    bad: list[_BadRow] = []
    for number, line in lines:
        try:
            documents.append((number, orjson.loads(line)))
        except orjson.JSONDecodeError as error:
            reason = f"the line is not JSON: {error.msg}; it may be cut off"
            bad.append((number, reason, line.decode(errors="replace")))
    return documents, bad
