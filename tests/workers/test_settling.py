"""Settling through the queues comes to the same as settling in one process, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from schemas.storage import migrate
from settlement.pipeline.settle import settle_window
from settlement.store.database import Database
from tests.workers import program
from tests.workers.conftest import Fleet

pytestmark = pytest.mark.processes

ALL_SETTLED = ["settled"] * len(program.WINDOWS)
LOCK_ALPHA = "hashtextextended('root:alpha', 0)"


@pytest.fixture
def expected(empty_database_url: str) -> Iterator[dict[str, list[tuple[object, ...]]]]:
    """What one process, one window after the other, makes of the same program."""
    alone = Database(empty_database_url)
    migrate.upgrade(alone.owner_engine())
    program.load_program(alone)
    for window_start in program.WINDOWS:
        settle_window(alone, window_start, now=datetime.now(UTC))
    yield program.result(alone)
    alone.dispose()


def test_what_is_due_is_settled_by_the_clock_alone(
    fleet: Fleet, database: Database, expected: dict[str, list[tuple[object, ...]]]
) -> None:
    program.load_program(database)
    fleet.start_worker(app="workers.app", concurrency=2)
    fleet.start_beat()
    fleet.wait_until(lambda: program.statuses(database) == ALL_SETTLED, seconds=120)
    assert program.result(database) == expected


def test_every_task_delivered_twice_at_once_to_two_workers_changes_nothing(
    fleet: Fleet, database: Database, expected: dict[str, list[tuple[object, ...]]]
) -> None:
    program.load_program(database)
    fleet.start_worker(app="workers.app", concurrency=2)
    fleet.start_worker(app="workers.app", concurrency=2)
    windows = [window_start.isoformat() for window_start in program.WINDOWS]
    fleet.send_all(("settlement.settle_window", [window]) for window in windows for _ in range(2))
    fleet.wait_until(lambda: program.open_shards(database) == 4 * len(windows))
    shards = program.shards(database)
    fleet.send_all(("settlement.settle_shard", list(shard)) for shard in shards for _ in range(2))
    fleet.send_all(("settlement.relay", []) for _ in range(2))
    fleet.wait_until(lambda: program.statuses(database) == ALL_SETTLED, seconds=90)
    fleet.wait_until(lambda: fleet.redis.llen("settle") + fleet.redis.hlen("settlement.unacked") == 0)
    assert program.result(database) == expected


def test_a_file_delivered_twice_at_once_is_taken_in_once(fleet: Fleet, database: Database, tmp_path: Path) -> None:
    file = tmp_path / "fills.csv"
    rows = [f"okx,1,bill-{number}" + program.FILL_COLUMNS_OF_CSV for number in range(500)]
    file.write_text("\n".join([program.HEADER_OF_CSV, *rows]))
    fleet.start_worker(app="workers.app", concurrency=2)
    fleet.send_all(("settlement.ingest_file", [str(file)]) for _ in range(2))
    fleet.wait_until(lambda: program.ingested(database) == [(500, 0), (0, 500)])
    assert program.fills(database) == 500
    assert program.statuses(database) == ["open"]


def test_what_a_dead_worker_and_an_emptied_redis_lost_is_found_again_by_the_sweep(
    fleet: Fleet,
    database: Database,
    superuser: psycopg.Connection,
    expected: dict[str, list[tuple[object, ...]]],
) -> None:
    program.load_program(database)
    dying = fleet.start_worker(app="workers.app", concurrency=2)
    superuser.execute(f"SELECT pg_advisory_lock({LOCK_ALPHA})")
    fleet.send_all([("settlement.settle_window", [program.FIRST.isoformat()])])
    fleet.wait_until(lambda: program.open_shards(database) == 4)
    fleet.send_all([("settlement.relay", [])])
    fleet.wait_until(lambda: program.waits_for_lock(superuser))
    fleet.kill(dying)
    fleet.redis.flushdb()
    superuser.execute(f"SELECT pg_advisory_unlock({LOCK_ALPHA})")
    assert program.statuses(database)[0] == "settling"

    superuser.execute("UPDATE run SET opened_at = opened_at - interval '1 hour'")
    fleet.start_worker(app="workers.app", concurrency=2)
    fleet.send_all([("settlement.sweep", [])])
    fleet.wait_until(lambda: program.statuses(database)[0] == "settled", seconds=90)
    fleet.wait_until(lambda: program.open_shards(database) == 3 * 4)
    fleet.send_all([("settlement.relay", [])])
    fleet.wait_until(lambda: program.statuses(database) == ALL_SETTLED, seconds=90)
    assert program.result(database) == expected
