"""Which tier a root has reached by its volume and its clients, and what it is short of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.rules.facts import Terms, Tier
from settlement.rules.products import PRODUCT_OF
from settlement.rules.review import GROUP_OF, month_after, month_before, month_of, period_of, tier_reached
from tests.rules.examples import TERMS

SMALLEST = Decimal("0.000000000001")


class Threshold(NamedTuple):
    """What one tier asks of one group."""

    volume: Decimal
    clients: int


def terms(*tiers: Mapping[str, Threshold], window: str = "rolling_30d") -> Terms:
    """Terms with the tiers T1, T2, ..., each asking something of the group "all", or of "spot" and "contracts"."""
    return replace(
        TERMS,
        volume_window=window,
        groups="all" if "all" in tiers[0] else "max_of_spot_and_contracts",
        tiers=tuple(
            Tier(
                name=f"T{number}",
                min_volume={group: one.volume for group, one in asked.items()},
                min_clients={group: one.clients for group, one in asked.items()},
                rates={},
            )
            for number, asked in enumerate(tiers, 1)
        ),
    )


def rising(*asked: tuple[str, int]) -> Terms:
    """Terms that count everything together."""
    return terms(*({"all": Threshold(Decimal(volume), clients)} for volume, clients in asked))


THREE = rising(("0", 0), ("1000", 1), ("5000", 5))
APART = terms(
    {"spot": Threshold(Decimal(0), 0), "contracts": Threshold(Decimal(0), 0)},
    {"spot": Threshold(Decimal(10), 5), "contracts": Threshold(Decimal(100), 5)},
    {"spot": Threshold(Decimal(1000), 10), "contracts": Threshold(Decimal(5000), 10)},
)


@pytest.mark.parametrize(
    ("volume", "clients", "tier"),
    [
        ("0", 0, "T1"),
        ("999.999999999999", 1, "T1"),
        ("1000", 1, "T2"),
        ("1000", 0, "T1"),
        ("5000", 4, "T2"),
        ("4999.999999999999", 5, "T2"),
        ("5000", 5, "T3"),
        ("999999999999999999999999.000000000001", 900, "T3"),
    ],
)
def test_the_highest_tier_counts_whose_thresholds_are_all_met_exactly_on_one_included(
    volume: str, clients: int, tier: str
) -> None:
    assert tier_reached(THREE, volume={"all": Decimal(volume)}, clients={"all": clients}).tier == tier


@pytest.mark.parametrize(
    ("spot", "contracts", "tier"),
    [
        (("0", 0), ("0", 0), "T1"),
        (("10", 5), ("0", 0), "T2"),
        (("0", 0), ("100", 5), "T2"),
        (("10", 5), ("5000", 10), "T3"),
        (("1000", 4), ("99", 10), "T1"),  # volume of one group and clients of the other do not add up
    ],
)
def test_where_groups_count_apart_the_higher_tier_of_the_two_counts(
    spot: tuple[str, int], contracts: tuple[str, int], tier: str
) -> None:
    volume = {"all": Decimal(0), "spot": Decimal(spot[0]), "contracts": Decimal(contracts[0])}
    clients = {"all": 0, "spot": spot[1], "contracts": contracts[1]}
    assert tier_reached(APART, volume=volume, clients=clients).tier == tier


def test_who_meets_no_threshold_at_all_has_the_lowest_tier() -> None:
    found = tier_reached(rising(("10", 1), ("20", 2)), volume={"all": Decimal(3)}, clients={"all": 9})
    assert (found.tier, found.next_tier) == ("T1", "T2")


def test_the_gap_is_what_is_missing_to_the_next_tier() -> None:
    found = tier_reached(THREE, volume={"all": Decimal("1000.5")}, clients={"all": 7})
    assert found.next_tier == "T3"
    assert {group: (gap.volume_usdt, gap.clients) for group, gap in found.gaps.items()} == {
        "all": (Decimal("3999.5"), 0)
    }


def test_the_gap_is_told_for_each_group_and_one_of_them_is_enough() -> None:
    volume = {"spot": Decimal(10), "contracts": Decimal(6000)}
    found = tier_reached(APART, volume=volume, clients={"spot": 5, "contracts": 2})
    assert (found.tier, found.next_tier) == ("T2", "T3")
    assert {group: (gap.volume_usdt, gap.clients) for group, gap in found.gaps.items()} == {
        "spot": (Decimal(990), 5),
        "contracts": (Decimal(0), 8),
    }


def test_at_the_highest_tier_there_is_no_gap() -> None:
    found = tier_reached(THREE, volume={"all": Decimal(9000)}, clients={"all": 9})
    assert (found.next_tier, found.gaps) == (None, {})


FIGURES = st.sampled_from([Decimal(n) for n in (0, 1, 2, 3, 5, 8)])


@st.composite
def programs(draw: st.DrawFn) -> tuple[Terms, dict[str, Decimal], dict[str, int]]:
    """Terms whose tiers rise, and figures that lie on a threshold, just above it or just below it."""
    groups = draw(st.sampled_from([("all",), ("spot", "contracts")]))
    asked = {group: Threshold(draw(FIGURES), draw(st.integers(0, 3))) for group in groups}
    tiers = [asked]
    for _ in range(draw(st.integers(0, 4))):
        steps = {group: (draw(FIGURES), draw(st.integers(0, 2))) for group in groups}
        if not any(volume or clients for volume, clients in steps.values()):
            steps[groups[0]] = (SMALLEST, 0)
        asked = {
            group: Threshold(one.volume + steps[group][0], one.clients + steps[group][1])
            for group, one in asked.items()
        }
        tiers.append(asked)
    near = st.sampled_from([Decimal(0), SMALLEST, -SMALLEST])
    volume = {group: abs(draw(st.sampled_from(tiers))[group].volume + draw(near)) for group in groups}
    clients = {group: draw(st.sampled_from(tiers))[group].clients + draw(st.integers(0, 1)) for group in groups}
    return terms(*tiers), volume, clients


def walked_up(program: Terms, group: str, volume: Decimal, clients: int) -> int:
    """The obvious way: up the ladder, rung by rung, as long as the next one holds."""
    rung = 0
    while rung + 1 < len(program.tiers):
        following = program.tiers[rung + 1]
        if volume < following.min_volume[group] or clients < following.min_clients[group]:
            break
        rung += 1
    return rung


@given(programs())
def test_it_is_the_tier_that_is_found_by_walking_up_from_the_lowest(
    drawn: tuple[Terms, dict[str, Decimal], dict[str, int]],
) -> None:
    program, volume, clients = drawn
    found = tier_reached(program, volume=volume, clients=clients)
    rung = max(walked_up(program, group, volume[group], clients[group]) for group in volume)
    assert found.tier == program.tiers[rung].name
    assert found.next_tier == (program.tiers[rung + 1].name if rung + 1 < len(program.tiers) else None)


@given(programs())
def test_with_the_gap_of_one_group_made_good_the_next_tier_is_reached(
    drawn: tuple[Terms, dict[str, Decimal], dict[str, int]],
) -> None:
    program, volume, clients = drawn
    found = tier_reached(program, volume=volume, clients=clients)
    for group, gap in found.gaps.items():
        made_good = {**volume, group: volume[group] + gap.volume_usdt}, {**clients, group: clients[group] + gap.clients}
        reached = tier_reached(program, volume=made_good[0], clients=made_good[1]).tier
        assert _rank(program, reached) > _rank(program, found.tier)


def _rank(program: Terms, name: str) -> int:
    return [tier.name for tier in program.tiers].index(name)


FIRSTS: Sequence[tuple[str, str, str]] = [
    ("2026-03-01", "2026-01-30", "2026-02-01"),  # after 28 days
    ("2028-03-01", "2028-01-31", "2028-02-01"),  # after 29
    ("2026-05-01", "2026-04-01", "2026-04-01"),  # after 30
    ("2026-11-01", "2026-10-02", "2026-10-01"),  # after 31
    ("2027-01-01", "2026-12-02", "2026-12-01"),
]


@pytest.mark.parametrize(("effective", "rolling", "month"), FIRSTS)
def test_the_period_is_the_30_days_or_the_calendar_month_before(effective: str, rolling: str, month: str) -> None:
    at, by_days, by_month = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (effective, rolling, month))
    asked = {"all": Threshold(Decimal(0), 0)}
    assert period_of(terms(asked), at) == (by_days, at)
    assert period_of(terms(asked, window="calendar_month"), at) == (by_month, at)
    assert (month_before(at), month_after(by_month), month_of(at - timedelta(microseconds=1))) == (
        by_month,
        at,
        by_month,
    )


def test_every_product_belongs_to_one_of_the_two_groups() -> None:
    assert set(GROUP_OF) == set(PRODUCT_OF.values())
    assert set(GROUP_OF.values()) == {"spot", "contracts"}
