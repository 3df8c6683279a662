"""`settlement terms simulate` as somebody types it."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from settlement.pipeline.settle import settle_window
from settlement.store.database import Database
from settlement.store.what_if_report import PARTS
from tests.cli.conftest import Settlement
from tests.workers import program

RANGE = ("--from", "2026-03-01T06:00Z", "--to", "2026-03-01T10:00Z")


@pytest.fixture
def higher(database: Database, tmp_path: Path) -> Path:
    """Terms with a higher rate, and a settled program."""
    program.load_program(database)
    for window_start in program.WINDOWS:
        settle_window(database, window_start, now=datetime.now(UTC))
    path = tmp_path / "higher.toml"
    path.write_text(program.TERMS.replace('spot = "0.3"', 'spot = "0.45"'))
    return path


def test_it_says_in_words_what_it_would_cost_and_who_wins(settlement: Settlement, higher: Path) -> None:
    ran = settlement("terms", "simulate", higher, *RANGE)
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == f"what-if 1: 2026-03-01T06:00:00Z to 2026-03-01T10:00:00Z, under {higher}"
    assert lines[1].startswith(f"note: {higher} is in force for the whole range")
    assert lines[2].startswith(
        "1,440 fills: 960 lines earn, as it stands 960; net fee 411.0162936 USDT, volume 480000 USDT"
    )
    assert lines[3] == (
        "cost to the operator: 184.95733212 USDT, as it stands 123.30488808 USDT: a difference of 61.65244404 USDT (50 %)"
    )
    assert "Winners" in ran.out
    assert "Losers" not in ran.out
    assert lines[-1] == "nothing of the books was written; shown again within a day by: settlement terms simulated 1"
    again = settlement("terms", "simulated", 1)
    assert again.out == ran.out


def test_the_document_and_the_files_hold_every_row(settlement: Settlement, higher: Path, tmp_path: Path) -> None:
    ran = settlement("terms", "simulate", higher, *RANGE, "--broker", "beta", "--json", "--csv", tmp_path / "out")
    document = json.loads(ran.out)
    assert document["totals"]["difference_percent"] == "50"
    assert [row["payee"] for row in document["winners"]] == ["beta", "gamma"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{name}.csv" for name in (*PARTS, "totals")}
    with (tmp_path / "out" / "winners.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == document["winners"]
    assert (tmp_path / "out" / "losers.csv").read_text() == ""


def test_what_workers_are_to_settle_is_shown_as_far_as_it_is(settlement: Settlement, higher: Path) -> None:
    ran = settlement("terms", "simulate", higher, *RANGE, "--to-workers")
    assert "0 of 1 stretches settled, 0 fills" in ran.out
    assert ran.out.splitlines()[-1] == "it is not done; look again in a while: settlement terms simulated 1"


def test_a_refusal_is_one_line(settlement: Settlement, higher: Path) -> None:
    ran = settlement("terms", "simulated", 7)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "settlement: there is no what-if 7; it is kept for a day; settlement terms simulate makes another one\n"
    )
    unknown = settlement("terms", "simulate", higher, "nothing.toml", *RANGE)
    assert unknown.code == 1
    assert unknown.err.startswith("settlement: nothing.toml: no such terms")
    assert settlement("terms", "simulate", higher, "--from", "2026-03-01T06:30Z", "--to", "2026-03-02").code == 2
