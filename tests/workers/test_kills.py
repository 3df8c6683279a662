"""A worker that is killed in the middle of writing, again and again: the same exports as without."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from schemas.storage import migrate
from settlement.cli.demo_intake import take_in
from settlement.pipeline.settle import settle_window
from settlement.reports.exports import Selection, export
from settlement.sample.world import write_sample
from settlement.store.database import Database
from tests.workers import program

if TYPE_CHECKING:
    import psycopg

    from tests.workers.conftest import Fleet

pytestmark = pytest.mark.processes

FILLS = 4_000
KILLS = 5

# A transaction that has written something has a number.
WRITING = """
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
"""

# Numbers and times of recording depend on who came when; all else is compared to the byte.
OF_THE_ACT = {
    "lines": {"run_id"},
    "shares": {"run_id"},
    "balances": set[str](),
    "payouts": {"payout_id", "created_at"},
    "windows": {"settled_at"},
}


def load_sample(database: Database, folder: Path) -> None:
    take_in(database, write_sample(folder, fills=FILLS), Console(quiet=True))


def exports(database: Database) -> dict[str, list[tuple[str, ...]]]:
    return {what: _export(database, what, without) for what, without in OF_THE_ACT.items()}


def _export(database: Database, what: str, without: set[str]) -> list[tuple[str, ...]]:
    sink = BytesIO()
    # The sweep adds the hours that end while the test runs.
    selection = Selection(end=datetime(2026, 4, 1, tzinfo=UTC)) if what == "windows" else Selection()
    with database.transaction() as connection:
        export(connection, what, file_format="csv", selection=selection, sink=sink)
    header, *rows = (line.split(",") for line in sink.getvalue().decode().splitlines())
    kept = [position for position, name in enumerate(header) if name not in without]
    return sorted(tuple(row[position] for position in kept) for row in rows)


@pytest.fixture
def expected(empty_database_url: str, tmp_path: Path) -> dict[str, list[tuple[str, ...]]]:
    alone = Database(empty_database_url)
    migrate.upgrade(alone.owner_engine())
    load_sample(alone, tmp_path / "sample")
    with alone.transaction() as connection:
        waiting = program.waiting_windows(connection)
    for window_start in waiting:
        settle_window(alone, window_start, now=datetime.now(UTC))
    result = exports(alone)
    alone.dispose()
    return result


@pytest.mark.timeout(600)
def test_killing_workers_in_the_middle_of_writing_changes_nothing(
    fleet: Fleet,
    database: Database,
    superuser: psycopg.Connection,
    tmp_path: Path,
    expected: dict[str, list[tuple[str, ...]]],
) -> None:
    load_sample(database, tmp_path / "sample")
    for _ in range(KILLS):
        worker = fleet.start_worker(app="workers.app", concurrency=2)
        _remind(fleet, superuser)
        fleet.wait_until(lambda: superuser.execute(WRITING).fetchone() is not None, seconds=90)
        fleet.kill(worker)
    fleet.start_worker(app="workers.app", concurrency=2)
    _remind(fleet, superuser)
    fleet.start_beat()
    fleet.wait_until(lambda: not program.unfinished(database), seconds=300)
    assert exports(database) == expected


def _remind(fleet: Fleet, superuser: psycopg.Connection) -> None:
    """What the sweep does each minute, now: the shards that a dead worker left are as good as an hour old."""
    superuser.execute("UPDATE run SET opened_at = opened_at - interval '1 hour' WHERE closed_at IS NULL")
    fleet.send_all([("settlement.sweep", []), ("settlement.relay", [])])
