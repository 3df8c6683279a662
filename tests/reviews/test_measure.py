"""What reviews count: as it stands, as it was settled by then, and as a recalculation would have it."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from settlement.store import reviews
from settlement.store.reviews import Measured
from tests.reviews.desk import Desk
from tests.reviews.small import NOVEMBER, SMALL, START, fill


def settle(desk: Desk) -> datetime:
    """Settles what waits, and says when that was done."""
    desk.settle()
    [(at,)] = desk.rows("SELECT max(settled_at) FROM run_shard")
    moment: datetime = at
    return moment


def measured(
    desk: Desk, root: str = "r1", *, plan_id: int | None = None, as_of: datetime | None = None
) -> tuple[Decimal, int, int]:
    """Volume, new clients and active clients of a root in October, all groups together."""
    with desk.database.transaction() as connection:
        found = reviews.measure(
            connection, start=START, end=NOVEMBER, roots=["r1", "r2", "r3"], plan_id=plan_id, as_of=as_of
        )
    return found[root].volume_usdt["all"], found[root].new_clients["all"], found[root].active_clients["all"]


def test_a_fill_that_came_late_counts_from_when_it_was_settled(desk: Desk) -> None:
    desk.found(SMALL)
    desk.trade(SMALL.fills)
    first = settle(desk)
    desk.trade([fill("late", "3", "5", START + timedelta(days=1))])
    second = settle(desk)
    assert measured(desk, as_of=first - timedelta(days=1)) == (0, 0, 0)
    assert measured(desk, as_of=first) == (100, 2, 2)
    assert measured(desk, as_of=second) == measured(desk) == (105, 3, 3)


def test_a_plan_adds_what_it_would_change_and_takes_away_what_it_would_take(desk: Desk) -> None:
    desk.found(SMALL)
    desk.trade(SMALL.fills)
    desk.settle()
    # Client 1's only line moves to r2; so does one of before the period, which makes client 5 an old one of r2's.
    for window, root, account, lines, volume in [
        (START, "r1", "1", -1, -60),
        (START, "r2", "1", 1, 60),
        (START - timedelta(hours=1), "r2", "5", 1, 1),
    ]:
        desk.execute(
            "INSERT INTO recalculation_activity VALUES (1, :window, :root, 'okx', :account, :root, 'spot', :lines, :volume, 0)",
            window=window, root=root, account=account, lines=lines, volume=volume,
        )  # fmt: skip
    assert (measured(desk), measured(desk, "r2")) == ((100, 2, 2), (40, 1, 1))
    assert (measured(desk, plan_id=1), measured(desk, "r2", plan_id=1)) == ((40, 1, 1), (100, 1, 2))


def test_without_roots_those_with_activity_are_measured(desk: Desk) -> None:
    desk.found(SMALL)
    desk.trade(SMALL.fills)
    desk.settle()
    with desk.database.transaction() as connection:
        every = reviews.measure(connection, start=START, end=NOVEMBER)
        asked = reviews.measure(connection, start=START, end=NOVEMBER, roots=["r3"])
    assert sorted(every) == ["r1", "r2"]
    assert asked == {"r3": Measured()}


def test_the_root_of_a_broker_is_found_as_the_tree_stood(desk: Desk) -> None:
    desk.found(SMALL)
    with desk.database.transaction() as connection:
        before, after = (
            reviews.root_of(connection, "s1", at=SMALL.moved_at + change)
            for change in (-timedelta(microseconds=1), timedelta(0))
        )
        nobody = reviews.root_of(connection, "nobody", at=NOVEMBER)
        long_ago = reviews.root_of(connection, "r1", at=NOVEMBER - timedelta(days=9999))
    assert (before, after, nobody, long_ago) == ("r1", "r2", None, None)
