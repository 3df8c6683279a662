"""Reviews of drawn worlds come out as a slow, obvious reference says that looks at one fill after the other."""

from __future__ import annotations

from decimal import Decimal

import pytest

from settlement.pipeline.review import RootReview
from tests.reviews.desk import Desk
from tests.reviews.worlds import ROOTS, Figures, World, draw, figures, rank_reached


def expected(world: World, of_root: Figures) -> dict[str, object]:
    """What a review of the root has to say."""
    rank = rank_reached(world, of_root)
    clients = of_root.clients(world)
    following = world.tiers[rank + 1] if rank + 1 < len(world.tiers) else None
    return {
        "tier": f"T{rank + 1}",
        "volume": of_root.volume["all"],
        "clients": clients["all"],
        "inputs": {
            "volume_usdt": of_root.volume,
            "new_clients": {group: len(accounts) for group, accounts in of_root.new.items()},
            "active_clients": {group: len(accounts) for group, accounts in of_root.active.items()},
        },
        "gap": following
        and {
            group: (
                max(following.volume[group] - of_root.volume[group], Decimal(0)),
                max(following.clients[group] - clients[group], 0),
            )
            for group in world.groups
        },
    }


def made(root: RootReview) -> dict[str, object]:
    """What its review does say."""
    review = root.review
    inputs = dict(review.inputs or {})
    inputs["volume_usdt"] = {group: Decimal(volume) for group, volume in inputs["volume_usdt"].items()}
    gap = review.gap and {group: (Decimal(one["volume_usdt"]), one["clients"]) for group, one in review.gap.items()}
    return {
        "tier": review.tier,
        "volume": review.volume_usdt,
        "clients": review.clients,
        "inputs": inputs,
        "gap": gap,
    }


@pytest.mark.parametrize("seed", range(8))
def test_a_review_counts_what_the_reference_counts(desk: Desk, seed: int) -> None:
    world = draw(seed)
    desk.found(world)
    desk.trade(world.fills)
    desk.settle()
    reference = figures(world)
    rehearsed = desk.review(world, dry_run=True)
    assert desk.rows("SELECT count(*) FROM tier_review") == [(0,)]

    reviewed = desk.review(world)
    assert {root.review.broker_id: made(root) for root in reviewed.roots} == {
        root: expected(world, reference[root]) for root in ROOTS
    }
    assert [made(root) for root in rehearsed.roots] == [made(root) for root in reviewed.roots]
    assert [event["to_tier"] for event in desk.events()] == [
        f"T{rank + 1}" for root in ROOTS if (rank := rank_reached(world, reference[root]))
    ]
    assert desk.findings() == []


@pytest.mark.parametrize("seed", range(10, 14))
def test_fills_that_come_after_the_review_change_what_it_would_say_and_not_what_it_says(desk: Desk, seed: int) -> None:
    world = draw(seed)
    desk.found(world)
    desk.trade(world.fills)
    desk.settle()
    first = {root.review.broker_id: made(root) for root in desk.review(world).roots}
    desk.trade(world.late)
    desk.settle()

    again = desk.review(world)
    assert {root.review.broker_id: made(root) for root in again.roots} == first
    assert again.made == 0
    after, whole = figures(world.all_fills()), world.all_fills()
    for root in again.roots:
        wanted = expected(whole, after[root.review.broker_id])
        assert (root.now.tier, root.now.volume_usdt, root.now.clients) == (
            wanted["tier"], wanted["volume"], wanted["clients"],
        )  # fmt: skip
        assert root.state == ("stands" if wanted == first[root.review.broker_id] else "differs")
    assert desk.rows("SELECT count(*) FROM tier_review") == [(len(ROOTS),)]
