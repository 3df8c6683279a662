"""A correction that changes a month's volume: the review of that month, and the windows that its tier has rated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from settlement.errors import Refused
from settlement.pipeline import recalculate
from settlement.pipeline.doctor import examine
from settlement.pipeline.recalculation_plan import plan_all
from settlement.pipeline.review import review_month
from settlement.pipeline.settle import settle_window
from settlement.store.database import Database
from settlement.store.recalculations import follower_of
from tests.recalculation.desk import LONG_AGO, Desk
from tests.workers import program

MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL_WINDOW = datetime(2026, 4, 2, 6, tzinfo=UTC)
HIGHER = '[[tiers]]\nname = "T2"\nmin_volume = "100000"\nmin_clients = 0\nrates = { spot = "0.4", futures = "0.4", options = "0.4" }\n'
TERMS = program.TERMS.replace("rolling_30d", "calendar_month") + HIGHER
# Half of delta's volume in March goes: 60,000 USDT are left, less than the second tier asks for.
HALF_EXCLUDED = (f"okx,4,6,{LONG_AGO}", "okx,4,1,2026-03-01T08:00:00Z")


@pytest.fixture
def reviewed(database: Database) -> Desk:
    """March is settled and reviewed, and a window of April is settled by the tier that came out."""
    program.load_program(database, terms=TERMS)
    desk = Desk(database)
    desk.settle()
    review_month(database, MARCH, by="rita", now=datetime.now(UTC), anyway=True)
    for account in ("1", "4"):
        desk.late_fill(f"april-{account}", account=account, executed_at="2026-04-02T06:30:00Z")
    settle_window(database, APRIL_WINDOW, now=datetime.now(UTC))
    assert desk.rows("SELECT broker_id, tier FROM tier_review WHERE broker_id IN ('alpha', 'delta') ORDER BY 1") == [
        ("alpha", "T2"),
        ("delta", "T2"),
    ]
    return desk


def april(desk: Desk) -> list[tuple[Any, ...]]:
    return desk.rows("""
        SELECT bill_id, tier, commission_usdt FROM current_line JOIN basis USING (basis_id)
        WHERE window_start >= '2026-04-01' ORDER BY 1""")


def test_the_plan_says_which_review_would_have_come_out_otherwise_and_tiers_stay(reviewed: Desk) -> None:
    reviewed.correct("vip_levels.csv", *HALF_EXCLUDED)
    plan_id = reviewed.plan()
    [review] = reviewed.parts(plan_id)["reviews"]
    assert (review["broker_id"], review["from_tier"], review["to_tier"]) == ("delta", "T2", "T1")
    assert (review["from_volume_usdt"], review["to_volume_usdt"], review["included"]) == (120_000, 60_000, False)
    recalculate.approve(reviewed.database, plan_id, by="bert")
    reviewed.apply(plan_id)
    assert april(reviewed) == [("april-1", "T2", Decimal("0.2")), ("april-4", "T2", Decimal("0.2"))]
    assert reviewed.rows("SELECT count(*) FROM tier_review WHERE plan_id IS NOT NULL") == [(0,)]
    assert reviewed.verify() == []


def test_asked_for_the_later_windows_of_the_corrected_tier_are_part_of_the_plan(reviewed: Desk) -> None:
    reviewed.correct("vip_levels.csv", *HALF_EXCLUDED)
    plan_id = reviewed.plan(re_review=True)
    parts = reviewed.parts(plan_id)
    assert [(review["broker_id"], review["to_tier"], review["included"]) for review in parts["reviews"]] == [
        ("delta", "T1", True)
    ]
    assert {window["window_start"]: window["commission_usdt"] for window in parts["windows"]}[APRIL_WINDOW] == Decimal(
        "-0.05"
    )
    recalculate.approve(reviewed.database, plan_id, by="bert")
    assert reviewed.apply(plan_id).status == "applied"
    assert april(reviewed) == [("april-1", "T2", Decimal("0.2")), ("april-4", "T1", Decimal("0.15"))]
    versions = reviewed.rows("""
        SELECT tier, plan_id IS NOT NULL FROM tier_review WHERE broker_id = 'delta' ORDER BY reviewed_at""")
    assert versions == [("T2", False), ("T1", True)]
    changed = reviewed.rows(
        "SELECT data->>'broker_id', data->>'to_tier' FROM outbox WHERE data->>'by' = 'recalculation'"
    )
    assert changed == [("delta", "T1")]
    assert reviewed.verify() == []
    # By what is known now nothing is left to do, and the corrected tier holds for what comes later.
    reviewed.recalculate(windows=4, re_review=True)
    reviewed.late_fill("later", account="4", executed_at="2026-04-02T07:30:00Z")
    settle_window(reviewed.database, APRIL_WINDOW + timedelta(hours=1), now=datetime.now(UTC))
    assert april(reviewed)[-1] == ("later", "T1", Decimal("0.15"))


def test_a_review_is_of_a_root(reviewed: Desk) -> None:
    with pytest.raises(Refused, match="'gamma' has a parent, and a tier is the root's"):
        reviewed.plan(broker="gamma", re_review=True)
    plan_id = reviewed.plan(broker="beta", re_review=True)
    assert reviewed.parts(plan_id)["reviews"] == []


def test_a_review_whose_figures_have_changed_before_is_made_again_although_no_line_changes(reviewed: Desk) -> None:
    reviewed.correct("vip_levels.csv", *HALF_EXCLUDED)
    reviewed.recalculate()
    again = review_month(reviewed.database, MARCH, by="rita", now=datetime.now(UTC))
    assert [
        (root.review.broker_id, root.review.tier, root.now.tier) for root in again.roots if root.state == "differs"
    ] == [("delta", "T2", "T1")]
    [told] = [check for check in examine(reviewed.database, now=datetime.now(UTC)) if check.name.startswith("tier")]
    assert told.found == "2026-03 would come out otherwise by now: delta T2 -> T1"
    assert reviewed.parts(reviewed.plan(re_review=True, broker="alpha"))["reviews"] == []
    assert reviewed.recalculate(re_review=True, broker="delta").status == "applied"
    assert april(reviewed) == [("april-1", "T2", Decimal("0.2")), ("april-4", "T1", Decimal("0.15"))]
    corrected = review_month(reviewed.database, MARCH, by="rita", now=datetime.now(UTC))
    assert {root.state for root in corrected.roots} == {"stands"}
    assert reviewed.verify() == []


def test_windows_that_the_tier_rated_while_the_plan_waited_are_in_a_plan_that_follows(reviewed: Desk) -> None:
    reviewed.correct("vip_levels.csv", *HALF_EXCLUDED)
    plan_id = reviewed.plan(re_review=True)
    reviewed.late_fill("between", account="4", executed_at="2026-04-02T07:30:00Z")
    settle_window(reviewed.database, APRIL_WINDOW + timedelta(hours=1), now=datetime.now(UTC))
    reviewed.open_runs(plan_id)
    # Nobody has planned it yet, and what is settled from now on has the corrected tier.
    reviewed.late_fill("after", account="4", executed_at="2026-04-02T08:30:00Z")
    settle_window(reviewed.database, APRIL_WINDOW + timedelta(hours=2), now=datetime.now(UTC))
    assert reviewed.state(plan_id).status == "applied"
    with reviewed.database.transaction() as connection:
        follower = follower_of(connection, plan_id)
    assert follower is not None
    plan_all(reviewed.database, follower, progress=lambda _done, _all: None)
    asked = reviewed.state(follower)
    assert (asked.follows, asked.planned_by, asked.status) == (plan_id, "anna", "planned")
    assert [window["commission_usdt"] for window in reviewed.parts(follower)["windows"]] == [Decimal("-0.05")]
    reviewed.post(reviewed.open_runs(follower))
    assert [(bill_id, tier) for bill_id, tier, _ in april(reviewed)] == [
        ("after", "T1"),
        ("april-1", "T2"),
        ("april-4", "T1"),
        ("between", "T1"),
    ]
    assert reviewed.verify() == []
