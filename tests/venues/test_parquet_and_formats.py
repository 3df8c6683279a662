"""Parquet of any exact types, and which reader a file gets."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from settlement.errors import InputRefused
from settlement.pipeline.fill_blocks import Block
from settlement.pipeline.validate_fills import validate
from settlement.venues.reading import FillFile
from tests.venues.fill_files import NOW, as_csv, as_envelope, fill

ROWS = [fill(number) for number in range(1, 4)]


def as_table(**columns: pa.Array) -> pa.Table:
    table = pa.Table.from_pylist(ROWS)
    for name, column in columns.items():
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def read(path: Path, file_format: str = "auto") -> list[Block]:
    return [validate(block, now=NOW) for block in FillFile(path, file_format)]


def refusal(path: Path) -> str:
    with pytest.raises(InputRefused) as refused:
        read(path)
    return str(refused.value)


def test_exact_types_give_the_same_fills_as_text(tmp_path: Path) -> None:
    times = pa.array([1_789_369_200_000 + number * 1000 for number in range(1, 4)])
    typed = as_table(
        account=pa.array([7001] * 3),
        price=pa.array([Decimal("60000.5")] * 3, pa.decimal128(20, 1)),
        executed_at=times.cast(pa.timestamp("ms", "UTC")),
        side=pa.array(["buy"] * 3).dictionary_encode(),
        tag=pa.array(["alphaOne"] * 3, pa.large_string()),
    )
    parquet.write_table(typed, tmp_path / "typed.parquet")
    (tmp_path / "plain.csv").write_bytes(as_csv(ROWS))

    [from_parquet], [from_csv] = read(tmp_path / "typed.parquet"), read(tmp_path / "plain.csv")
    assert from_parquet.table.equals(from_csv.table)
    assert from_parquet.row_numbers.to_pylist() == [1, 2, 3]


def test_a_column_of_floats_is_refused_by_name(tmp_path: Path) -> None:
    parquet.write_table(as_table(fee=pa.array([0.1, 0.2, 0.3])), tmp_path / "f.parquet")

    assert "f.parquet: column fee has type double; write decimals or strings" in refusal(tmp_path / "f.parquet")


def test_a_missing_column_an_empty_and_a_cut_off_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    parquet.write_table(as_table().drop_columns(["fee"]), path)
    assert "has no column fee" in refusal(path)

    parquet.write_table(as_table(), path)
    path.write_bytes(path.read_bytes()[:-20])
    assert "is not a whole Parquet file" in refusal(path)

    path.write_bytes(b"")
    assert "is not a whole Parquet file" in refusal(path)


def test_a_file_with_damaged_pages_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    parquet.write_table(as_table(), path, compression="zstd", use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[4:400] = bytes(396)
    path.write_bytes(data)

    assert "f.parquet: is damaged" in refusal(path)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.csv", "csv"), ("b.json", "okx"), ("c", "csv"), ("d.dat", "okx"), ("e", "parquet"), ("f.csv.gz", "gz")],
)
def test_the_format_is_told_by_suffix_and_then_by_content(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    contents = {"csv": as_csv(ROWS), "okx": as_envelope(ROWS), "gz": gzip.compress(as_csv(ROWS))}
    if kind == "parquet":
        parquet.write_table(as_table(), path)
    else:
        path.write_bytes(contents[kind])

    [block] = read(path)
    assert block.table["bill_id"].to_pylist() == ["5001", "5002", "5003"]


def test_a_file_can_be_read_again_and_tells_its_progress(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(as_csv(ROWS))
    told: list[int] = []
    source = FillFile(path, on_progress=told.append)

    assert [block.rows_read for block in source] == [block.rows_read for block in source] == [3]
    assert told == [path.stat().st_size] * 2


def test_what_is_no_file_or_no_whole_gzip_is_refused(tmp_path: Path) -> None:
    assert "there is no such file; check the path" in refusal(tmp_path / "missing.csv")
    assert "cannot be opened" in refusal(tmp_path)

    cut_off = tmp_path / "f.csv.gz"
    cut_off.write_bytes(gzip.compress(as_csv(ROWS))[:-12])
    assert "is not whole gzip" in refusal(cut_off)
