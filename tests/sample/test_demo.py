"""`settlement demo` as `make run` starts it: everything settles, a second run changes nothing, Ctrl-C leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

SETTLEMENT = str(Path(sys.executable).with_name("settlement"))
DEMO = [SETTLEMENT, "demo", "--fills", "1000"]
SETTLED_SECONDS_MAX = 240.0


@pytest.mark.processes
@pytest.mark.timeout(600)
def test_the_demonstration_settles_then_finds_nothing_new_and_stops_cleanly(tmp_path: Path) -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"SETTLEMENT_DATABASE_URL", "SETTLEMENT_REDIS_URL"}
    } | {"SETTLEMENT_HOME": str(tmp_path / "home")}
    first = subprocess.run([*DEMO, "--once"], env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "settled     25 of 25 windows" in first.stdout
    assert "Ledger verified" in first.stdout
    assert "nothing new" not in first.stdout

    second = subprocess.Popen(DEMO, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        printed = _until(second, "Ctrl-C stops everything")
        assert "nothing new: every fact and every fill of the sample was known" in printed
        assert _tables(printed) == _tables(first.stdout)
        second.send_signal(signal.SIGINT)
        rest, _ = second.communicate(timeout=60)
        assert second.returncode == 0
        assert rest.rstrip().endswith("stopped")
    finally:
        second.kill()
    assert _left_behind(tmp_path) == []


def _until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    printed, deadline = "", time.monotonic() + SETTLED_SECONDS_MAX
    for line in process.stdout:
        printed += line
        if words in line or time.monotonic() > deadline:
            break
    assert words in printed, printed
    return printed


def _tables(printed: str) -> str:
    """From the windows to the audit, whose sample is another one each time."""
    return printed[printed.index("Windows") : printed.index("Ledger verified")]


def _left_behind(home: Path) -> list[str]:
    """Processes that name the home, after the embedded servers have had their time to notice that nobody is left."""
    for _ in range(60):
        found = [
            " ".join(process.info["cmdline"] or ())
            for process in psutil.process_iter(["cmdline"])
            if str(home) in " ".join(process.info["cmdline"] or ())
        ]
        if not found:
            return []
        time.sleep(0.5)
    return found
