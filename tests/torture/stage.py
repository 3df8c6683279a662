"""The processes of a torture: embedded PostgreSQL and Redis in a home of their own, three workers of all queues, and beat.

Every process is a session of its own, so that it can be killed with all it started; and dies with the torture itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from settlement.embedded.bound import bound
from settlement.embedded.layout import Place

REPOSITORY = Path(__file__).resolve().parents[2]
WORKERS = ("worker-1", "worker-2", "worker-3")
BEAT = "beat"
PROCESSES_OF_WORKER = 2
QUEUES = "ingest,settle,payout,ops"
RESTART_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60
# Where Redis holds that the next process which begins this task is to be killed, after so many seconds.
DOOMED = "torture.doomed:{task}"


class Stage:
    """Started, killed and started again from one thread: the kernel ends a process with the thread that started it."""

    def __init__(self, home: Path, logs: Path) -> None:
        self.home, self.logs = home, logs
        self.ended_by_themselves: Counter[str] = Counter()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._starts = 0

    def start_all(self) -> None:
        for name in (*WORKERS, BEAT):
            self.start(name)

    def start(self, name: str) -> None:
        """A worker of all queues, or beat; what it logs is added to its file."""
        self._starts += 1
        node = ["--without-gossip", "--without-mingle", f"--hostname={name}-{self._starts}@torture"]
        worker = ["worker", f"--queues={QUEUES}", f"--concurrency={PROCESSES_OF_WORKER}", *node]
        arguments = ["beat", "--pidfile="] if name == BEAT else worker
        command = [sys.executable, "-m", "celery", "--app=tests.torture.app", *arguments]
        with (self.logs / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                bound(command), cwd=REPOSITORY, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def kill(self, name: str) -> None:
        """As when its machine loses power; then it is started again."""
        self._kill_group(self._running[name])
        self.start(name)

    def keep(self) -> None:
        """Starts again what ended by itself, as a supervisor does, and counts it."""
        for name, process in list(self._running.items()):
            if process.poll() is not None:
                self.ended_by_themselves[f"{name.partition('-')[0]} ({process.returncode})"] += 1
                self.kill(name)

    def children(self) -> list[psutil.Process]:
        """The processes of all workers that work on tasks."""
        found: list[psutil.Process] = []
        for name in WORKERS:
            with suppress(psutil.NoSuchProcess):
                found += psutil.Process(self._running[name].pid).children()
        return found

    def restart_postgres(self) -> None:
        """An immediate stop: every session is cut, nothing is written down. The keeper starts it again."""
        place = Place(self.home, "postgres")
        stopped = _server(place)
        os.kill(stopped, signal.SIGQUIT)
        deadline = time.monotonic() + RESTART_SECONDS_MAX
        while _server(place) in (None, stopped):
            if time.monotonic() > deadline:
                raise TimeoutError(f"PostgreSQL did not come back; see {place.log}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Lets everybody finish what was begun."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS_MAX)
            self._kill_group(process)

    @staticmethod
    def _kill_group(process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def staged(home: Path, logs: Path) -> Iterator[Stage]:
    """A stage with everything running, all of it stopped when the block ends."""
    stage = Stage(home, logs)
    try:
        stage.start_all()
        yield stage
    finally:
        stage.stop()


def _server(place: Place) -> int | None:
    """The process number of a server that is ready."""
    try:
        return int(json.loads(place.ready.read_text())["server"])
    except FileNotFoundError:
        return None
