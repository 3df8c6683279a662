"""The benchmark measures what it says, small here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_the_last_line_is_what_was_measured() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SETTLEMENT_")}
    command = [Path(sys.executable).with_name("settlement"), "bench", "--fills", "3000", "--hours", "2"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=240)
    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured["fills"] == 3000
    assert measured["windows"] == 2
    assert measured["settle_s"] > measured["ingest_s"] > 0
    # The yardstick of so few fills is a few milliseconds, printed to the millisecond.
    assert measured["ratio"] == pytest.approx(measured["settle_s"] / measured["copy_s"], rel=0.2)
    assert measured["peak_rss_mb"] > 50
