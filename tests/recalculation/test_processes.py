"""A recalculation while processes die, two do the same at once, and windows go on being settled: the same books as without."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from schemas.storage import migrate
from settlement.pipeline import recalculate
from settlement.pipeline.recalculation_plan import plan_all
from settlement.pipeline.settle import open_run, settle_shard
from settlement.store.database import Database
from settlement.store.lines import WINDOW
from tests.recalculation.desk import LONG_AGO, Desk
from tests.workers import program

if TYPE_CHECKING:
    import psycopg

    from tests.workers.conftest import Fleet

Books = dict[str, list[tuple[Any, ...]]]
Environment = dict[str, str]

# Every client turns out to have been above the highest level that earns: every tree is touched in every window.
WRONG_LEVELS = [f"okx,{account},6,{LONG_AGO}" for account in (1, 2, 3, 4)]
SHARDS = 3 * len(program.WINDOWS)
ROOT_BETA = "SELECT pg_advisory_xact_lock(hashtextextended('root:beta', 0))"
IN_WAIT = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
SETTLED_SHARDS = "SELECT count(settled_at) FROM run_shard JOIN run USING (run_id) WHERE plan_id IS NOT NULL"


@pytest.fixture
def expected(empty_database_url: str) -> Iterator[Books]:
    """The books after the same correction, applied once, in one process, undisturbed."""
    alone = Database(empty_database_url)
    migrate.upgrade(alone.owner_engine())
    program.load_program(alone)
    undisturbed = Desk(alone)
    undisturbed.settle()
    undisturbed.correct("vip_levels.csv", *WRONG_LEVELS)
    undisturbed.recalculate()
    yield undisturbed.books()
    alone.dispose()


@pytest.fixture
def environment(database_url: str) -> Environment:
    """That of a command which works on the test's database."""
    return {**os.environ, "SETTLEMENT_DATABASE_URL": database_url}


@pytest.fixture
def approved(desk: Desk) -> int:
    """A plan that takes back what everybody earned, ready to be applied."""
    desk.correct("vip_levels.csv", *WRONG_LEVELS)
    plan_id = desk.plan()
    recalculate.approve(desk.database, plan_id, by="bert")
    return plan_id


@pytest.mark.processes
@pytest.mark.parametrize(
    ("hindrance", "done"),
    [
        pytest.param(ROOT_BETA, SHARDS - len(program.WINDOWS), id="between two shards"),
        pytest.param("LOCK TABLE posting", 0, id="in the middle of booking"),
    ],
)
def test_applying_that_is_killed_goes_on_where_it_was(  # noqa: PLR0913, PLR0917 - fixtures, and where it is killed
    desk: Desk,
    approved: int,
    environment: Environment,
    superuser: psycopg.Connection,
    expected: Books,
    hindrance: str,
    done: int,
) -> None:
    with superuser.transaction():
        superuser.execute(hindrance)
        process = subprocess.Popen(_apply(approved), env=environment)
        _wait(lambda: _in_wait(superuser) > 0 and _one(superuser, SETTLED_SHARDS) == done)
        process.kill()
        assert process.wait(30) == -signal.SIGKILL
    assert desk.state(approved).status == "applying"

    subprocess.run(_apply(approved), env=environment, check=True, timeout=120)
    assert desk.state(approved).status == "applied"
    assert _one(superuser, SETTLED_SHARDS) == SHARDS
    assert desk.books() == expected
    assert desk.verify() == []


def test_two_who_apply_a_plan_at_once_post_it_once(desk: Desk, approved: int, expected: Books) -> None:
    both = Barrier(2)

    def apply() -> str:
        both.wait(30)
        return desk.apply(approved).status

    with ThreadPoolExecutor() as pool:
        assert [done.result() for done in [pool.submit(apply), pool.submit(apply)]] == ["applied", "applied"]
    assert desk.rows("SELECT revision, kind, count(*) FROM run GROUP BY 1, 2 ORDER BY 1") == [
        (0, "scheduled", 4),
        (1, "recalculation", 4),
    ]
    assert desk.books() == expected
    assert desk.verify() == []


def test_hours_go_on_being_settled_while_earlier_ones_are_planned_and_posted(
    database: Database, superuser: psycopg.Connection, expected: Books
) -> None:
    program.load_program(database)
    desk = Desk(database)
    desk.settle(program.WINDOWS[:2])
    desk.correct("vip_levels.csv", *WRONG_LEVELS)
    with ThreadPoolExecutor() as pool:
        with superuser.transaction():
            superuser.execute(ROOT_BETA)
            settling = pool.submit(desk.settle, program.WINDOWS[2:])
            _wait(lambda: _in_wait(superuser) > 0)  # in the middle of the third window
            plan_id = desk.plan(windows=2)
            recalculate.approve(database, plan_id, by="bert")
            posting = pool.submit(desk.apply, plan_id)
            _wait(lambda: _in_wait(superuser) > 1)  # the other trees are posted, beta waits its turn
        settling.result()
        assert posting.result().status == "applied"
    assert desk.books() == expected
    assert desk.verify() == []


def test_a_window_that_is_settled_again_while_it_is_planned_is_planned_as_soon_as_it_is_settled(desk: Desk) -> None:
    plan_id = recalculate.request(
        desk.database, start=program.FIRST, end=program.WINDOWS[2], broker=None, reason="a level was wrong", by="anna"
    )
    desk.late_fill("late")
    opened = open_run(desk.database, program.FIRST, now=datetime.now(UTC))
    assert opened is not None
    with ThreadPoolExecutor() as pool:
        planning = pool.submit(plan_all, desk.database, plan_id, progress=lambda _done, _all: None)
        _wait(lambda: recalculate.unplanned(desk.database, plan_id) == [program.FIRST])
        for root in opened.roots:
            settle_shard(desk.database, opened.run_id, root, now=datetime.now(UTC))
        planning.result()
    assert desk.state(plan_id).status == "planned"
    recalculate.approve(desk.database, plan_id, by="bert")
    assert desk.apply(plan_id).status == "applied"
    assert desk.rows("SELECT kind FROM line JOIN run USING (run_id) WHERE bill_id = 'late'") == [("supplementary",)]


@pytest.mark.processes
def test_workers_that_are_killed_on_the_way_plan_and_post_all_the_same(
    desk: Desk, fleet: Fleet, superuser: psycopg.Connection, expected: Books
) -> None:
    desk.correct("vip_levels.csv", *WRONG_LEVELS)
    start, end = (moment.isoformat() for moment in (program.FIRST, program.WINDOWS[-1] + WINDOW))
    with superuser.transaction():
        superuser.execute("LOCK TABLE recalculation_payee")
        worker = fleet.start_worker(app="workers.app", concurrency=2)
        fleet.send("settlement.request_recalculation", start, end, None, "a level was wrong", "anna")
        fleet.wait_until(lambda: _in_wait(superuser) > 0, seconds=90)
        fleet.kill(worker)
    [(plan_id,)] = desk.rows("SELECT plan_id FROM recalculation")
    assert desk.state(plan_id).status == "planning"

    worker = fleet.start_worker(app="workers.app", concurrency=2)
    superuser.execute("UPDATE recalculation SET planned_at = planned_at - interval '1 hour'")
    fleet.send("settlement.sweep")
    fleet.wait_until(lambda: desk.state(plan_id).status == "planned", seconds=90)
    fleet.send("settlement.approve_recalculation", plan_id, "bert")
    fleet.wait_until(lambda: desk.state(plan_id).status == "approved")
    with superuser.transaction():
        superuser.execute(ROOT_BETA)
        fleet.send("settlement.apply_recalculation", plan_id, "carl")
        fleet.wait_until(lambda: desk.state(plan_id).status == "applying")
        fleet.send("settlement.relay")
        fleet.wait_until(lambda: _in_wait(superuser) > 0)
        fleet.kill(worker)
    assert desk.state(plan_id).status == "applying"

    fleet.start_worker(app="workers.app", concurrency=2)
    superuser.execute("UPDATE run SET opened_at = opened_at - interval '1 hour' WHERE closed_at IS NULL")
    fleet.send_all([("settlement.sweep", []), ("settlement.relay", [])])
    fleet.wait_until(lambda: desk.state(plan_id).status == "applied", seconds=90)
    assert desk.books() == expected
    assert desk.verify() == []


def _apply(plan_id: int) -> list[str]:
    return [str(Path(sys.executable).with_name("settlement")), "recalc", "apply", str(plan_id), "--by", "carl"]


def _in_wait(superuser: psycopg.Connection) -> int:
    """How many sessions wait for a lock now, not when this transaction looked first."""
    superuser.execute("SELECT pg_stat_clear_snapshot()")
    return _one(superuser, IN_WAIT)


def _one(superuser: psycopg.Connection, query: str) -> int:
    return superuser.execute(query).fetchall()[0][0]  # type: ignore[call-overload]


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
