"""Where a root is going: sums that are exact and up to date, and a guess that says how it was made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import stdev

import pytest

from settlement.errors import Refused
from settlement.reports.tracking import Track, track
from settlement.reports.tracking_words import as_document, in_words
from tests.reviews.desk import Desk
from tests.reviews.small import NOVEMBER, SMALL, fill
from tests.reviews.worlds import ROOTS, Fill, World, draw, figures

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CENT = Decimal("0.01")


def tracks(desk: Desk, now: datetime, broker: str | None = None) -> dict[str, Track]:
    with desk.database.transaction() as connection:
        return {one.broker_id: one for one in track(connection, now=now, broker_id=broker)}


def settled_through(desk: Desk, until: datetime) -> None:
    """Every hour up to `until` is settled, with whatever fills there are."""
    desk.settle()
    desk.execute(
        "INSERT INTO settlement_window (window_start, status) SELECT hour, 'settled' FROM generate_series("
        "CAST(:until AS timestamptz) - interval '40 days', :until - interval '1 hour', '1 hour') hour ON CONFLICT DO NOTHING",
        until=until,
    )


def volume(fills: Iterable[Fill], start: datetime, end: datetime) -> Decimal:
    return sum((one.volume for one in fills if start <= one.at < end), Decimal(0))


@pytest.mark.parametrize("seed", [3, 4])
def test_the_sums_are_those_of_the_reference_and_follow_each_settled_window(desk: Desk, seed: int) -> None:
    world = replace(draw(seed), new_clients=True)
    until = world.effective_from + HOUR
    desk.found(world)
    desk.trade(world.fills)
    settled_through(desk, until)
    assert_like_the_reference(desk, world, until=until)
    desk.trade(world.late)
    desk.settle()
    assert_like_the_reference(desk, world.all_fills(), until=until)
    assert desk.findings() == []


def assert_like_the_reference(desk: Desk, world: World, *, until: datetime) -> None:
    """The reference counts up to its world's review: here, the 30 days to `until`."""
    reference = figures(replace(world, effective_from=until, rolling=True))
    for root, found in tracks(desk, until + timedelta(minutes=7)).items():
        assert found.trailing.volume_usdt == reference[root].volume
        assert found.trailing.new_clients == {group: len(of) for group, of in reference[root].new.items()}
        assert found.trailing.active_clients == {group: len(of) for group, of in reference[root].active.items()}


# r1's clients trade 10, 20 and 30 USDT on the first three days of November, all earning a commission of 0.1 a fill.
THREE_DAYS = tuple(
    fill(f"{day}-{number}", "1", "10", NOVEMBER + day * DAY + number * HOUR)
    for day in range(3)
    for number in range(day + 1)
)
# The day before, so that all three are complete days of a root that had begun.
BEFORE = fill("0", "1", "1", NOVEMBER - DAY)


@pytest.fixture
def three_days(desk: Desk) -> Desk:
    desk.found(SMALL)
    desk.trade([BEFORE, *THREE_DAYS])
    settled_through(desk, NOVEMBER + 3 * DAY)
    return desk


def test_the_commission_of_the_month_is_guessed_from_its_days(three_days: Desk) -> None:
    found = tracks(three_days, NOVEMBER + 3 * DAY + HOUR)["r1"].commission
    daily = [Decimal("0.1"), Decimal("0.2"), Decimal("0.3")]
    mean, spread, left = Decimal("0.2"), stdev(daily), 27
    assert found.so_far_usdt == Decimal("0.6")
    assert found.expected_usdt == Decimal("0.6") + mean * left
    assert found.low_usdt == (Decimal("0.6") + (mean - spread) * left).quantize(CENT)
    assert found.high_usdt == (Decimal("0.6") + (mean + spread) * left).quantize(CENT)
    assert found.method == (
        "settled so far, and for the 27.0 days left the mean of the last 3 complete days, 0.20 USDT a day; the range: one"
        " standard deviation of those days, 0.10, below and above each day"
    )


def test_the_next_review_is_told_by_what_is_settled_and_at_this_pace(three_days: Desk) -> None:
    found = tracks(three_days, NOVEMBER + 3 * DAY + HOUR)["r1"].next_review
    assert (found.effective_from, found.period_start) == (NOVEMBER + 30 * DAY, NOVEMBER)
    assert (found.volume_usdt["all"], found.expected_volume_usdt["all"]) == (Decimal(60), Decimal(60 + 27 * 20))
    # Client 1 had traded before: no new client, however much volume there will be.
    assert (found.tier_so_far, found.projected_tier) == ("T1", "T1")
    three_days.trade([fill("new", "2", "0.5", NOVEMBER)])
    three_days.settle()
    found = tracks(three_days, NOVEMBER + 3 * DAY + HOUR)["r1"].next_review
    assert (found.tier_so_far, found.projected_tier) == ("T1", "T2")


def test_days_without_a_trade_count_as_nothing(three_days: Desk) -> None:
    settled_through(three_days, NOVEMBER + 6 * DAY)
    found = tracks(three_days, NOVEMBER + 6 * DAY + HOUR)["r1"].commission
    assert found.expected_usdt == Decimal("0.6") + Decimal("0.1") * 24


def test_a_root_without_two_days_has_no_range(three_days: Desk) -> None:
    found = tracks(three_days, NOVEMBER + 3 * DAY + HOUR)["r2"].commission
    assert (found.expected_usdt, found.low_usdt, found.high_usdt) == (0, None, None)
    assert found.method.endswith("there is no complete day yet to go by; no range: it takes 2 days")


def test_once_the_whole_month_is_settled_nothing_is_guessed(three_days: Desk) -> None:
    settled_through(three_days, NOVEMBER + 30 * DAY)
    found = tracks(three_days, NOVEMBER + 30 * DAY - timedelta(microseconds=1))["r1"].commission
    assert {found.so_far_usdt, found.expected_usdt, found.low_usdt, found.high_usdt} == {Decimal("0.6")}


def test_only_roots_are_tracked(three_days: Desk) -> None:
    now = NOVEMBER + 3 * DAY + HOUR
    assert sorted(tracks(three_days, now)) == sorted(ROOTS)
    assert sorted(tracks(three_days, now, "r2")) == ["r2"]
    with pytest.raises(Refused, match="broker s1: it is under r1; settlement tiers track r1"):
        tracks(three_days, now, "s1")
    with pytest.raises(Refused, match="broker zeta: it is in no tree now"):
        tracks(three_days, now, "zeta")


def test_before_anything_is_settled_there_is_nothing_to_track(desk: Desk) -> None:
    desk.found(SMALL)
    assert tracks(desk, NOVEMBER) == {}


def test_a_track_is_told_in_words_and_as_plain_values(three_days: Desk) -> None:
    found = tracks(three_days, NOVEMBER + 3 * DAY + HOUR)["r1"]
    words = "\n".join(in_words(found))
    assert "r1 is T1; settled to 2026-11-04T00:00:00Z" in words
    assert "2026-11 so far  volume 60.00 USDT, 1 active clients, 0 new" in words
    assert "commission      0.60 USDT so far; 6.00 by the end of the month, between 3.30 and 8.70" in words
    assert "to T2: 40 USDT of volume and 1 clients are missing" in words
    [document] = as_document([found])
    assert document["commission"]["expected_usdt"] == "6"
    assert document["month_to_date"]["volume_usdt"] == {"all": "60", "spot": "60", "contracts": "0"}
