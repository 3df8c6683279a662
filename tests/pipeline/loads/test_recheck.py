"""Facts that are loaded while a window is being looked at again: none is overlooked."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg

from settlement.pipeline.load_registry import load_registry
from settlement.pipeline.load_report import Act
from settlement.pipeline.settle import open_run, settle_window
from settlement.store.database import Database
from tests.pipeline.loads.settled import Registry, Rows
from tests.workers import program

IN_WAIT = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
PENDING = "SELECT DISTINCT account, reason FROM current_line JOIN basis USING (basis_id) WHERE status = 'pending'"


def test_a_fact_that_is_loaded_while_a_marked_window_is_looked_at_is_seen_the_next_time(
    database: Database, superuser: psycopg.Connection, registry: Registry, standing: Rows
) -> None:
    program.load_program(database)
    superuser.execute("DELETE FROM vip_level WHERE account = '4'")
    settle_window(database, program.FIRST, now=datetime.now(UTC))
    superuser.execute("UPDATE settlement_window SET recheck = true WHERE window_start = %s", [program.FIRST])
    directory = registry.write(vip_levels=f"okx,4,1,{program.LONG_AGO.isoformat()}")
    act = Act(loaded_by="tester", correction="no level was there")
    with ThreadPoolExecutor() as pool:
        with superuser.transaction():
            superuser.execute("LOCK TABLE fill")
            looking = pool.submit(open_run, database, program.FIRST, now=datetime.now(UTC))
            _wait(lambda: _in_wait(superuser) == 1)  # it has read the facts, and now looks for fills
            loading = pool.submit(load_registry, database, directory, act=act)
            _wait(lambda: loading.done() or _in_wait(superuser) > 1)
        assert looking.result() is None
        loading.result()
    assert standing(PENDING) == [("4", "VIP_UNKNOWN")]
    assert standing("SELECT recheck FROM settlement_window WHERE status = 'settled'") == [(True,)]
    settle_window(database, program.FIRST, now=datetime.now(UTC))
    assert standing(PENDING) == []


def _in_wait(superuser: psycopg.Connection) -> int:
    """How many sessions wait for a lock now, not when this transaction looked first."""
    superuser.execute("SELECT pg_stat_clear_snapshot()")
    return superuser.execute(IN_WAIT).fetchall()[0][0]


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
