"""Two versions of the terms in words: every difference is a sentence, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.program.terms import parse_new_terms
from settlement.program.terms_diff import differences
from settlement.rules.facts import CapTerms, Terms
from tests.program.test_terms import GOOD
from tests.rules.drawn_worlds import terms_versions

CAP = CapTerms(monthly_usdt=Decimal(500), vip_levels=frozenset({5, 6}))


def parsed(*changes: tuple[str, str]) -> Terms:
    document = GOOD
    for before, after in changes:
        assert before in document
        document = document.replace(before, after)
    return parse_new_terms(document, source="terms.toml")


def says(before: Terms, after: Terms) -> list[str]:
    return [difference.says for difference in differences(before, after)]


TERMS = parsed()


def test_the_same_terms_with_another_number_layout_and_zeros_do_not_differ() -> None:
    assert says(TERMS, replace(parsed(('"0.25"', '"0.250"'), ("[payout]", "# ours\n[payout]")), terms_id=9)) == []


WORDS = [
    ({"name": "summer"}, "name spring -> summer"),
    ({"effective_from": TERMS.effective_from.replace(month=6)}, "in force from 2026-03-01T00:00:00Z -> 2026-06-01T00:00:00Z"),
    ({"entry_tier": "plus"}, "entry tier basic -> plus"),
    ({"max_vip": 5}, "VIP 5 now earns"),
    ({"max_vip": 7}, "VIP 5 to 7 now earn"),
    ({"max_vip": 3}, "VIP 4 no longer earns"),
    ({"max_vip": 1}, "VIP 2 to 4 no longer earn"),
    ({"excluded_account_classes": frozenset({"msa"})}, "accounts of class maker now earn"),
    ({"excluded_account_classes": frozenset({"msa", "maker", "desk"})}, "accounts of class desk no longer earn"),
    ({"fee_discount": "exclude"}, "a fill with a fee discount: earns on what is left of its fee -> is excluded"),
    ({"max_age_seconds": 60}, "oldest price 1800 s -> 60 s"),
    ({"volume_window": "rolling_30d"}, "volume of a review: the calendar month before -> the trailing 30 days"),
    ({"acquisition": "new_clients"}, "clients of a review: active clients -> new clients"),
    ({"groups": "max_of_spot_and_contracts"}, "tier by: all products together -> the higher of spot and contracts"),
    ({"payout": replace(TERMS.payout, minimum=Decimal(7))}, "smallest payout 5.5 USDT -> 7 USDT"),
    ({"payout": replace(TERMS.payout, quantum=Decimal("0.000001"))}, "payouts in multiples of 0.01 USDT -> 0.000001 USDT"),
    ({"payout": replace(TERMS.payout, auto_approve_limit=Decimal(0))}, "approved at once up to 1000 USDT -> 0 USDT"),
    ({"payout": replace(TERMS.payout, hold_hours=0)}, "earnings held for 24 h -> 0 h"),
    ({"cap": CAP}, "client cap of 500 USDT a month for VIP 5, 6 is new"),
    ({"tiers": TERMS.tiers[:1]}, "tier plus is gone"),
    ({"tiers": TERMS.tiers[::-1]}, "order of the tiers basic, plus -> plus, basic"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "told"), WORDS, ids=[told for _, told in WORDS])
def test_a_difference_is_one_sentence(change: dict[str, Any], told: str) -> None:
    assert says(TERMS, replace(TERMS, **change)) == [told]


def test_a_cap_that_changes_or_goes_is_told() -> None:
    capped = replace(TERMS, cap=CAP)
    assert says(capped, TERMS) == ["client cap of 500 USDT a month for VIP 5, 6 is gone"]
    other = CapTerms(monthly_usdt=Decimal("600.50"), vip_levels=frozenset({6}))
    assert says(capped, replace(TERMS, cap=other)) == [
        "client cap a month 500 USDT -> 600.5 USDT", "client cap for VIP 5, 6 -> 6",
    ]  # fmt: skip


RATES = [
    ('spot = "0.25"', 'spot = "0.27"', ["tier basic: spot rate 25 % -> 27 %"]),
    ('spot = "0.25"', 'spot = { maker = "0.25", taker = "0.27" }', ["tier basic: spot taker rate 25 % -> 27 %"]),
    (
        'spot = "0.25"',
        'spot = { maker = "0.25", taker = "0.25", affiliated_maker = "0.05", affiliated_taker = "0.05" }',
        ["tier basic: spot rate (affiliated) 25 % -> 5 %"],
    ),
    ('taker = "0.23"', 'taker = "0.24"', ["tier basic: futures taker rate (not affiliated) 23 % -> 24 %"]),
    ('maker = "0.2",', 'maker = "0.333333",', ["tier basic: futures maker rate 20 % -> 33.3333 %"]),
    ('min_volume = "1000000.50"', 'min_volume = "2000000"', ["tier plus: volume 1000000.5 -> 2000000"]),
    ("min_clients = 3", "min_clients = 4", ["tier plus: clients 3 -> 4"]),
]


@pytest.mark.parametrize(("good", "other", "told"), RATES, ids=[row[2][0] for row in RATES])
def test_rates_and_thresholds_are_told_tier_by_tier_in_as_few_sentences_as_say_it(
    good: str, other: str, told: list[str]
) -> None:
    assert says(TERMS, parsed((good, other))) == told


def test_a_new_tier_tells_what_it_asks_for_and_gives() -> None:
    tier = '\n[[tiers]]\nname = "top"\nmin_volume = "5000000"\nmin_clients = 9\nrates = { spot = "0.4", futures = "0.3" }\n'
    longer = parse_new_terms(GOOD + tier, source="terms.toml")
    assert says(TERMS, longer) == [
        "tier top is new: from 5000000 USDT and 9 clients; spot rate 40 %, futures rate 30 %"
    ]


def test_a_product_that_is_rated_or_no_longer_is_told_for_each_tier() -> None:
    wider = parsed(
        ('spot = "0.25"', 'options = "0.1", spot = "0.25"'), ('spot = "0.3"', 'options = "0.2", spot = "0.3"')
    )
    assert says(TERMS, wider) == ["tier basic: options rate none -> 10 %", "tier plus: options rate none -> 20 %"]
    assert says(wider, TERMS) == ["tier basic: options rate 10 % -> none", "tier plus: options rate 20 % -> none"]


def test_a_difference_names_its_place_and_both_values() -> None:
    (difference,) = differences(TERMS, parsed(('spot = "0.25"', 'spot = "0.27"')))
    assert (difference.key, difference.before, difference.after) == ("tiers.basic.rates.spot", "0.25", "0.27")


@given(drawn=st.lists(terms_versions().filter(bool), min_size=2, max_size=2))
def test_there_are_sentences_exactly_where_terms_differ(drawn: list[tuple[Terms, ...]]) -> None:
    one, other = (replace(versions[0], terms_id=0) for versions in drawn)
    assert bool(differences(one, other)) == (one != other)
    assert differences(one, replace(one, terms_id=5)) == []
