"""The benchmark's generator: as many rows as asked for, different keys, in no order, on any number of brokers."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from settlement.sample import bench


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bench.Bench:
    return bench.write_bench(tmp_path_factory.mktemp("bench"), fills=5_000, hours=2, roots=4, brokers=14, accounts=300)


@pytest.fixture(scope="module")
def fills(written: bench.Bench) -> list[dict[str, str]]:
    with written.fills.open(newline="") as file:
        return list(csv.DictReader(file))


def test_there_are_as_many_different_fills_as_asked_for(fills: list[dict[str, str]]) -> None:
    assert len(fills) == len({(fill["account"], fill["bill_id"]) for fill in fills}) == 5_000


def test_they_lie_in_the_windows_and_in_no_order(written: bench.Bench, fills: list[dict[str, str]]) -> None:
    times = [int(fill["executed_at"]) for fill in fills]
    assert written.start.timestamp() * 1000 <= min(times)
    assert max(times) < written.end.timestamp() * 1000
    assert times != sorted(times)


def test_nine_in_ten_carry_the_code_of_a_registered_broker(written: bench.Bench, fills: list[dict[str, str]]) -> None:
    with (written.registry / "codes.csv").open(newline="") as file:
        codes = {row["code"] for row in csv.DictReader(file)}
    tagged = [fill for fill in fills if fill["tag"]]
    assert len(codes) == 14
    assert {fill["tag"] for fill in tagged} <= codes
    assert 0.9 < len(tagged) / len(fills) < 0.97


def test_brokers_stand_in_as_many_trees_as_asked_for(written: bench.Bench) -> None:
    with (written.registry / "brokers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 14
    assert sum(1 for row in rows if not row["parent_id"]) == 4
    assert {row["parent_id"] for row in rows if row["parent_id"]} <= {row["broker_id"] for row in rows}


def test_chunks_do_not_repeat_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "CHUNK_FILLS", 700)
    path = tmp_path / "fills.csv"
    assert bench.generate_fills_csv(path, fills=2_000, seed=5) == 2_000
    with path.open(newline="") as file:
        keys = {(row["account"], row["bill_id"]) for row in csv.DictReader(file)}
    assert len(keys) == 2_000
