"""`settlement export` as a program: where it writes, and how it refuses."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.usefixtures("settled_environment")


def test_csv_goes_to_standard_output_by_default() -> None:
    rows = list(csv.DictReader(io.StringIO(_run("windows").stdout.decode())))
    assert [row["window_start"] for row in rows if row["status"] == "settled"] == [
        "2026-03-01T23:00:00Z",
        "2026-03-02T12:00:00Z",
    ]


def test_parquet_goes_through_a_pipe() -> None:
    table = pq.read_table(io.BytesIO(_run("lines", "--format", "parquet").stdout))
    assert table.num_rows > 100


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "lines.csv"
    _run("lines", "-o", str(path), "--broker", "nobody", code=1)
    assert not list(tmp_path.iterdir())
    _run("lines", "-o", str(path))
    assert path.read_bytes().startswith(b"window_start,")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["profits"], "is not one of lines, shares"),
        (["lines", "--format", "xlsx"], "is not one of csv, json, parquet"),
        (["lines", "--from", "yesterday"], "is not a time"),
        (["lines", "--from", "2026-03-02T12:00:00Z", "--to", "2026-03-02T11:00:00Z"], "is after --to"),
        (["lines", "-o", "/nowhere/lines.csv"], "there is no directory"),
        ([], "Missing argument"),
    ],
)
def test_wrong_usage_is_code_2(arguments: list[str], said: str) -> None:
    told = " ".join(_run(*arguments, code=2).stderr.decode().replace("\u2502", " ").split())
    assert said in told


def test_a_refusal_is_one_line_and_code_1() -> None:
    told = _run("lines", "--broker", "nobody", code=1).stderr.decode()
    assert told.count("\n") == 1
    assert "no broker 'nobody' is registered" in told


def _run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[bytes]:
    command = [str(Path(sys.executable).with_name("settlement")), "export", *arguments]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == code, done.stderr.decode()
    return done
