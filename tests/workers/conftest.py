"""Real worker processes on a real Redis and a real database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis import Redis

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Fleet:
    """Starts workers and sends them messages; everything it started is ended with the test."""

    environment: dict[str, str]
    redis: Redis
    directory: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_worker(self, *, app: str = "tests.workers.probe", concurrency: int = 1) -> subprocess.Popen[bytes]:
        """A worker of all queues."""
        options = ["--without-gossip", "--without-mingle", "-n", f"{len(self.processes)}@test"]
        return self._start("-A", app, "worker", "-Q", "ingest,settle,payout,ops", "-c", str(concurrency), *options)

    def start_beat(self) -> subprocess.Popen[bytes]:
        """The product's clock."""
        return self._start("-A", "workers.app", "beat", "--pidfile=")

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A Celery program in a process group of its own; its log goes to a file."""
        with (self.directory / f"{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", *arguments],
                cwd=REPOSITORY,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def send(self, name: str, *arguments: object) -> None:
        """Queues one task by name."""
        self.send_all([(name, list(arguments))])

    def send_all(self, messages: Iterable[tuple[str, list[object]]]) -> None:
        """Queues tasks by name, from another process than this one (whose environment is not the workers')."""
        script = (
            "import json, sys; from tests.workers.probe import app; [app.send_task(*m) for m in json.load(sys.stdin)]"
        )
        messages_json = json.dumps(list(messages)).encode()
        command = [sys.executable, "-c", script]
        subprocess.run(command, cwd=REPOSITORY, env=self.environment, input=messages_json, check=True)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """As when the machine loses power: the process and its children, at once."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)

    def count(self, key: str) -> int:
        return int(self.redis.get(key) or 0)

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.directory.glob("*.log")))

    def wait_until(self, condition: Callable[[], bool], *, seconds: float = 45) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            ended = [process.pid for process in self.processes if process.poll() not in (None, -signal.SIGKILL)]
            if time.monotonic() > deadline or ended:
                pytest.fail(f"it did not happen in {seconds} s (processes that ended: {ended})\n{self.logs()}")
            time.sleep(0.1)

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)


@pytest.fixture
def fleet(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Fleet]:
    environment = {**os.environ, "SETTLEMENT_DATABASE_URL": database_url, "SETTLEMENT_REDIS_URL": redis_url}
    with Redis.from_url(redis_url, decode_responses=True) as client:
        started = Fleet(environment=environment, redis=client, directory=tmp_path)
        yield started
        started.stop()
