"""Real worker processes on a real Redis and a real database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_worker(self, *, app: str = "tests.workers.probe", concurrency: int = 1) -> subprocess.Popen[bytes]:
        """A worker of all queues, in a process group of its own; its log goes to a file."""
        name = f"worker-{len(self.workers)}"
        arguments = ["-A", app, "worker", "-Q", "ingest,settle,payout,ops", "-c", str(concurrency), "-l", "info"]
        with (self.directory / f"{name}.log").open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "celery", *arguments, "--without-gossip", "--without-mingle", "-n", f"{name}@test"],
                cwd=REPOSITORY,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.workers.append(worker)
        return worker

    def send(self, name: str, *arguments: object) -> None:
        """Queues a task by name, from another process than this one (whose environment is not the workers')."""
        script = "import sys, json; from tests.workers.probe import app; app.send_task(sys.argv[1], json.loads(sys.argv[2]))"
        subprocess.run(
            [sys.executable, "-c", script, name, json.dumps(arguments)], cwd=REPOSITORY, env=self.environment, check=True
        )

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """As when the machine loses power: the worker and its children, at once."""
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(timeout=10)

    def count(self, key: str) -> int:
        return int(self.redis.get(key) or 0)

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.directory.glob("worker-*.log")))

    def wait_until(self, condition: Callable[[], bool], *, seconds: float = 45) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            ended = [worker.pid for worker in self.workers if worker.poll() not in (None, -signal.SIGKILL)]
            if time.monotonic() > deadline or ended:
                pytest.fail(f"it did not happen in {seconds} s (workers ended: {ended})\n{self.logs()}")
            time.sleep(0.1)

    def stop(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in self.workers:
            try:
                worker.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.kill(worker)


@pytest.fixture
def fleet(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Fleet]:
    environment = {**os.environ, "SETTLEMENT_DATABASE_URL": database_url, "SETTLEMENT_REDIS_URL": redis_url}
    with Redis.from_url(redis_url, decode_responses=True) as client:
        started = Fleet(environment=environment, redis=client, directory=tmp_path)
        yield started
        started.stop()
