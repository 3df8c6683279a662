"""The benchmark measures what it says, small here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def measured_by(*arguments: str) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SETTLEMENT_")}
    command = [Path(sys.executable).with_name("settlement"), "bench", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=240)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def test_the_last_line_is_what_was_measured() -> None:
    measured = measured_by("--fills", "3000", "--hours", "2")
    assert measured["fills"] == 3000
    assert measured["windows"] == 2
    assert measured["settle_s"] > measured["ingest_s"] > 0
    # The yardstick of so few fills is a few milliseconds, printed to the millisecond.
    assert measured["ratio"] == pytest.approx(measured["settle_s"] / measured["copy_s"], rel=0.2)
    assert measured["peak_rss_mb"] > 50


def test_a_what_if_of_the_terms_that_stand_comes_to_the_books_before_others_are_measured() -> None:
    measured = measured_by("what-if", "--fills", "2000", "--windows", "3")
    assert (measured["fills"], measured["windows"], measured["stretches"]) == (2000, 3, 1)
    assert measured["payees_equal"] > 24
    assert measured["commission_usdt"] != measured["simulated_commission_usdt"]
    assert measured["ratio"] == pytest.approx(measured["simulate_s"] / measured["settle_s"], rel=0.01)


def test_recalculating_is_measured_beside_settling() -> None:
    measured = measured_by("recalculate", "--windows", "3", "--fills", "1500")
    assert (measured["windows"], measured["fills"]) == (3, 1500)
    assert 1000 < measured["lines_changed"] < 1500
    assert measured["plan_ratio"] == pytest.approx(measured["plan_s"] / measured["settle_s"], rel=0.01)
    assert measured["apply_ratio"] == pytest.approx(measured["apply_s"] / measured["settle_s"], rel=0.01)
    assert measured["again_s"] > 0


def test_a_capped_month_is_measured_beside_the_same_month_without_a_cap() -> None:
    measured = measured_by("cap", "--windows", "3", "--fills", "3000", "--amount", "0.5")
    assert (measured["windows"], measured["fills"]) == (3, 3000)
    assert 300 < measured["capped"] < 2500
    assert measured["late_lines"] > 0
    assert measured["ratio"] == pytest.approx(measured["capped_s"] / measured["uncapped_s"], rel=0.01)
