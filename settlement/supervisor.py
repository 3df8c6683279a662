"""Runs several processes in one terminal: one prefix a line, restarts that are said aloud, no process left behind.

    with running([Process("settle", [...]), Process("beat", [...])]) as group:
        group.wait()

Leaving the block stops every process: SIGTERM first, so that what was begun is finished, SIGKILL after `STOP_SECONDS`.
If this process is killed itself, the kernel kills the others (see `settlement.embedded.bound`). For the main thread only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType

from settlement.embedded.bound import bound

STOP_SECONDS = 30.0
POLL_SECONDS = 0.2
BACKOFF_FIRST_SECONDS = 1.0
BACKOFF_LONGEST_SECONDS = 30.0
# A process that ran for this long has started well: the next restart is immediate again.
HEALTHY_SECONDS = 60.0

Say = Callable[[str, str], None]
"""Prints one line of a process: its name, the line."""


@dataclass(frozen=True)
class Process:
    """What is to be kept running, under a short name; `environment` is added to this process's own."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class _Kept:
    """One process and its restarts."""

    def __init__(self, process: Process, say: Say) -> None:
        self.process = process
        self.say = say
        self.child: subprocess.Popen[str] | None = None
        self.reader: threading.Thread | None = None
        self.started = 0.0
        self.backoff = BACKOFF_FIRST_SECONDS
        self.restart_at = 0.0

    def start(self) -> None:
        """Starts it and passes on what it prints."""
        self.child = subprocess.Popen(  # noqa: S603 - the caller's own command
            bound(self.process.command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self.process.environment},
            # Its own process group: Ctrl-C reaches this process only, which then stops the others in order.
            process_group=0,
        )
        self.started = time.monotonic()
        self.reader = threading.Thread(target=self._pass_on, args=[self.child], daemon=True)
        self.reader.start()

    def look(self) -> None:
        """Notices an end, says so, and starts it again after the backoff."""
        now = time.monotonic()
        if self.child is not None:
            code = self.child.poll()
            if code is None:
                return
            self._plan_restart(code, now)
        elif now >= self.restart_at:
            self.say(self.process.name, "starting again")
            self.start()

    def ask_to_stop(self) -> None:
        """Lets it finish what it has begun."""
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)

    def end(self, deadline: float) -> None:
        """Waits for its end until `deadline` (monotonic), then ends it and all it has started."""
        if self.child is None:
            return
        try:
            self.child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.say(self.process.name, f"did not stop within {STOP_SECONDS:.0f} s and is killed")
        _kill_group(self.child)
        self.child.wait()
        if self.reader is not None:
            self.reader.join(timeout=5)

    def _plan_restart(self, code: int, now: float) -> None:
        if self.child is not None:
            _kill_group(self.child)
        self.child = None
        if now - self.started >= HEALTHY_SECONDS:
            self.backoff = BACKOFF_FIRST_SECONDS
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        self.say(self.process.name, f"ended {how}; starting again in {self.backoff:.0f} s")
        self.restart_at = now + self.backoff
        self.backoff = min(self.backoff * 2, BACKOFF_LONGEST_SECONDS)

    def _pass_on(self, child: subprocess.Popen[str]) -> None:
        if child.stdout is None:
            return
        with child.stdout as lines:
            for line in lines:
                self.say(self.process.name, line.rstrip())


class Group:
    """The running processes."""

    def __init__(self, kept: list[_Kept], every_second: Callable[[], None] | None) -> None:
        self._kept = kept
        self._every_second = every_second
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ends `wait`; callable from a signal handler or another thread."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether a signal, or `stop`, has asked for the end."""
        return self._stop.is_set()

    def wait(self, seconds: float | None = None) -> None:
        """Keeps the processes running until `stop`, a signal, or for that many seconds."""
        deadline = None if seconds is None else time.monotonic() + seconds
        next_check = 0.0
        while not self._stop.wait(POLL_SECONDS):
            for one in self._kept:
                one.look()
            if self._every_second is not None and time.monotonic() >= next_check:
                self._every_second()
                next_check = time.monotonic() + 1.0
            if deadline is not None and time.monotonic() >= deadline:
                return

    @property
    def process_ids(self) -> dict[str, int]:
        """The process id of each that runs now, by name."""
        return {one.process.name: one.child.pid for one in self._kept if one.child is not None}


@contextmanager
def running(
    processes: Sequence[Process], *, say: Say | None = None, every_second: Callable[[], None] | None = None
) -> Iterator[Group]:
    """Starts the processes, gives the group, and stops all of them when the block ends, however it ends.

    While it runs, SIGINT, SIGTERM and SIGHUP end `group.wait()` instead of this process; a second one kills the processes.
    `every_second` is called by `wait`, about once a second.
    """
    width = max(len(process.name) for process in processes)
    kept = [_Kept(process, say or printer(width)) for process in processes]
    group = Group(kept, every_second)
    with _signals_to(group, kept):
        try:
            for one in kept:
                one.start()
            yield group
        finally:
            _stop_all(kept)


def _stop_all(kept: Sequence[_Kept]) -> None:
    for one in kept:
        one.ask_to_stop()
    deadline = time.monotonic() + STOP_SECONDS
    for one in kept:
        one.end(deadline)


@contextmanager
def _signals_to(group: Group, kept: Sequence[_Kept]) -> Iterator[None]:
    received: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        group.stop()
        if len(received) > 1:
            for one in kept:
                if one.child is not None:
                    _kill_group(one.child)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def printer(width: int) -> Say:
    """Prints lines behind a name of at most `width` characters, whole lines whoever prints at the same moment."""
    lock = threading.Lock()

    def say(name: str, line: str) -> None:
        with lock:
            sys.stdout.write(f"{name:<{width}} | {line}\n")
            sys.stdout.flush()

    return say


def _kill_group(child: subprocess.Popen[str]) -> None:
    """A worker's own processes may outlive it for a moment; none may stay."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
