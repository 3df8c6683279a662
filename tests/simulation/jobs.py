"""Jobs: one process each, alone or two at once, and how each of them ended."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from threading import Thread
from time import monotonic, sleep
from typing import Any

from settlement.errors import Unavailable
from settlement.pipeline.facts_cache import FactsCache
from settlement.store.database import Database
from settlement.store.failures import passes_by_itself
from tests.simulation.acts import AtOnce, Disconnected, Fault, Job, Killed, Moment, ServerStopped
from tests.simulation.arena import Arena
from tests.simulation.interruptions import Hold, JobDatabase, ProcessDied, die, lose_the_answer

WAIT_SECONDS_MAX = 60
LOOK_SECONDS = 0.002


class FoundError(AssertionError):
    """Something happened that must not, whatever goes wrong around it."""


@dataclass
class Worker:
    """What a process keeps between its jobs."""

    cache: FactsCache = field(default_factory=FactsCache)


@dataclass(frozen=True)
class Work:
    """What is to be done, by a worker, through its own view of the database."""

    job: Job
    do: Callable[[Database, Worker], Any]


class End(Enum):
    """How a job ended."""

    DONE = "done"
    DIED = "died"
    FAILED = "failed, and may be tried again"


@dataclass(frozen=True)
class Ended:
    """The end of a job, and what it returned."""

    how: End
    value: Any = None


@dataclass
class Staff:
    """The processes that do the work in an arena."""

    arena: Arena
    hit: Counter[str] = field(default_factory=Counter)
    workers: list[Worker] = field(default_factory=lambda: [Worker(), Worker()])

    def do(self, work: Work, fault: Fault | None = None) -> Ended:
        """Does it in the first process, with at most one thing that breaks it off."""
        view = self._view(fault)
        ended = self._ended(work, view, worker=0)
        self.hit[type(fault).__name__] += view.reached
        return ended

    def do_at_once(self, held: Work, rival: Work, fault: AtOnce) -> tuple[Ended, Ended]:
        """Holds one job, lets the other run until it ends or waits for a lock, then lets both go on."""
        hold = Hold()
        first = _Process(self, held, JobDatabase(self.arena.database, at=fault.at, happens=hold), worker=0)
        first.start()
        first.wait_until(hold.reached.is_set)
        second = _Process(self, rival, JobDatabase(self.arena.database), worker=1)
        second.start()
        second.wait_until(lambda: self.arena.sessions_in_wait() > 0)
        self.hit["AtOnce, one waits" if second.is_alive() else "AtOnce"] += hold.reached.is_set()
        hold.go_on.set()
        return first.ended(), second.ended()

    def _view(self, fault: Fault | None) -> JobDatabase:
        base = self.arena.database
        match fault:
            case Killed(at=at):
                return JobDatabase(base, at=at, happens=die)
            case Disconnected(at=at) if at.moment is Moment.UNANSWERED:
                return JobDatabase(base, at=at, happens=lose_the_answer)
            case Disconnected(at=at):
                return JobDatabase(base, at=at, happens=self.arena.end_session)
            case ServerStopped(at=at):
                return JobDatabase(base, at=at, happens=self.arena.stop_server)
            case _:
                return JobDatabase(base)

    def _ended(self, work: Work, view: JobDatabase, *, worker: int) -> Ended:
        try:
            return Ended(End.DONE, work.do(view, self.workers[worker]))
        except ProcessDied:
            self.workers[worker] = Worker()
            return Ended(End.DIED)
        except Exception as error:
            if passes_by_itself(error) or isinstance(error, Unavailable):
                return Ended(End.FAILED)
            raise FoundError(f"a {work.job} raised {error!r}\n{''.join(traceback.format_exception(error))}") from error


class _Process(Thread):
    """One of two jobs that run at once."""

    def __init__(self, staff: Staff, work: Work, view: JobDatabase, *, worker: int) -> None:
        super().__init__(daemon=True, name=f"{work.job}-{worker}")
        self._staff, self._work, self._view, self._worker = staff, work, view, worker
        self._ended: Ended | None = None
        self._found: FoundError | None = None

    def run(self) -> None:
        try:
            self._ended = self._staff._ended(self._work, self._view, worker=self._worker)
        except FoundError as found:
            self._found = found

    def wait_until(self, happened: Callable[[], bool]) -> None:
        """Returns when that is so, or when the process has ended."""
        deadline = monotonic() + WAIT_SECONDS_MAX
        while self.is_alive() and not happened():
            if monotonic() > deadline:
                raise FoundError(f"a {self._work.job} neither ended nor waited for a lock")
            sleep(LOOK_SECONDS)

    def ended(self) -> Ended:
        self.join(WAIT_SECONDS_MAX)
        if self._found is not None:
            raise self._found
        if self._ended is None:
            raise FoundError(f"a {self._work.job} did not come to its end")
        return self._ended
