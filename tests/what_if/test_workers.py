"""A what-if over the workers comes to what one process comes to, also if a worker is killed on the way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from settlement.pipeline.what_if_stretches import simulate_all
from settlement.store.database import Database
from tests.what_if.desk import Desk
from tests.workers import program

if TYPE_CHECKING:
    import psycopg

    from tests.workers.conftest import Fleet

IN_WAIT = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'what_if_payee'::regclass"


@pytest.mark.processes
def test_stretches_are_settled_by_whoever_claims_them(
    database: Database, fleet: Fleet, superuser: psycopg.Connection, tmp_path: Path
) -> None:
    program.load_program(database)
    desk = Desk(database, tmp_path)
    here, there = desk.asked("test"), desk.asked("test")
    simulate_all(database, here)
    with superuser.transaction():
        superuser.execute("LOCK TABLE what_if_payee")
        worker = fleet.start_worker(app="workers.app", concurrency=2)
        fleet.send_all([("settlement.simulate_terms", [there])] * 2)
        fleet.wait_until(lambda: superuser.execute(IN_WAIT).fetchone() == (2,), seconds=90)
        fleet.kill(worker)
    assert not desk.result(there)["done"]

    fleet.start_worker(app="workers.app", concurrency=2)
    superuser.execute("UPDATE what_if SET asked_at = asked_at - interval '1 minute'")
    fleet.send("settlement.sweep")
    fleet.wait_until(lambda: desk.result(there)["done"], seconds=90)
    assert desk.result(there)["totals"]["stretches"] == len(program.WINDOWS)
    assert desk.simulated(there) == desk.simulated(here)
