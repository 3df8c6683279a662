"""One job's view of the database, on which something happens at one moment of one of its transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock
from typing import Any

import psycopg
from sqlalchemy import exc

from settlement.store.database import Connection, Database
from tests.simulation.acts import Moment, Point


class ProcessDied(BaseException):
    """The process ends here. Not an Exception: nothing in it can catch this and go on."""


Happens = Callable[[int], None]
"""What happens when the point is reached, to the session with this process number."""


class JobDatabase(Database):
    """The same database for one job. `at` is where `happens` is called, once."""

    def __init__(self, base: Database, *, at: Point | None = None, happens: Happens = lambda _: None) -> None:
        # Its own connections would be cold ones: a job shares those of the process.
        self.url, self.engine = base.url, base.engine
        self.reached = False
        self._at, self._happens = at, happens
        self._begun = 0
        self._counting = Lock()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """As the product's own, with the moments at which something may happen."""
        with self._counting:
            self._begun += 1
            number = self._begun
        with self.engine.begin() as connection:
            session: Any = connection.connection.driver_connection
            process = session.info.backend_pid
            session.watch = self._statements(number, process)
            try:
                yield connection
                self._come_to(number, Moment.COMMITTING, process)
            finally:
                session.watch = None
        self._come_to(number, Moment.UNANSWERED, process)
        self._come_to(number, Moment.COMMITTED, process)

    def _statements(self, number: int, process: int) -> Callable[[], None]:
        passed = 0

        def count() -> None:
            nonlocal passed
            passed += 1
            self._come_to(number, Moment.STATEMENT, process, statement=passed)

        return count

    def _come_to(self, number: int, moment: Moment, process: int, *, statement: int = 0) -> None:
        at = self._at
        if self.reached or at is None or at.transaction != number:
            return
        ends_before = moment is Moment.COMMITTING and at.moment is Moment.STATEMENT
        if ends_before or (at.moment, at.statement) == (moment, statement):
            self.reached = True
            self._happens(process)


class Hold:
    """Stops a job at a point until it is let go."""

    SECONDS_MAX = 60

    def __init__(self) -> None:
        self.reached, self.go_on = Event(), Event()

    def __call__(self, _process: int) -> None:
        self.reached.set()
        if not self.go_on.wait(self.SECONDS_MAX):
            raise TimeoutError("nobody let the job go on")


def die(_process: int) -> None:
    """The process is killed."""
    raise ProcessDied


def lose_the_answer(_process: int) -> None:
    """What a client sees of a commit whose answer is lost."""
    lost = psycopg.OperationalError("the connection is lost")
    raise exc.OperationalError("COMMIT", {}, lost)
