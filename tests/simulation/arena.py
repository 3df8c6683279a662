"""Where worlds are run: a database of one's own, emptied between two runs.

Emptying takes milliseconds where cloning a template takes a fifth of a second, and sessions stay warm. The application's
tables are emptied past their triggers, by the owner; sequences start again, so that ids say in which order things were done.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import event, make_url

from schemas.storage import migrate
from settlement import embedded, runtime
from settlement.embedded.layout import Place
from settlement.store.database import Database

# A wait that lasts so long is a finding; and a deadlock is found at once instead of after a second.
SETTINGS = {"lock_timeout": "20s", "statement_timeout": "40s", "deadlock_timeout": "50ms", "synchronous_commit": "off"}
PARTITIONED = ("fill", "line")
TABLES = """
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> ALL(%s)
"""
PARTITIONS = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relispartition AND relkind = 'r'"
)
SEQUENCES = (
    "SELECT setval(format('%I.%I', schemaname, sequencename), 1, false) FROM pg_sequences WHERE schemaname = 'public'"
)
RESTART_SECONDS_MAX = 60
IN_WAIT = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()
"""

Reached = Callable[[], None]
"""Told before each statement of a session."""


class WatchedCursor(psycopg.Cursor[Any]):
    """Tells whoever watches the session before each statement, COPY included."""

    def execute(self, *arguments: Any, **options: Any) -> Any:
        self._tell()
        return super().execute(*arguments, **options)

    def copy(self, *arguments: Any, **options: Any) -> Any:
        self._tell()
        return super().copy(*arguments, **options)

    def _tell(self) -> None:
        watch: Reached | None = getattr(self.connection, "watch", None)
        if watch is not None:
            watch()


class Arena:
    """One database, as the application and as its owner."""

    def __init__(self, url: str, *, home: Path | None = None) -> None:
        """`home` is that of an embedded server of one's own, which may be stopped; no other ever is."""
        self._url, self._home = url, home
        self.database = Database(url)
        event.listen(self.database.engine, "do_connect", _watched)
        self.owner = self._own()
        # No hour of the real clock is to become a window of the world.
        self.owner.execute("UPDATE installation SET installed_at = '2100-01-01Z'")
        self._emptying = self._statements()

    def empty(self) -> None:
        """Makes it what it was when it was made."""
        partitions = [name for (name,) in self.owner.execute(PARTITIONS)]
        self.owner.execute("SET session_replication_role = replica")
        for name in partitions:
            self.owner.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
        self.owner.execute(self._emptying)
        self.owner.execute("SET session_replication_role = origin")
        self.owner.execute(SEQUENCES)

    def sessions_in_wait(self) -> int:
        """How many sessions wait for a lock."""
        [(waiting,)] = self.owner.execute(IN_WAIT)
        return int(waiting)

    def end_session(self, number: int) -> None:
        """Ends the session of this process number, and returns once it has ended."""
        self.owner.execute("SELECT pg_terminate_backend(%s, 10000)", [number])

    def stop_server(self, _process: int) -> None:
        """Stops PostgreSQL as a crash would, and returns once its keeper has started it again."""
        if self._home is None:
            raise RuntimeError("this server is not the arena's own")
        place = Place(self._home, "postgres")
        before = json.loads(place.ready.read_text())["server"]
        os.kill(before, signal.SIGQUIT)
        deadline = monotonic() + RESTART_SECONDS_MAX
        while not _serves_again(place, before):
            if monotonic() > deadline:
                raise TimeoutError(f"PostgreSQL did not start again; see {place.log}")
            sleep(0.05)
        self.owner = self._own()

    def _own(self) -> psycopg.Connection:
        return psycopg.connect(_libpq(self._url), autocommit=True)

    def close(self) -> None:
        self.database.dispose()
        self.owner.close()

    def _statements(self) -> str:
        """Deletes every row, and puts back those that a new database has."""
        statements = []
        self.owner.execute("CREATE SCHEMA seeded")
        for (name,) in self.owner.execute(TABLES, [list(PARTITIONED)]).fetchall():
            statements.append(f'DELETE FROM "{name}"')  # noqa: S608 - names of the catalogue
            if self.owner.execute(f'SELECT FROM "{name}" LIMIT 1').fetchone() is not None:
                self.owner.execute(f'CREATE TABLE seeded."{name}" AS TABLE "{name}"')
                statements.append(f'INSERT INTO "{name}" OVERRIDING SYSTEM VALUE TABLE seeded."{name}"')
        return "; ".join(statements)


@contextmanager
def own_server() -> Iterator[Arena]:
    """An arena on an embedded server of its own, which is new and ends with the block."""
    with tempfile.TemporaryDirectory(prefix="settlement-simulation-") as folder:
        home = Path(folder)
        url = embedded.join_postgres(home)
        try:
            migrate.upgrade(Database(url).owner_engine())
            yield Arena(url, home=home)
        finally:
            embedded.leave(home)


@contextmanager
def cloned(template: str) -> Iterator[str]:
    """The URL of a database like `template`, dropped when the block ends."""
    name = f"simulation_{uuid.uuid4().hex[:16]}"
    with administrator() as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        for setting, value in SETTINGS.items():
            change = sql.SQL("ALTER DATABASE {} SET {} = {}")
            connection.execute(change.format(sql.Identifier(name), sql.Identifier(setting), sql.Literal(value)))
    try:
        yield make_url(runtime.database_url()).set(database=name).render_as_string(hide_password=False)
    finally:
        with administrator() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def administrator() -> psycopg.Connection:
    """A superuser's connection to the server."""
    return psycopg.connect(_libpq(runtime.database_url()), autocommit=True)


def _libpq(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _serves_again(place: Place, before: int) -> bool:
    try:
        return bool(json.loads(place.ready.read_text())["server"] != before)
    except FileNotFoundError:
        return False


def _watched(_dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
    options["cursor_factory"] = WatchedCursor
