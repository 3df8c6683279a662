"""`settlement ingest` and `settlement quarantine list` as somebody types them."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from settlement.cli.main import main
from tests.venues.fill_files import as_csv, fill


@pytest.fixture(autouse=True)
def _own_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETTLEMENT_DATABASE_URL", database_url)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["settlement", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in ("first.csv", "empty.csv", "last.csv")]
    paths[0].write_bytes(as_csv([fill(1), fill(2, price="abc")]))
    paths[1].write_bytes(b"")
    paths[2].write_bytes(as_csv([fill(1, fee="-9"), fill(3)]))
    return paths


def test_a_refused_file_keeps_no_other_out_and_the_exit_code_is_1(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(monkeypatch, "ingest", *files, "--json")
    captured = capsys.readouterr()
    document = orjson.loads(captured.out)

    assert code == 1
    totals = {name: document[name] for name in ("read", "stored", "duplicate", "conflict", "quarantined")}
    assert totals == {"read": 4, "stored": 2, "duplicate": 0, "conflict": 1, "quarantined": 1}
    assert document["files"][str(files[2])]["conflict"] == 1
    assert "settlement: empty.csv: is empty; give a file with a header and rows" in captured.err
    assert "row 3: price is not a decimal: 'abc'" in captured.err
    assert "row 2: the same key is stored with other content: fee is -9, stored -0.0001" in captured.err


def test_what_was_put_aside_is_listed(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "ingest", files[0]) == 0
    assert capsys.readouterr().out == "2 read, 1 stored, 0 duplicate, 0 conflict, 1 quarantined\n"

    assert run(monkeypatch, "quarantine", "list", "--json") == 0
    [row] = orjson.loads(capsys.readouterr().out)
    assert (row["file"], row["row_number"], row["kind"]) == ("first.csv", 3, "bad_row")


def test_an_unknown_format_is_wrong_usage(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "ingest", files[0], "--format", "xml") == 2
