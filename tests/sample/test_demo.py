"""`settlement demo` as `make run` starts it, against the sandbox exchange.

Everything settles, the live hours too; a second run changes nothing of the sample day; no process outlives it.
"""

from __future__ import annotations

import os
import re
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
    environment = _environment(tmp_path)
    first = subprocess.run([*DEMO, "--once"], env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert first.returncode == 0, first.stdout + first.stderr
    assert re.search(r"okx at http://127.0.0.1:\d+, 213 accounts and the broker's own: 214 added", first.stdout)
    assert _stored(first.stdout) == 1000
    assert "settled     25 of 25 windows" in first.stdout
    assert "Ledger verified" in first.stdout
    assert _reasons(first.stdout) >= {"INSTRUMENT_UNKNOWN", "PRICE_MISSING"}
    assert _live_fills(first.stdout) >= 1000
    assert "nothing new" not in first.stdout

    second = subprocess.Popen(DEMO, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        printed = _until(second, "Ctrl-C stops everything")
        assert "214 replaced" in printed
        assert "fills       okx over HTTP: the day was pulled before" in printed
        assert "nothing new in the sample day" in printed
        assert _sample_day(printed) == _sample_day(first.stdout)
        assert _live_fills(printed) >= _live_fills(first.stdout)
        second.send_signal(signal.SIGINT)
        rest, _ = second.communicate(timeout=60)
        assert second.returncode == 0
        assert rest.rstrip().endswith("stopped")
    finally:
        second.kill()
    assert _left_behind(tmp_path) == []


@pytest.mark.processes
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("moment", "number"),
    [("accounts    okx", signal.SIGINT), ("instruments okx", signal.SIGTERM), ("starting    ", signal.SIGINT)],
)
def test_a_signal_ends_the_demonstration_cleanly_before_anything_is_settled(
    tmp_path: Path, moment: str, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        DEMO, env=_environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        _until(process, moment)
        process.send_signal(number)
        rest, _ = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    assert rest.rstrip().endswith("stopped")
    assert _left_behind(tmp_path) == []


@pytest.mark.processes
def test_the_sandbox_exchange_ends_with_a_demonstration_that_is_killed(tmp_path: Path) -> None:
    process = subprocess.Popen(DEMO, env=_environment(tmp_path), stdout=subprocess.PIPE, text=True)
    try:
        _until(process, "accounts    okx")
        sandboxes = [child for child in psutil.Process(process.pid).children(recursive=True) if _is_sandbox(child)]
    finally:
        process.kill()
    process.communicate(timeout=60)
    assert len(sandboxes) == 1
    assert psutil.wait_procs(sandboxes, timeout=10)[1] == []
    assert _left_behind(tmp_path) == []


def _environment(directory: Path) -> dict[str, str]:
    servers = {"SETTLEMENT_DATABASE_URL", "SETTLEMENT_REDIS_URL"}
    kept = {name: value for name, value in os.environ.items() if name not in servers}
    return kept | {"SETTLEMENT_HOME": str(directory / "home")}


def _is_sandbox(process: psutil.Process) -> bool:
    return "sandbox" in process.cmdline()


def _stored(printed: str) -> int:
    """How many fills all feeds brought."""
    return sum(
        int(number.replace(",", "")) for number in re.findall(r"^fills .* ([\d,]+) stored", printed, re.MULTILINE)
    )


def _live_fills(printed: str) -> int:
    found = re.search(r"^live .*: ([\d,]+) fills settled", printed, re.MULTILINE)
    assert found is not None, printed
    return int(found[1].replace(",", ""))


def _reasons(printed: str) -> set[str]:
    return set(re.findall(r"^ +\d+ +([A-Z_]+) ", printed, re.MULTILINE))


def _until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    printed, deadline = "", time.monotonic() + SETTLED_SECONDS_MAX
    for line in process.stdout:
        printed += line
        if words in line or time.monotonic() > deadline:
            break
    assert words in printed, printed
    return printed


def _sample_day(printed: str) -> str:
    """The windows and the reasons; balances move on with the live hours."""
    return printed[printed.index("Windows") : printed.index("Owed and instructed")]


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
