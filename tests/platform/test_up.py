"""`settlement up` and what keeps its processes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from redis import Redis

from settlement import embedded, supervisor
from settlement.cli.up import keep_servers
from settlement.supervisor import Process

# Generous: eleven processes start on whatever the machine has left.
WAIT_SECONDS = 240
SLEEPER = [sys.executable, "-c", "import time; print('hello', flush=True); time.sleep(300)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('hello', flush=True); time.sleep(300)",
]


class Lines:
    """What the processes have said."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.said.append((name, line))

    def wait_for(self, *expected: tuple[str, str], group: supervisor.Group) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not set(expected) <= set(self.said):
            assert time.monotonic() < deadline, self.said
            group.wait(0.1)


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def is_running(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def wait_for_the_end(pids: list[int]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    left = pids
    while left:
        assert time.monotonic() < deadline, f"still running: {left}"
        left = [pid for pid in left if is_running(pid)]
        time.sleep(0.05)


def test_every_line_comes_out_behind_its_process_and_all_end_with_the_block(lines: Lines) -> None:
    with supervisor.running([Process("one", SLEEPER), Process("two", SLEEPER)], say=lines) as group:
        lines.wait_for(("one", "hello"), ("two", "hello"), group=group)
        pids = list(group.process_ids.values())
    assert [is_running(pid) for pid in pids] == [False, False]


def test_the_environment_is_added(lines: Lines) -> None:
    show = [sys.executable, "-c", "import os, time; print(os.environ['ADDED'], flush=True); time.sleep(60)"]
    with supervisor.running([Process("one", show, {"ADDED": "yes"})], say=lines) as group:
        lines.wait_for(("one", "yes"), group=group)


def test_a_process_that_ends_is_started_again_aloud_and_ever_later(lines: Lines) -> None:
    with supervisor.running([Process("one", [sys.executable, "-c", "raise SystemExit(3)"])], say=lines) as group:
        lines.wait_for(
            ("one", "ended with code 3; starting again in 1 s"),
            ("one", "starting again"),
            ("one", "ended with code 3; starting again in 2 s"),
            group=group,
        )


def test_a_killed_process_is_named_with_its_signal(lines: Lines) -> None:
    with supervisor.running([Process("one", SLEEPER)], say=lines) as group:
        lines.wait_for(("one", "hello"), group=group)
        os.kill(group.process_ids["one"], signal.SIGKILL)
        lines.wait_for(("one", "ended by signal SIGKILL; starting again in 1 s"), group=group)


def test_a_process_that_does_not_stop_is_killed(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 0.5)
    with supervisor.running([Process("one", STUBBORN)], say=lines) as group:
        lines.wait_for(("one", "hello"), group=group)
        pid = group.process_ids["one"]
    assert not is_running(pid)
    assert ("one", "did not stop within 0 s and is killed") in lines.said


def test_a_signal_ends_the_wait_and_the_handlers_are_given_back(lines: Lines) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with supervisor.running([Process("one", SLEEPER)], say=lines) as group:
        lines.wait_for(("one", "hello"), group=group)
        os.kill(os.getpid(), signal.SIGTERM)
        group.wait(WAIT_SECONDS)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_stopped_embedded_server_is_started_again_aloud(
    lines: Lines, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SETTLEMENT_HOME", str(home))
    monkeypatch.setenv("SETTLEMENT_DATABASE_URL", "postgresql://external/name")
    monkeypatch.delenv("SETTLEMENT_REDIS_URL", raising=False)
    url = embedded.join_redis(home)
    os.kill(json.loads((home / "redis" / "ready.json").read_text())["keeper"], signal.SIGKILL)
    with supervisor.running([Process("one", SLEEPER)], every_second=lambda: keep_servers(lines), say=lines) as group:
        lines.wait_for(("up", "the embedded redis had stopped and is started again"), group=group)
    with Redis.from_url(url) as client:
        assert client.ping()
    embedded.leave(home)


@pytest.fixture
def up(home: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SETTLEMENT_")}
    process = subprocess.Popen(
        [sys.executable, "-c", "from settlement.cli.main import main; main()", "up"],
        env={**environment, "SETTLEMENT_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def descendants_when_all_run(up: subprocess.Popen[str]) -> list[int]:
    """Four workers with six processes of their own, and beat."""
    deadline = time.monotonic() + WAIT_SECONDS
    while len(children := psutil.Process(up.pid).children(recursive=True)) < 11:
        assert up.poll() is None, up.communicate()[0]
        assert time.monotonic() < deadline, children
        time.sleep(0.2)
    return [child.pid for child in children]


def servers_of(home: Path) -> list[int]:
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(str(home) in word for word in process.info["cmdline"] or []) and process.pid != os.getpid()
    ]


@pytest.mark.processes
@pytest.mark.timeout(3 * WAIT_SECONDS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_stops_every_process_when_asked(up: subprocess.Popen[str], home: Path, number: signal.Signals) -> None:
    descendants = descendants_when_all_run(up)
    time.sleep(2)
    up.send_signal(number)
    output, _ = up.communicate(timeout=WAIT_SECONDS)
    assert up.returncode == 0, output
    assert output.rstrip().endswith("stopped")
    assert "is killed" not in output
    assert "superuser" not in output
    wait_for_the_end(descendants)
    wait_for_the_end(servers_of(home))


@pytest.mark.processes
@pytest.mark.timeout(3 * WAIT_SECONDS)
def test_up_that_is_killed_leaves_nothing_running(up: subprocess.Popen[str], home: Path) -> None:
    descendants = descendants_when_all_run(up)
    up.kill()
    up.communicate(timeout=WAIT_SECONDS)
    wait_for_the_end(descendants)
    wait_for_the_end(servers_of(home))
