"""A stream cut into runs of whole lines. A line that is too long is skipped without ever being held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

BLOCK_BYTES = 4 * 1024 * 1024
SAMPLE_BYTES = 200
_NEWLINE = b"\n"


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Whole lines in the order of the file, the first of them number `first` (from 1).

    The last line of a file may come without its newline.
    """

    data: bytes
    first: int
    count: int


@dataclass(frozen=True, kw_only=True)
class OverlongLine:
    """A line that was skipped: its number, its length and how it begins."""

    number: int
    length_bytes: int
    sample: str


def read_lines(stream: BinaryIO, *, line_bytes_max: int) -> Iterator[Lines | OverlongLine]:
    """The lines of `stream`, in runs of about BLOCK_BYTES; holds at most one run and one line."""
    number, rest = 1, b""
    while chunk := stream.read(BLOCK_BYTES):
        data = rest + chunk
        end = data.rfind(_NEWLINE) + 1
        for run in _runs(data[:end], number, line_bytes_max):
            number += run.count if isinstance(run, Lines) else 1
            yield run
        rest = data[end:]
        if len(rest) > line_bytes_max:
            length, sample = len(rest), rest[:SAMPLE_BYTES]
            skipped, rest = _skip_line(stream)
            yield _overlong(number, length + skipped, sample)
            number += 1
    if rest:
        yield from _runs(rest, number, line_bytes_max)


def _runs(data: bytes, number: int, line_bytes_max: int) -> Iterator[Lines | OverlongLine]:
    """`data`, which ends with a line, cut where a line is too long.

    Looks for one newline within each reach of `line_bytes_max`, not at every line.
    """
    start = position = 0
    while len(data) - position > line_bytes_max:
        newline = data.rfind(_NEWLINE, position, position + line_bytes_max + 1)
        if newline >= 0:
            position = newline + 1
            continue
        if position > start:
            before = _lines(data[start:position], number)
            number += before.count
            yield before
        end = data.find(_NEWLINE, position) + 1 or len(data)
        yield _overlong(number, end - position, data[position : position + SAMPLE_BYTES])
        number += 1
        start = position = end
    if start < len(data):
        yield _lines(data[start:], number)


def _lines(data: bytes, first: int) -> Lines:
    return Lines(data=data, first=first, count=data.count(_NEWLINE) + (not data.endswith(_NEWLINE)))


def _overlong(number: int, length_bytes: int, sample: bytes) -> OverlongLine:
    return OverlongLine(number=number, length_bytes=length_bytes, sample=sample.decode(errors="replace"))


def _skip_line(stream: BinaryIO) -> tuple[int, bytes]:
    """Reads on to the next newline: how many bytes that took, and what was read of the line after it."""
    skipped = 0
    while chunk := stream.read(BLOCK_BYTES):
        end = chunk.find(_NEWLINE)
        if end >= 0:
            return skipped + end + 1, chunk[end + 1 :]
        skipped += len(chunk)
    return skipped, b""
