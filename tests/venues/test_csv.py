"""CSV files of fills: what is read, what is put aside and where it stood, what is refused."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from settlement.errors import InputRefused
from settlement.pipeline.fill_blocks import Block
from settlement.venues.files import lines
from settlement.venues.files.csv import read_csv_fills
from tests.venues.fill_files import GOOD, as_csv, fill

MIB = 1024 * 1024
HEADER = ",".join(GOOD)

READ_ONE_LINE_OF_300_MB = """
import io, resource, sys
from settlement.venues.files.csv import read_csv_fills

class Endless(io.RawIOBase):
    def __init__(self, before, after, letters):
        self.parts, self.letters = [before, after], letters
    def read(self, size=-1):
        if len(self.parts) == 2 or not self.letters:
            return self.parts.pop(0) if self.parts else b""
        size = min(size, self.letters)
        self.letters -= size
        return b"x" * size

before, after = (part.encode() for part in sys.argv[1:3])
list(read_csv_fills(io.BytesIO(before + after), file="warm"))
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
bad = [row for block in read_csv_fills(Endless(before, b"\\n" + after, 300_000_000), file="f")
       for row in [*block.bad.to_pylist(), *block.row_numbers.to_pylist()]]
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) // 1024
print(grown, [row["row_number"] if isinstance(row, dict) else row for row in bad], bad[-2]["reason"])
"""


def read(data: bytes) -> list[Block]:
    return list(read_csv_fills(io.BytesIO(data), file="fills.csv"))


def numbers(data: bytes) -> list[int]:
    return [number for block in read(data) for number in block.row_numbers.to_pylist()]


def put_aside(data: bytes) -> dict[int, str]:
    return {row["row_number"]: row["reason"] for block in read(data) for row in block.bad.to_pylist()}


def refusal(data: bytes) -> str:
    with pytest.raises(InputRefused) as refused:
        read(data)
    return str(refused.value)


def test_rows_are_numbered_by_their_line_and_empty_fields_are_null() -> None:
    [block] = read(as_csv([fill(1), fill(2, tag="")]))

    assert block.row_numbers.to_pylist() == [2, 3]
    assert block.table["tag"].to_pylist() == ["alphaOne", None]
    assert block.table["price"].to_pylist() == ["60000.5", "60000.5"]


def test_a_byte_order_mark_windows_line_ends_and_unknown_columns_change_nothing() -> None:
    plain = read(as_csv([fill(1), fill(2)]))[0].table
    marked = read(b"\xef\xbb\xbf" + as_csv([fill(1, note="a"), fill(2, note="b")], line_end="\r\n"))[0].table

    assert marked.equals(plain)


def test_blank_lines_are_no_rows_but_count_as_lines() -> None:
    first, second = as_csv([fill(1)]).decode(), as_csv([fill(2)]).decode().split("\n")[1]

    assert numbers(f"{first}\n\n{second}\n\n".encode()) == [2, 5]
    assert put_aside(f"{first}\n,,,,,,,,,,,,,,\n{second}\n".encode()) == {}


def test_a_quoted_comma_and_a_doubled_quotation_mark_are_read() -> None:
    [block] = read(as_csv([fill(1, tag='a,"b"')]))

    assert block.table["tag"].to_pylist() == ['a,"b"']


def test_an_open_quotation_mark_costs_its_own_line_only() -> None:
    header, *rows = as_csv([fill(1), fill(2), fill(3)]).decode().splitlines()
    data = "\n".join([header, rows[0], rows[1].replace("alphaOne", '"alphaOne'), rows[2]]).encode()

    assert numbers(data) == [2, 4]
    assert "quotation mark is not closed" in put_aside(data)[3]


def test_quotation_marks_that_are_even_but_open_cost_their_own_line_only() -> None:
    header, *rows = as_csv([fill(number) for number in range(1, 9)]).decode().splitlines()
    rows[3] = rows[3].replace("okx,7001", 'o"kx,"7001')

    assert numbers("\n".join([header, *rows]).encode()) == [2, 3, 4, 6, 7, 8, 9]


def test_a_row_with_another_number_of_columns_is_put_aside() -> None:
    data = as_csv([fill(1), fill(2)]) + b"okx,7001\n" + as_csv([fill(3)]).split(b"\n")[1] + b",more\n"

    assert numbers(data) == [2, 3]
    assert put_aside(data) == {
        4: "the row has 2 columns where the header has 15: the row may be cut off",
        5: "the row has 16 columns where the header has 15: put quotation marks around commas",
    }


def test_the_row_at_which_a_file_was_cut_off_is_put_aside() -> None:
    data = as_csv([fill(1), fill(2)])[:-40]

    assert numbers(data) == [2]
    assert "the row may be cut off" in put_aside(data)[3]


def test_a_line_that_is_not_utf8_or_has_a_carriage_return_inside_is_put_aside() -> None:
    rows = as_csv([fill(1, tag="M\xfcnchen"), fill(2, tag="a"), fill(3, tag="M\xfcnchen")]).splitlines()
    rows[1] = rows[1].decode().encode("latin-1")
    rows[2] = rows[2].replace(b",a,", b",a\rb,")
    data = b"\n".join(rows)

    assert numbers(data) == [4]
    reasons = put_aside(data)
    assert "not UTF-8" in reasons[2]
    assert "carriage return" in reasons[3]


def test_a_line_longer_than_a_mebibyte_is_put_aside_with_its_number() -> None:
    data = as_csv([fill(1), fill(2, tag="x" * (MIB + 1)), fill(3)])

    assert numbers(data) == [2, 4]
    assert "more than 1 MiB" in put_aside(data)[3]


@pytest.mark.parametrize("block_bytes", [64, 1000, 5000])
def test_numbers_are_exact_however_the_stream_is_cut(block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr("settlement.venues.files.csv.LINE_BYTES_MAX", 500)
    data = as_csv([fill(number, tag="x" * (600 if number % 7 == 0 else number)) for number in range(1, 60)])

    assert numbers(data) == [number + 1 for number in range(1, 60) if number % 7]
    assert list(put_aside(data)) == [number + 1 for number in range(7, 60, 7)]


def test_a_line_of_300_megabytes_is_never_held() -> None:
    before, after = as_csv([fill(1)]).decode(), as_csv([fill(2)]).decode().split("\n")[1]
    command = [sys.executable, "-c", READ_ONE_LINE_OF_300_MB, before, after]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    grown_mib, rest = output.split(" ", 1)
    assert int(grown_mib) < 60
    assert rest.startswith("[2, 3, 4] the line has 300000001 bytes")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "fills.csv: is empty; give a file with a header and rows"),
        (b"\n\n", "fills.csv: has an empty first line"),
        (b"venue,account\n", "has no column bill_id, trade_id, order_id, instrument,"),
        (as_csv([fill()]).replace(b",tag,", b",label,"), "fills.csv: has no column tag;"),
        (f"{HEADER},price\n".encode(), "has the column price twice"),
        (as_csv([fill()]).decode().encode("utf-16"), "looks like UTF-16; save the file as UTF-8"),
        (f"{HEADER},M\xfcnze\n".encode("latin-1"), "is not UTF-8 text (byte"),
        (b"x" * (MIB + 2), "has a first line of more than 1 MiB"),
    ],
)
def test_a_file_that_cannot_be_fills_is_refused_by_name(data: bytes, message: str) -> None:
    assert message in refusal(data)
