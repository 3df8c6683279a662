"""Real workers that pull from the sandbox by the schedule's own task, and are killed in the middle of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet

from tests.harvest.desk import HOUR, Desk, the_hour, vault_of
from tests.harvest.rows import served, stored
from tests.venues.sandbox.running import running

if TYPE_CHECKING:
    from settlement.store.database import Database
    from tests.workers.conftest import Fleet

pytestmark = pytest.mark.processes

KILLS = 3


@pytest.fixture
def desk(fleet: Fleet, database: Database, redis_url: str, tmp_path: Path) -> Iterator[Desk]:
    key = Fernet.generate_key().decode()
    fleet.environment["SETTLEMENT_SECRET_KEY"] = key
    with running("--accounts", "12", "--fills-per-hour", "18000", "--faults", "0.02") as sandbox:
        one = Desk(database=database, redis_url=redis_url, vault=vault_of(key, tmp_path), sandbox=sandbox)
        one.add(sandbox.accounts, pull_from=the_hour(1))
        yield one


@pytest.mark.timeout(300)
def test_killing_the_harvesting_worker_loses_and_repeats_nothing(fleet: Fleet, desk: Desk) -> None:
    expected_from = desk.one("SELECT min(pull_from) FROM venue_account")
    counts = [0]
    for _ in range(KILLS):
        worker = fleet.start_worker(app="workers.app")
        fleet.send("settlement.pull_due")
        fleet.wait_until(lambda: desk.one("SELECT count(*) FROM fill") > counts[-1], seconds=60)
        fleet.kill(worker)
        counts.append(desk.one("SELECT count(*) FROM fill"))
    fleet.start_worker(app="workers.app")
    fleet.send("settlement.sweep")
    fleet.wait_until(lambda: desk.one("SELECT count(*) FROM harvest WHERE covered = '{}'") == 0, seconds=120)
    complete_to = desk.one("SELECT min(upper(covered)) FROM harvest")
    # The faults' hidden rows show at a second reading: of the last minutes before that, the next pull makes it.
    desk.pull()
    begin, end = (int(moment.timestamp() * 1000) for moment in (expected_from, complete_to))
    exist = {row["billId"] for row in desk.sandbox.fills() if begin <= int(row["ts"]) < end}
    kept = desk.stored("bill_id")
    assert len(kept) == len(set(kept))
    assert exist - {bill_id for (bill_id,) in kept} == set()
    # A late record's execution may lie in the hour before.
    hours = [expected_from + number * HOUR for number in range(-1, 3)]
    assert set(stored(desk)) <= {row for hour in hours for row in served(desk, hour)}
