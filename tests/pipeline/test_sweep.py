"""The sweep finds, from the rows alone, whatever is due and missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from settlement.pipeline.sweep import PullFills, RelayEvents, SettleShard, SettleWindow, Step, Swept, settle_last, sweep
from settlement.store import outbox
from settlement.store.database import Database
from tests.harvest import many

NOW = datetime(2026, 3, 1, 12, 10, tzinfo=UTC)
EMPTY = Swept(
    windows_created=0,
    windows=0,
    shards=0,
    plans=0,
    what_ifs=0,
    reviews=0,
    pulls=0,
    events_late=False,
    events_pruned=0,
)


def hour(number: int) -> datetime:
    return NOW.replace(hour=number, minute=0)


def execute(database: Database, statement: str, **parameters: Any) -> Any:
    with database.transaction() as connection:
        result = connection.execute(text(statement), parameters)
        return result.scalar() if result.returns_rows else None


def window(database: Database, number: int, status: str = "open", *, recheck: bool = False) -> None:
    execute(
        database,
        "INSERT INTO settlement_window (window_start, status, recheck) VALUES (:start, :status, :recheck)",
        start=hour(number),
        status=status,
        recheck=recheck,
    )


def run(database: Database, number: int, *, opened_at: datetime, settled: str = "", unsettled: str = "") -> int:
    """A window with an open run, and one shard per word."""
    window(database, number, "settling")
    run_id: int = execute(
        database,
        "INSERT INTO run (window_start, revision, kind, opened_at) VALUES (:start, 0, 'scheduled', :at) RETURNING run_id",
        start=hour(number),
        at=opened_at,
    )
    for root in (*settled.split(), *unsettled.split()):
        settled_at = opened_at if root in settled.split() else None
        execute(
            database,
            "INSERT INTO run_shard (run_id, root, settled_at) VALUES (:run_id, :root, :settled_at)",
            run_id=run_id,
            root=root,
            settled_at=settled_at,
        )
    return run_id


def source(database: Database, name: str, watermark: datetime | None) -> None:
    execute(database, "INSERT INTO source (name, watermark) VALUES (:name, :watermark)", name=name, watermark=watermark)


@pytest.fixture(autouse=True)
def _installed_after_now(superuser: psycopg.Connection) -> None:
    """So that only the windows of a test exist; the tests of rule 1 move the installation back."""
    superuser.execute("UPDATE installation SET installed_at = %s", [NOW])


def swept(database: Database, *, now: datetime = NOW, room: int = 100) -> list[Step]:
    steps: list[Step] = []
    sweep(database, now=now, hand_over=steps.append, room=room)
    return steps


def test_nothing_due_hands_over_nothing(database: Database) -> None:
    steps: list[Step] = []
    assert sweep(database, now=NOW, hand_over=steps.append, room=100) == EMPTY
    assert steps == []


def test_every_hour_since_the_installation_that_has_ended_becomes_a_window(
    database: Database, superuser: psycopg.Connection
) -> None:
    superuser.execute("UPDATE installation SET installed_at = %s", [hour(8) + timedelta(minutes=59)])
    window(database, 10, "settled")
    assert swept(database) == [SettleWindow(hour(8)), SettleWindow(hour(9)), SettleWindow(hour(11))]
    assert swept(database, now=hour(12) + timedelta(minutes=59, seconds=59))[-1] == SettleWindow(hour(11))
    assert swept(database, now=hour(13) + timedelta(minutes=5))[-1] == SettleWindow(hour(12))


def test_open_windows_whose_gate_passes_are_handed_over_oldest_first(database: Database) -> None:
    for number in (9, 7, 11, 8):
        window(database, number)
    window(database, 12)
    assert swept(database) == [
        SettleWindow(hour(7)),
        SettleWindow(hour(8)),
        SettleWindow(hour(9)),
        SettleWindow(hour(11)),
    ]


def test_a_lagging_source_holds_back_what_its_deadline_does_not_force(database: Database) -> None:
    source(database, "okx", hour(9))
    source(database, "archive", hour(12))
    for number in (8, 9, 10, 11):
        window(database, number)
    assert swept(database) == [SettleWindow(hour(8)), SettleWindow(hour(9)), SettleWindow(hour(10))]
    execute(database, "UPDATE source SET watermark = :passed", passed=hour(12))
    assert swept(database)[-1] == SettleWindow(hour(11))


def test_a_settled_window_is_handed_over_again_only_to_be_rechecked(database: Database) -> None:
    window(database, 6, "settled")
    window(database, 7, "incomplete", recheck=True)
    window(database, 8, "settled", recheck=True)
    assert swept(database) == [SettleWindow(hour(7)), SettleWindow(hour(8))]


def test_a_window_with_an_open_run_is_left_to_the_run(database: Database) -> None:
    run(database, 7, opened_at=NOW - timedelta(seconds=45), unsettled="alpha")
    assert swept(database) == []


def test_shards_left_unsettled_beyond_the_grace_are_handed_over_before_windows(database: Database) -> None:
    window(database, 6)
    later = run(database, 8, opened_at=NOW - timedelta(minutes=5), settled="alpha", unsettled="beta")
    earlier = run(database, 7, opened_at=NOW - timedelta(minutes=3), unsettled="gamma alpha")
    assert swept(database) == [
        SettleShard(earlier, "alpha"),
        SettleShard(earlier, "gamma"),
        SettleShard(later, "beta"),
        SettleWindow(hour(6)),
    ]


def test_a_shard_that_somebody_is_settling_is_not_handed_over(database: Database) -> None:
    run_id = run(database, 7, opened_at=NOW - timedelta(hours=1), unsettled="alpha beta")
    with database.transaction() as settling:
        settling.execute(text("SELECT FROM run_shard WHERE root = 'alpha' FOR UPDATE"))
        assert swept(database) == [SettleShard(run_id, "beta")]
    assert swept(database) == [SettleShard(run_id, "alpha"), SettleShard(run_id, "beta")]


def test_no_more_is_handed_over_than_there_is_room_for(database: Database) -> None:
    run_id = run(database, 7, opened_at=NOW - timedelta(hours=1), unsettled="alpha beta")
    window(database, 8)
    window(database, 9)
    assert swept(database, room=3) == [SettleShard(run_id, "alpha"), SettleShard(run_id, "beta"), SettleWindow(hour(8))]
    assert swept(database, room=1) == [SettleShard(run_id, "alpha")]
    assert swept(database, room=0) == []
    assert swept(database, room=-50) == []


def test_a_backlog_of_a_thousand_windows_goes_out_in_one_sweep(
    database: Database, superuser: psycopg.Connection
) -> None:
    superuser.execute("UPDATE installation SET installed_at = %s", [NOW - timedelta(hours=1000)])
    steps = swept(database, room=2_000)
    assert len(steps) == 1000
    assert steps == sorted(steps, key=lambda step: step.window_start if isinstance(step, SettleWindow) else NOW)


def test_events_that_wait_too_long_ask_for_a_relay(database: Database) -> None:
    with database.transaction() as connection:
        data = {"run_id": 1, "window_start": hour(7), "roots": []}
        outbox.emit(connection, "window.due", subject="x", data=data)
    just_now = execute(database, "SELECT max(occurred_at) FROM outbox")
    assert swept(database, now=just_now + timedelta(seconds=29), room=0) == []
    assert swept(database, now=just_now + timedelta(seconds=31), room=0) == [RelayEvents()]


def test_accounts_that_are_due_are_handed_over_however_full_the_settle_queue_is(database: Database) -> None:
    many.add(database, ["101"], pull_from=hour(11))
    steps: list[Step] = []
    found = sweep(database, now=NOW, hand_over=steps.append, room=0)
    assert steps == [PullFills(0, 1)]
    assert (found.pulls, found.anything) == (1, True)
    many.cover(database, "101", hour(11), NOW)
    assert swept(database, now=NOW + timedelta(minutes=1)) == []


def test_sweeping_twice_finds_the_same(database: Database, superuser: psycopg.Connection) -> None:
    superuser.execute("UPDATE installation SET installed_at = %s", [hour(8)])
    assert swept(database) == swept(database)


def test_the_last_window_waits_for_its_gate(database: Database) -> None:
    steps: list[Step] = []
    source(database, "okx", hour(11))
    assert not settle_last(database, now=NOW, hand_over=steps.append)
    assert steps == []
    execute(database, "UPDATE source SET watermark = :passed", passed=hour(12))
    assert settle_last(database, now=NOW, hand_over=steps.append)
    assert steps == [SettleWindow(hour(11))]
