"""Making the review of a month: when it is refused, what it records, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any

import psycopg
import pytest

from settlement.errors import Refused
from settlement.pipeline.override_tier import TierOverride, override_tier
from settlement.pipeline.registry_by_hand import HandAct
from settlement.pipeline.review import MonthReview, review_month
from settlement.reports.exports import Selection, export
from settlement.store import loads
from tests.reviews.desk import LONG_AGO, Desk
from tests.reviews.small import BEGUN, NOVEMBER, SMALL, START, fill
from tests.reviews.worlds import World
from tests.workers.program import waits_for_lock

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
REVIEWS = "SELECT broker_id, tier, volume_usdt, clients, previous_tier FROM tier_review ORDER BY broker_id, row_id"


def opened(desk: Desk, world: World = SMALL) -> Desk:
    """The world's facts and fills, nothing settled yet."""
    desk.found(world)
    desk.trade(world.fills)
    return desk


def settled(desk: Desk, world: World = SMALL) -> Desk:
    opened(desk, world).settle()
    return desk


def tiers(reviewed: MonthReview) -> dict[str, str]:
    return {root.review.broker_id: root.review.tier for root in reviewed.roots}


def test_each_root_gets_a_row_with_what_was_counted_and_what_was_missing(desk: Desk) -> None:
    settled(desk).review(SMALL)
    assert desk.rows(REVIEWS) == [
        ("r1", "T2", Decimal(100), 2, "T1"),
        ("r2", "T1", Decimal(40), 1, "T1"),
        ("r3", "T1", Decimal(0), 0, "T1"),
    ]
    kept = """
        SELECT effective_from, period_start, period_end, terms_id, reviewed_by, anyway, next_tier, gap
        FROM tier_review WHERE broker_id = 'r2'
    """
    gap = {"all": {"volume_usdt": "60", "clients": 0}}
    assert desk.rows(kept) == [(NOVEMBER, START, NOVEMBER, 1, "desk", False, "T2", gap)]


def test_only_roots_whose_tier_changes_are_announced(desk: Desk) -> None:
    settled(desk).review(SMALL)
    assert desk.events() == [
        {
            "broker_id": "r1",
            "effective_from": "2026-11-01T00:00:00+00:00",
            "from_tier": "T1",
            "to_tier": "T2",
            "direction": "upgrade",
            "by": "review",
        }
    ]


def test_a_month_without_trades_downgrades(desk: Desk) -> None:
    settled(desk).review(SMALL)
    desk.execute("INSERT INTO settlement_window (window_start, status) VALUES (:at, 'settled')", at=NOVEMBER)
    december = replace(SMALL, effective_from=NOVEMBER + 30 * DAY)
    assert tiers(desk.review(december, anyway=True)) == {"r1": "T1", "r2": "T1", "r3": "T1"}
    assert [(event["from_tier"], event["to_tier"], event["direction"]) for event in desk.events()] == [
        ("T1", "T2", "upgrade"),
        ("T2", "T1", "downgrade"),
    ]


def test_a_review_that_stands_is_left_alone(desk: Desk) -> None:
    settled(desk).review(SMALL)
    before = desk.rows("SELECT * FROM tier_review ORDER BY row_id"), len(desk.events())
    again = desk.review(SMALL)
    assert [root.state for root in again.roots] == ["stands", "stands", "stands"]
    assert (desk.rows("SELECT * FROM tier_review ORDER BY row_id"), len(desk.events())) == before


def test_reviews_made_at_once_are_made_once(desk: Desk) -> None:
    settled(desk)
    with ThreadPoolExecutor(max_workers=4) as pool:
        made = [reviewed.made for reviewed in pool.map(lambda _: desk.review(SMALL), range(4))]
    assert sorted(made) == [0, 0, 0, 3]
    assert desk.rows("SELECT count(*) FROM tier_review") == [(3,)]


def test_a_month_that_has_not_ended_is_not_reviewed(desk: Desk) -> None:
    settled(desk)
    with pytest.raises(Refused, match="review of 2026-10: it takes effect on 2026-11-01, which has not come"):
        review_month(desk.database, SMALL.month, by="desk", now=NOVEMBER - timedelta(microseconds=1))


def test_without_terms_there_is_nothing_to_review_by(desk: Desk) -> None:
    settled(desk)
    before_them = replace(SMALL, effective_from=datetime.fromisoformat("2019-12-01T00:00:00Z"))
    with pytest.raises(Refused, match="no terms are in force at 2019-12-01T00:00Z; settlement terms load FILE"):
        desk.review(before_them)


def test_windows_that_are_not_settled_are_waited_for(desk: Desk) -> None:
    with pytest.raises(Refused) as refusal:
        opened(desk).review(SMALL)
    assert str(refusal.value) == (
        "review of 2026-10: 3 windows of its period are not settled, the first 2026-10-02T00:00Z;"
        " settlement doctor says what is missing; --anyway leaves that out, which is recorded"
    )
    assert desk.rows(REVIEWS) == []


def test_hours_since_the_installation_that_nobody_has_looked_at_are_waited_for_too(
    desk: Desk, superuser: psycopg.Connection
) -> None:
    settled(desk)
    superuser.execute("UPDATE installation SET installed_at = %s", [NOVEMBER - 2 * HOUR])
    with pytest.raises(Refused, match="1 window of its period is not settled, the first 2026-10-31T22:00Z"):
        desk.review(SMALL)


def test_a_window_that_is_to_be_looked_at_again_is_waited_for(desk: Desk) -> None:
    settled(desk)
    desk.trade([fill("late", "1", "1", START)])
    with pytest.raises(Refused, match="1 window of its period is not settled, the first 2026-10-02T00:00Z"):
        desk.review(SMALL)


def test_pending_lines_are_waited_for(desk: Desk, superuser: psycopg.Connection) -> None:
    opened(desk)
    superuser.execute("DELETE FROM vip_level WHERE account IN ('1', '5')")
    desk.settle()
    with pytest.raises(Refused, match=r"2 lines are pending \(1 of r1: VIP_UNKNOWN, 1 of r2: VIP_UNKNOWN\)"):
        desk.review(SMALL)


def test_a_period_without_any_window_is_refused(desk: Desk) -> None:
    desk.found(SMALL)
    with pytest.raises(Refused, match="no window of its period was ever there"):
        desk.review(SMALL)


def test_somebody_may_have_it_made_anyway_and_what_was_missing_is_recorded(
    desk: Desk, superuser: psycopg.Connection
) -> None:
    opened(desk)
    superuser.execute("DELETE FROM vip_level WHERE account = '1'")
    desk.settle()
    desk.trade([fill("late", "5", "1000", START)])
    assert tiers(desk.review(SMALL, anyway=True)) == {"r1": "T1", "r2": "T1", "r3": "T1"}
    pending = [{"root": "r1", "reason": "VIP_UNKNOWN", "lines": 1}]
    assert desk.rows("SELECT anyway, inputs->'unfinished' FROM tier_review WHERE broker_id = 'r3'") == [
        (True, {"windows": 1, "empty": False, "pending": pending})
    ]


def test_told_anyway_without_need_nothing_is_recorded_of_it(desk: Desk) -> None:
    settled(desk).review(SMALL, anyway=True)
    assert desk.rows("SELECT DISTINCT anyway, inputs->'unfinished' FROM tier_review") == [(False, None)]


def test_a_rehearsal_says_what_would_come_out_and_is_never_refused_for_what_is_missing(desk: Desk) -> None:
    rehearsed = opened(desk).review(SMALL, dry_run=True)
    assert rehearsed.left.windows == 3
    assert tiers(rehearsed) == {"r1": "T1", "r2": "T1", "r3": "T1"}
    assert (desk.rows(REVIEWS), desk.events()) == ([], [])


def test_figures_that_are_others_by_now_are_told_and_not_written_over(desk: Desk) -> None:
    settled(desk).review(SMALL)
    desk.trade([fill("late", "6", "60", START)])
    desk.settle()
    r1, r2, _ = desk.review(SMALL).roots
    assert (r1.state, r2.state, r2.review.tier, r2.now.tier, r2.now.clients) == ("stands", "differs", "T1", "T2", 2)
    assert desk.rows(REVIEWS)[1] == ("r2", "T1", Decimal(40), 1, "T1")


def test_who_is_new_is_asked_within_each_tree_and_group(desk: Desk) -> None:
    world = replace(
        SMALL,
        apart=True,
        fills=(
            fill("a", "1", "1", START - DAY),  # an old client of r1's, in spot
            fill("b", "1", "1", START, product="futures"),
            fill("c", "1", "1", START, tag="R2"),
            fill("d", "1", "1", START + DAY, tag="R1"),
        ),
        tiers=SMALL.tiers[:1],
    )
    world = replace(world, tiers=(replace(world.tiers[0], volume={"spot": Decimal(0), "contracts": Decimal(0)},
                                          clients={"spot": 0, "contracts": 0}),))  # fmt: skip
    settled(desk, world).review(world)
    new = desk.rows("SELECT broker_id, inputs->'new_clients' FROM tier_review ORDER BY broker_id")
    assert new == [
        ("r1", {"all": 0, "spot": 0, "contracts": 1}),
        ("r2", {"all": 1, "spot": 1, "contracts": 0}),
        ("r3", {"all": 0, "spot": 0, "contracts": 0}),
    ]


def test_a_tree_that_moves_in_mid_period_splits_its_volume_by_time(desk: Desk) -> None:
    moved = START + 10 * DAY + timedelta(minutes=30)
    world = replace(
        SMALL,
        moved_at=moved,
        fills=(fill("a", "3", "100", moved - timedelta(milliseconds=1)), fill("b", "3", "7", moved)),
    )
    settled(desk, world).review(world)
    assert desk.rows(REVIEWS)[:2] == [("r1", "T2", Decimal(100), 1, "T1"), ("r2", "T1", Decimal(7), 1, "T1")]


ROOTS_OF_THE_DAY = [
    ("a root that ended before", "beta", None, LONG_AGO, NOVEMBER, False),
    ("a root that ends later", "beta", None, LONG_AGO, NOVEMBER + HOUR, True),
    ("a root that begins at that very instant", "beta", None, NOVEMBER, None, False),
    ("a root that began just before", "beta", None, NOVEMBER - HOUR, None, True),
    ("a root that has another row from then on", "r3", None, NOVEMBER, None, True),
    ("a sub-broker that is a root from then on", "s2", None, NOVEMBER, None, False),
    ("a root that is a sub-broker from then on", "r3", "r1", NOVEMBER, None, False),
]


@pytest.mark.parametrize("case", [case[1:] for case in ROOTS_OF_THE_DAY], ids=[case[0] for case in ROOTS_OF_THE_DAY])
def test_reviewed_are_roots_in_force_at_that_instant_that_were_roots_before(desk: Desk, case: tuple[Any, ...]) -> None:
    broker, parent, begins, ends, is_reviewed = case
    settled(desk)
    desk.execute(
        "INSERT INTO broker (broker_id, name, model, parent_id, share, status, effective_from, effective_to, load_id)"
        " VALUES (:broker, 'B', 'api', :parent, :share, 'active', :begins, :ends, 1)",
        broker=broker, parent=parent, share=Decimal("0.5") if parent else None, begins=begins, ends=ends,
    )  # fmt: skip
    assert (broker in tiers(desk.review(SMALL))) is is_reviewed


def test_an_override_in_force_beats_the_review_which_stands_for_when_it_ends(desk: Desk) -> None:
    settled(desk)
    asked = TierOverride(broker_id="r1", tier="T3", begins=START, ends=NOVEMBER + DAY)
    act = HandAct(by="ana", reason="a deal", correction="agreed upon late")
    override_tier(desk.database, asked, act=act)
    r1 = desk.review(SMALL).roots[0]
    assert (r1.review.tier, r1.review.previous_tier, r1.in_force) == ("T2", "T3", "T3")
    assert [(event["by"], event["from_tier"], event["to_tier"]) for event in desk.events()] == [
        ("override", "T1", "T3")
    ]
    desk.trade([fill("a", "1", "1", NOVEMBER + HOUR), fill("b", "1", "1", NOVEMBER + DAY)])
    desk.settle()
    rated = "SELECT bill_id, tier FROM line JOIN basis USING (basis_id) WHERE bill_id IN ('a', 'b') ORDER BY 1"
    assert desk.rows(rated) == [("a", "T3"), ("b", "T2")]


def test_an_override_that_ends_with_the_month_gives_way_to_the_review(desk: Desk) -> None:
    settled(desk)
    asked = TierOverride(broker_id="r1", tier="T3", begins=START, ends=NOVEMBER)
    override_tier(desk.database, asked, act=HandAct(by="ana", reason="a deal", correction="agreed upon late"))
    desk.review(SMALL)
    assert [(event["by"], event["from_tier"], event["to_tier"], event["direction"]) for event in desk.events()] == [
        ("override", "T1", "T3", "upgrade"),
        ("review", "T3", "T2", "downgrade"),
    ]


def test_windows_that_another_tier_has_rated_stay_as_they_are_and_are_counted(desk: Desk) -> None:
    settled(desk, BEGUN)
    desk.trade(BEGUN.late)
    desk.settle()
    before = desk.rows("SELECT * FROM current_line ORDER BY bill_id")
    r1, r2, _ = desk.review(BEGUN).roots
    assert r1.rated_otherwise is not None
    assert (r1.rated_otherwise.windows, r1.rated_otherwise.until) == (1, NOVEMBER + HOUR)
    assert r2.rated_otherwise is None
    assert desk.rows("SELECT * FROM current_line ORDER BY bill_id") == before
    assert desk.rows("SELECT window_start FROM settlement_window WHERE recheck") == []


def test_lines_that_an_override_has_rated_since_are_nobodys_mistake(desk: Desk) -> None:
    settled(desk, BEGUN)
    asked = TierOverride(broker_id="r1", tier="T3", begins=NOVEMBER, ends=NOVEMBER + HOUR)
    override_tier(desk.database, asked, act=HandAct(by="ana", reason="a deal"))
    desk.trade(BEGUN.late)
    desk.settle()
    assert [root.rated_otherwise for root in desk.review(BEGUN).roots] == [None, None, None]


def test_lines_whose_tier_was_unknown_are_looked_at_again(desk: Desk, superuser: psycopg.Connection) -> None:
    settled(desk)
    superuser.execute(
        "INSERT INTO tier_override (broker_id, tier, effective_from, effective_to, load_id) VALUES ('r1', 'T9', %s, %s, 1)",
        [START, START + HOUR],
    )
    desk.trade([fill("pending", "1", "50", START + timedelta(minutes=1))])
    desk.settle()
    marked = desk.review(SMALL, anyway=True).windows_marked
    assert marked == 1
    assert desk.rows("SELECT window_start FROM settlement_window WHERE recheck") == [(START,)]


def test_no_shard_is_settled_while_a_review_is_made(desk: Desk, superuser: psycopg.Connection) -> None:
    settled(desk)
    with ThreadPoolExecutor(max_workers=1) as pool, settling(desk):
        waiting = pool.submit(desk.review, SMALL)
        while not waits_for_lock(superuser):
            assert not waiting.done()
        assert desk.rows(REVIEWS) == []
    assert waiting.result().made == 3


@contextmanager
def settling(desk: Desk) -> Iterator[None]:
    """A shard is under way: it holds the lock of facts, shared."""
    with desk.database.transaction() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock_shared({loads.FACTS_LOCK})")
        yield


def test_history_is_never_edited(desk: Desk, superuser: psycopg.Connection) -> None:
    settled(desk).review(SMALL)
    for statement in ("UPDATE tier_review SET tier = 'T3'", "DELETE FROM tier_review", "TRUNCATE tier_review"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="refused"):
            superuser.execute(statement)


def test_the_export_shows_the_latest_review_for_an_instant(desk: Desk, superuser: psycopg.Connection) -> None:
    settled(desk).review(SMALL)
    superuser.execute(
        "INSERT INTO tier_review (broker_id, tier, effective_from, volume_usdt, clients) VALUES ('r2', 'T3', %s, 2000, 9)",
        [NOVEMBER],
    )
    sink = BytesIO()
    with desk.database.transaction() as connection:
        export(connection, "tiers", file_format="csv", selection=Selection(), sink=sink)
    assert sink.getvalue().decode().splitlines()[1:] == [
        "r1,T2,2026-11-01T00:00:00Z,,100,2",
        "r2,T3,2026-11-01T00:00:00Z,,2000,9",
        "r3,T1,2026-11-01T00:00:00Z,,0,0",
    ]
    assert [root.state for root in desk.review(SMALL).roots] == ["stands", "differs", "stands"]
