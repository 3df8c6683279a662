"""Reminders that come many times over: a window that does not wait any more is left alone at a glance."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg

from settlement.pipeline.settle import open_if_waiting, settle_window
from settlement.store.database import Database
from settlement.store.windows import waits
from tests.workers import program

NOW = datetime.now(UTC)


def waiting(database: Database, window_start: datetime = program.FIRST) -> bool:
    with database.transaction() as connection:
        return waits(connection, window_start)


def test_a_window_waits_until_it_is_settled_and_again_when_it_is_marked(
    database: Database, superuser: psycopg.Connection
) -> None:
    program.load_program(database)
    assert waiting(database)
    opened = open_if_waiting(database, program.FIRST, now=NOW)
    assert opened is not None
    assert waiting(database)
    settle_window(database, program.FIRST, now=NOW)
    assert not waiting(database)
    superuser.execute("UPDATE settlement_window SET recheck = true WHERE window_start = %s", [program.FIRST])
    assert waiting(database)
    assert open_if_waiting(database, program.FIRST, now=NOW) is None
    assert not waiting(database)


def test_a_window_that_nobody_has_heard_of_waits(database: Database) -> None:
    assert waiting(database)


def test_a_reminder_of_a_settled_window_does_not_look_at_its_fills(
    database: Database, superuser: psycopg.Connection
) -> None:
    program.load_program(database)
    settle_window(database, program.FIRST, now=NOW)
    superuser.execute("UPDATE settlement_window SET status = 'settled' WHERE status = 'open'")
    with superuser.transaction():
        superuser.execute("LOCK TABLE fill, line")
        assert open_if_waiting(database, program.FIRST, now=NOW) is None
