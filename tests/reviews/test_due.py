"""When the review of a month is due: the sweep hands it over, the doctor misses it, the task makes it once."""

from __future__ import annotations

from datetime import datetime, timedelta

import psycopg
import pytest

from settlement.pipeline.doctor import Check, Condition, examine
from settlement.pipeline.review import MonthReview, review_due
from settlement.pipeline.sweep import ReviewTiers, SettleWindow, Step, sweep
from tests.reviews.desk import Desk
from tests.reviews.small import NOVEMBER, SMALL, START
from workers.tasks import reviews as tasks

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def begun(desk: Desk, superuser: psycopg.Connection) -> Desk:
    """An installation that began in October's last hour, with the fills of before; that hour is not settled yet."""
    desk.found(SMALL)
    superuser.execute("UPDATE installation SET installed_at = %s", [NOVEMBER - HOUR])
    desk.trade(SMALL.fills)
    return desk


def due(desk: Desk, now: datetime, month: datetime | None = None) -> MonthReview | None:
    return review_due(desk.database, month=month, by="task", now=now)


def swept(desk: Desk, now: datetime) -> list[Step]:
    steps: list[Step] = []
    sweep(desk.database, now=now, hand_over=steps.append, room=100)
    return steps


def missed(desk: Desk, now: datetime) -> Check:
    [found] = [check for check in examine(desk.database, now=now) if check.name == "tier reviews"]
    return found


def test_it_is_due_once_its_hour_has_come_and_its_period_is_settled(begun: Desk) -> None:
    assert due(begun, NOVEMBER + HOUR) is None
    begun.settle()
    assert due(begun, NOVEMBER - timedelta(microseconds=1)) is None
    assert due(begun, NOVEMBER, month=NOVEMBER) is None
    reviewed = due(begun, NOVEMBER, month=SMALL.month)
    assert reviewed is not None
    assert [root.review.tier for root in reviewed.roots] == ["T2", "T1", "T1"]
    assert due(begun, NOVEMBER + HOUR) is None


def test_the_sweep_hands_it_over_before_the_windows_that_it_gives_a_tier_to(begun: Desk) -> None:
    now = NOVEMBER + HOUR + timedelta(minutes=5)
    assert ReviewTiers(SMALL.month) not in swept(begun, now)
    begun.settle()
    begun.execute("UPDATE settlement_window SET status = 'open' WHERE window_start = :at", at=NOVEMBER)
    assert swept(begun, now) == [ReviewTiers(SMALL.month), SettleWindow(NOVEMBER)]
    due(begun, now)
    assert swept(begun, now) == [SettleWindow(NOVEMBER)]


def test_pending_lines_hold_it_back(begun: Desk, superuser: psycopg.Connection) -> None:
    superuser.execute("DELETE FROM vip_level WHERE account = '1'")
    begun.settle()
    assert due(begun, NOVEMBER + HOUR) is None
    found = missed(begun, NOVEMBER + 3 * HOUR)
    assert found.condition is Condition.ATTENTION
    assert found.found == "that of 2026-10 is missing: 0 windows not settled, 1 lines pending"
    assert "settlement tiers review --month 2026-10 --anyway" in found.next_step


def test_the_doctor_gives_the_last_window_the_time_to_be_settled(begun: Desk) -> None:
    assert missed(begun, NOVEMBER + 2 * HOUR).condition is Condition.OK
    assert missed(begun, NOVEMBER + 3 * HOUR).found == (
        "that of 2026-10 is missing: 3 windows not settled, 0 lines pending"
    )
    begun.settle()
    assert missed(begun, NOVEMBER + 3 * HOUR).next_step == "settlement up makes it"
    due(begun, NOVEMBER + 3 * HOUR)
    assert missed(begun, NOVEMBER + 3 * HOUR).condition is Condition.OK


def test_months_are_reviewed_one_after_the_other(begun: Desk, superuser: psycopg.Connection) -> None:
    begun.settle()
    superuser.execute("UPDATE installation SET installed_at = %s", [START])
    begun.execute(
        "INSERT INTO settlement_window (window_start, status) SELECT hour, 'settled' FROM generate_series("
        "CAST(:start AS timestamptz), :start + interval '90 days', '1 hour') hour ON CONFLICT DO NOTHING",
        start=START,
    )
    now = NOVEMBER + 35 * DAY
    months = [reviewed and reviewed.month for reviewed in (due(begun, now), due(begun, now), due(begun, now))]
    assert months == [SMALL.month, NOVEMBER, None]


def test_nothing_is_due_of_the_time_before_the_installation(begun: Desk, superuser: psycopg.Connection) -> None:
    begun.settle()
    superuser.execute("UPDATE installation SET installed_at = %s", [NOVEMBER])
    assert due(begun, NOVEMBER + 2 * HOUR) is None


def test_nothing_is_due_of_a_month_in_which_no_root_was_known(begun: Desk, superuser: psycopg.Connection) -> None:
    begun.settle()
    superuser.execute("UPDATE load SET loaded_at = %s", [NOVEMBER])
    assert due(begun, NOVEMBER + 2 * HOUR) is None


def test_without_terms_nothing_is_due(begun: Desk, superuser: psycopg.Connection) -> None:
    begun.settle()
    superuser.execute("UPDATE program_terms SET effective_from = %s", [NOVEMBER + HOUR])
    assert due(begun, NOVEMBER + 2 * HOUR) is None


def test_the_task_makes_it_once_for_its_month_or_for_the_one_that_is_due(
    begun: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "database", lambda: begun.database)
    monkeypatch.setattr(tasks.clock, "now", lambda: NOVEMBER + HOUR)
    assert tasks.review_tiers("2026-10") is None
    begun.settle()
    assert tasks.review_tiers("2026-11") is None
    assert tasks.review_tiers() == 3
    assert tasks.review_tiers("2026-10") is None
    assert begun.rows("SELECT DISTINCT reviewed_by FROM tier_review") == [("settlement.review_tiers",)]
