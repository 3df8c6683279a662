"""Users at work while everything around them dies: they send files, load facts, and ask for recalculations, by tasks.

A message may be lost with the worker that took it, or with Redis. So who sent something looks after a while whether it
was done, and sends it again if it was not: the same file under the same name, the same request under the same id. A plan that
was overtaken by facts or fills that came later is given up and asked for anew.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from sqlalchemy import text

from settlement.pipeline.recalculate import changed_inputs
from settlement.store.database import Connection, Database
from settlement.store.recalculations import plan_of
from tests.torture.acts import APPLIER, APPROVER, PLANNER, load, until_done
from tests.torture.app import app
from tests.torture.world import Recalculation, World

# No hour comes sooner after another: so many that the faultless run and both audits are done in as long again.
SECONDS_OF_HOUR = 2.0
AGAIN_SECONDS = 6.0
FILES_UNDER_WAY_MAX = 6
WINDOWS_WAITING_MAX = 12

TAKEN_IN = "SELECT subject FROM outbox WHERE type = 'fills.ingested' AND subject = ANY (:files)"
WAITING = """
    SELECT count(*) FROM settlement_window w WHERE window_start < :end AND (recheck OR status IN ('open', 'settling')
        OR EXISTS (SELECT FROM run r WHERE r.window_start = w.window_start AND r.closed_at IS NULL))
"""
PLANS_OPEN = "SELECT count(*) FROM recalculation WHERE status NOT IN ('applied', 'cancelled')"
EVENTS_WAITING = "SELECT count(*) FROM outbox WHERE relayed_at IS NULL"


@dataclass
class _Asked:
    """A recalculation that somebody wants: what it takes next, until it is applied."""

    wanted: Recalculation
    attempt: int = 1
    sent_at: float = 0.0
    done: bool = False

    @property
    def request_key(self) -> str:
        return f"{self.wanted.name}-{self.attempt}"

    def move(self, connection: Connection) -> None:
        query = text("SELECT plan_id FROM recalculation WHERE request_key = :key")
        plan_id = connection.execute(query, {"key": self.request_key}).scalar()
        if plan_id is None:
            start, end = self.wanted.start.isoformat(), self.wanted.end.isoformat()
            arguments = [start, end, self.wanted.broker, self.wanted.reason, PLANNER]
            self._send("settlement.request_recalculation", arguments, task_id=self.request_key)
            return
        plan = plan_of(connection, plan_id)
        if changed_inputs(connection, plan):
            self._send("settlement.cancel_recalculation", [plan_id, PLANNER])
        elif plan.status == "planned":
            self._send("settlement.approve_recalculation", [plan_id, APPROVER])
        elif plan.status == "approved":
            self._send("settlement.apply_recalculation", [plan_id, APPLIER])
        elif plan.status == "cancelled":
            self.attempt, self.sent_at = self.attempt + 1, 0.0
        self.done = plan.status == "applied"

    def _send(self, name: str, arguments: Sequence[object], **options: str) -> None:
        if time.monotonic() - self.sent_at > AGAIN_SECONDS:
            app.send_task(name, arguments, **options)
            self.sent_at = time.monotonic()


@dataclass
class Users:
    """Feeds one hour after the other of the world until told to stop, then until everything that was begun is done."""

    database: Database
    world: World
    hours_min: int
    hours: int = 0
    files_sent_again: int = 0
    _files: dict[Path, float] = field(default_factory=dict)
    _asked: list[_Asked] = field(default_factory=list)
    _fed_at: float = 0.0

    def work(self, stop: Event, give_up: Event) -> None:
        """Returns when nothing is under way any more."""
        for fact in self.world.base:
            until_done(lambda fact=fact: load(self.database, fact))
        while not give_up.is_set():
            until_done(self._look_after)
            fed = self.hours == self.world.hours or (stop.is_set() and self.hours >= self.hours_min)
            if fed and not self._files and all(asked.done for asked in self._asked):
                return
            if not fed and time.monotonic() - self._fed_at >= SECONDS_OF_HOUR and until_done(self._has_room):
                self._feed()
            else:
                time.sleep(0.2)

    def attempts(self) -> int:
        """How often recalculations were asked for, those included that were overtaken."""
        return sum(asked.attempt for asked in self._asked)

    def recalculations(self) -> int:
        """How many were applied."""
        return sum(asked.done for asked in self._asked)

    def at_rest(self) -> bool:
        """Whether nothing waits for anybody: no window of the world, no plan, no event."""
        return not any(self.unfinished().values())

    def unfinished(self) -> dict[str, int]:
        """What is left to do, by kind."""
        return until_done(self._unfinished)

    def _unfinished(self) -> dict[str, int]:
        with self.database.transaction() as connection:
            return {
                "windows": self._windows_waiting(connection),
                "plans": int(connection.execute(text(PLANS_OPEN)).scalar_one()),
                "events": int(connection.execute(text(EVENTS_WAITING)).scalar_one()),
            }

    def _windows_waiting(self, connection: Connection) -> int:
        return int(connection.execute(text(WAITING), {"end": self.world.window(self.world.hours)}).scalar_one())

    def _has_room(self) -> bool:
        with self.database.transaction() as connection:
            waiting = self._windows_waiting(connection)
        return len(self._files) <= FILES_UNDER_WAY_MAX and waiting <= WINDOWS_WAITING_MAX

    def _feed(self) -> None:
        self._fed_at = time.monotonic()
        step = self.world.step(self.hours)
        for fact in step.facts:
            until_done(lambda fact=fact: load(self.database, fact))
        for file in step.files:
            self._send(file)
        if step.recalculation:
            self._asked.append(_Asked(step.recalculation))
        self.hours += 1

    def _look_after(self) -> None:
        with self.database.transaction() as connection:
            names = [file.name for file in self._files]
            taken_in = set(connection.execute(text(TAKEN_IN), {"files": names}).scalars())
            for file, sent_at in list(self._files.items()):
                if file.name in taken_in:
                    del self._files[file]
                elif time.monotonic() - sent_at > AGAIN_SECONDS:
                    self.files_sent_again += 1
                    self._send(file)
            for asked in self._asked:
                if not asked.done:
                    asked.move(connection)

    def _send(self, file: Path) -> None:
        app.send_task("settlement.ingest_file", [str(file)])
        self._files[file] = time.monotonic()
