"""Every fault of a document at once, gaps and overlaps in its tiers, and what stands is read as it is."""

from __future__ import annotations

import pytest

from settlement.errors import InputRefused
from settlement.program.terms import faults_of, parse_new_terms, parse_terms
from tests.program.test_terms import GOOD

PER_GROUP = GOOD.replace('groups = "all"', 'groups = "max_of_spot_and_contracts"')


def faults(document: str) -> list[str]:
    return [f"{fault.where}: {fault.what}" for fault in faults_of(document, source="terms.toml")]


def test_a_good_document_has_no_faults() -> None:
    assert faults(GOOD) == []
    assert faults(PER_GROUP) == []


def test_every_fault_is_found_at_once_in_the_order_of_the_lines() -> None:
    document = (
        GOOD.replace('entry_tier = "basic"', 'entry_tier = "gold"')
        .replace("max_vip = 4", "max_vp = 4")
        .replace('["msa", "maker"]', '"msa"')
        .replace("max_age_seconds = 1800", "max_age_seconds = 0")
        .replace('minimum = "5.5"\n', "")
        .replace('quantum = "0.01"', 'quantum = "0"')
        .replace('spot = "0.25"', 'spot = "1.25"')
        .replace('taker = "0.28"', "taker = 0.28")
        .replace('name = "plus"', 'name = "basic"')
    )
    assert faults(document) == [
        "terms.toml line 3: entry_tier 'gold' is not a tier",
        "terms.toml line 6: unknown key 'max_vp' in eligibility",
        'terms.toml line 7: excluded_account_classes "msa" is not a list of texts',
        "terms.toml line 11: max_age_seconds 0 is not a whole number from 1 to 2678400",
        "terms.toml line 18: 'minimum' is missing in payout",
        "terms.toml line 19: quantum is 0",
        "terms.toml line 27: rate spot 1.25 is above 1",
        "terms.toml line 30: two tiers are named 'basic'",
        "terms.toml line 33: taker 0.28 is a float",
    ]
    with pytest.raises(InputRefused):
        parse_terms(document, source="terms.toml")


def test_one_fault_does_not_bring_others_after_it() -> None:
    assert faults(GOOD.replace('min_volume = "1000000.50"', 'min_volume = "much"')) == [
        'terms.toml line 32: min_volume "much" is not a decimal of 0 or more'
    ]
    assert faults(GOOD.replace('rates = { spot = "0.3", futures', 'rates = { spt = "0.3", futures')) == [
        "terms.toml line 34: unknown key 'spt' in tiers.rates"
    ]
    assert faults(GOOD.replace('name = "basic"', "name = 1")) == ["terms.toml line 25: name 1 is not a text"]
    assert faults(GOOD.partition("[payout]")[0] + "[[tiers]]" + GOOD.partition("[[tiers]]")[2]) == [
        f"terms.toml line 1: {key!r} is missing in payout"
        for key in ("quantum", "minimum", "auto_approve_limit", "hold_hours")
    ]


def test_what_is_no_toml_is_one_fault() -> None:
    (fault,) = faults(GOOD.replace("[review]", "[review"))
    assert fault.startswith("terms.toml line 13: not TOML")


LADDERS = [
    # what is written instead of what, the line, and what is told
    (GOOD, 'min_volume = "0"', 'min_volume = "5000"', 26, "min_volume of the lowest tier basic is 5000: below it is a gap without a tier"),
    (GOOD, "min_clients = 0", "min_clients = 2", 27, "min_clients of the lowest tier basic is 2: below it is a gap without a tier"),
    (PER_GROUP, 'min_volume = "0"', 'min_volume = { spot = "0", contracts = "7" }', 26, "min_volume of the lowest tier basic in contracts is 7: below it is a gap without a tier"),
    (GOOD, 'min_volume = "1000000.50"\nmin_clients = 3', 'min_volume = "0"\nmin_clients = 0', 32, "tier plus asks for no more than tier basic: the two overlap"),
    (PER_GROUP, 'min_volume = "1000000.50"\nmin_clients = 3', 'min_volume = { spot = "9", contracts = "0" }\nmin_clients = { spot = 3, contracts = 0 }', 32, "tiers basic and plus overlap in contracts: both ask for 0 and 0 clients"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "good", "bad", "line", "told"), LADDERS, ids=[row[4][:50] for row in LADDERS])
def test_a_gap_or_an_overlap_in_the_tiers_is_refused_with_its_line_and_the_mend(
    document: str, good: str, bad: str, line: int, told: str
) -> None:
    assert good in document
    assert faults(document.replace(good, bad, 1)) == [f"terms.toml line {line}: {told}"]
    with pytest.raises(InputRefused) as refusal:
        parse_new_terms(document.replace(good, bad, 1), source="terms.toml")
    assert refusal.value.mend


def test_terms_that_stand_with_a_gap_are_read_as_they_are() -> None:
    document = GOOD.replace('min_volume = "0"', 'min_volume = "5000"')
    assert parse_terms(document, source="terms 1", terms_id=1).tiers[0].min_volume == {"all": 5000}
