"""What gave a broker its tier, in words that name every number."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from settlement.errors import Refused
from settlement.pipeline.override_tier import TierOverride, override_tier
from settlement.pipeline.registry_by_hand import HandAct
from settlement.reports.tier_explanation import explain_tier, in_words
from tests.reviews.desk import LONG_AGO, Desk
from tests.reviews.small import NOVEMBER, SMALL, START, fill

DAY = timedelta(days=1)


@pytest.fixture
def reviewed(desk: Desk) -> Desk:
    desk.found(SMALL)
    desk.trade(SMALL.fills)
    desk.settle()
    desk.review(SMALL)
    return desk


def told(desk: Desk, broker: str = "r1", *, at: datetime = NOVEMBER) -> str:
    with desk.database.transaction() as connection:
        return "\n".join(in_words(explain_tier(connection, broker, at=at)))


def test_before_any_review_it_is_the_entry_tier(reviewed: Desk) -> None:
    words = told(reviewed, at=NOVEMBER - timedelta(microseconds=1))
    assert words.startswith("r1 at 2026-10-31T23:59:59.999999Z: T1, from the entry tier of terms 'drawn'")
    assert "no review of it has taken effect yet" in words


def test_a_review_says_what_was_counted_and_what_was_missing(reviewed: Desk) -> None:
    words = told(reviewed, "r2", at=NOVEMBER)
    assert words.startswith("r2 at 2026-11-01T00:00:00Z: T1, from the review of 2026-11-01")
    for line in [
        "by desk; before it: T1",
        "counted: windows from 2026-10-02T00:00:00Z to 2026-11-01T00:00:00Z, by terms number 1",
        "volume 40 USDT, 1 clients that count",
        "spot: volume 40, 1 new clients, 1 active",
        "missing to T2: 60 USDT of volume and 0 clients",
    ]:
        assert line in words


def test_of_a_broker_in_a_tree_it_is_that_of_the_root(reviewed: Desk) -> None:
    assert told(reviewed, "s1").startswith(
        "s1 at 2026-11-01T00:00:00Z: it is under r1, whose tier counts: T2, from the review of 2026-11-01"
    )


def test_an_override_is_named_with_its_reason_and_load_until_it_has_ended(reviewed: Desk) -> None:
    asked = TierOverride(broker_id="r1", tier="T3", begins=NOVEMBER + DAY, ends=NOVEMBER + 2 * DAY)
    override_tier(reviewed.database, asked, act=HandAct(by="ana", reason="a deal"))
    during, after = told(reviewed, at=NOVEMBER + DAY), told(reviewed, at=NOVEMBER + 2 * DAY)
    assert during.startswith("r1 at 2026-11-02T00:00:00Z: T3, from the override")
    assert "override: T3 from 2026-11-02T00:00:00Z, until 2026-11-03T00:00:00Z\n     reason: a deal" in during
    assert "by ana: by hand: tier.override r1" in during
    assert after.startswith("r1 at 2026-11-03T00:00:00Z: T2, from the review of 2026-11-01")
    assert "it has ended: no older one comes back" in after


def test_of_several_reviews_for_an_instant_all_are_told_the_one_that_counts_first(reviewed: Desk) -> None:
    reviewed.execute(
        "INSERT INTO tier_review (broker_id, tier, effective_from, volume_usdt, clients, reviewed_by)"
        " VALUES ('r1', 'T3', :at, 5000, 9, 'ben')",
        at=NOVEMBER,
    )
    words = told(reviewed)
    assert words.index("review of 2026-11-01: T3") < words.index("review of 2026-11-01: T2, replaced by the one above")


def test_a_review_that_was_made_anyway_says_what_was_missing(desk: Desk) -> None:
    desk.found(SMALL)
    desk.trade([*SMALL.fills, fill("9", "7", "1", START + DAY)])
    desk.review(SMALL, anyway=True)
    assert "made although not everything was settled: 4 windows, 0 pending lines" in told(desk)


def test_a_broker_that_is_in_no_tree_has_no_tier(reviewed: Desk) -> None:
    with pytest.raises(Refused, match="broker zeta: it is in no tree at 2026-11-01T00:00:00Z"):
        told(reviewed, "zeta")
    reviewed.execute("UPDATE program_terms SET replaced_by_load = 1")
    with pytest.raises(Refused, match="no terms are in force at 2020-01-01T00:00:00Z"):
        told(reviewed, at=LONG_AGO)
