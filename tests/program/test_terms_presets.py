"""Documents that ship: what they state, and what has to be said before one that leaves something open is complete."""

from __future__ import annotations

from decimal import Decimal

import pytest

from settlement.errors import InputRefused
from settlement.program.terms import faults_of, parse_new_terms
from settlement.program.terms_diff import differences
from settlement.program.terms_presets import as_shipped, completed, headline, open_keys, preset_names
from settlement.rules.facts import CapTerms, Terms

OPEN = {"okx-2026": {"cap.monthly_usdt": "500"}}


def preset(name: str) -> Terms:
    return parse_new_terms(completed(name, OPEN.get(name, {})), source=name)


def test_three_documents_ship() -> None:
    assert preset_names() == ["guide", "okx-2022", "okx-2026"]
    assert [preset(name).name for name in preset_names()] == preset_names()
    guide, okx = preset("guide"), preset("okx-2022")
    assert (guide.max_vip, guide.fee_discount, guide.volume_window, guide.acquisition, guide.groups) == (
        5, "exclude", "rolling_30d", "new_clients", "all",
    )  # fmt: skip
    assert (okx.volume_window, okx.acquisition, okx.groups) == (
        "calendar_month", "active_clients", "max_of_spot_and_contracts",
    )  # fmt: skip
    taker = [(tier.rates["spot", "taker", False], tier.rates["spot", "taker", True]) for tier in okx.tiers[1:]]
    assert taker == [
        (Decimal("0.25"), Decimal("0.05")),
        (Decimal("0.3"), Decimal("0.075")),
        (Decimal("0.35"), Decimal("0.1")),
        (Decimal("0.4"), Decimal("0.125")),
    ]


def test_okx_2026_pays_for_vip_5_and_6_up_to_a_cap_and_not_for_msa_accounts() -> None:
    terms = preset("okx-2026")
    assert terms.cap == CapTerms(monthly_usdt=Decimal(500), vip_levels=frozenset({5, 6}))
    assert (terms.max_vip, terms.excluded_account_classes, terms.fee_discount) == (6, {"msa"}, "net")
    assert {difference.key for difference in differences(preset("okx-2022"), terms)} == {
        "name", "effective_from", "eligibility.max_vip", "eligibility.excluded_account_classes", "cap",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["guide", "okx-2022", "okx-2026"])
def test_every_document_names_its_sources_before_anything_else(name: str) -> None:
    document = as_shipped(name)
    assert headline(document)
    comment = document.partition("\nname = ")[0]
    assert "source" in comment.lower() or "from the guide" in comment.lower()


def test_a_value_that_nobody_publishes_has_to_be_said() -> None:
    assert open_keys(as_shipped("okx-2026")) == ["cap.monthly_usdt"]
    assert open_keys(as_shipped("guide")) == []
    with pytest.raises(InputRefused) as refusal:
        completed("okx-2026", {})
    assert str(refusal.value) == (
        "okx-2026: cap.monthly_usdt is not set, and nobody publishes it; settlement terms preset okx-2026"
        " --set cap.monthly_usdt=VALUE -o FILE writes a complete document"
    )


def test_what_is_set_stands_in_the_place_of_what_ships_and_nothing_else_changes() -> None:
    shipped, said = (
        as_shipped("okx-2026").splitlines(),
        completed("okx-2026", {"cap.monthly_usdt": "1234.5"}).splitlines(),
    )
    changed = [(before, after) for before, after in zip(shipped, said, strict=True) if before != after]
    assert len(changed) == 1
    assert changed[0][1].startswith('monthly_usdt = "1234.5"       # commission per client account')
    guide = completed("guide", {"effective_from": "2026-10-01T00:00:00Z", "eligibility.max_vip": "3", "name": "ours"})
    terms = parse_new_terms(guide, source="guide")
    assert (terms.name, terms.effective_from.year, terms.max_vip) == ("ours", 2026, 3)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        (
            "cap.monthly",
            "5",
            "there is no single value 'cap.monthly' to set; those that may be set are name, effective_from",
        ),
        ("cap.vip_levels", "[5]", "there is no single value 'cap.vip_levels' to set"),
        ("tiers", "x", "there is no single value 'tiers' to set"),
        ("cap", "5", "there is no single value 'cap' to set"),
        ("name", 'a"\nmax_vip = 9', "give a value without quotes"),
        ("name", "", "name cannot be set to ''"),
    ],
)
def test_what_cannot_be_set_is_refused(key: str, value: str, told: str) -> None:
    with pytest.raises(InputRefused) as refusal:
        completed("okx-2026", {"cap.monthly_usdt": "500", key: value})
    assert told in str(refusal.value)


def test_a_value_that_is_set_is_judged_as_one_that_was_written() -> None:
    (fault,) = faults_of(completed("okx-2026", {"cap.monthly_usdt": "lots"}), source="okx-2026")
    assert 'monthly_usdt "lots" is not a decimal of 0 or more' in str(fault)


def test_an_unknown_preset_names_those_that_ship() -> None:
    with pytest.raises(InputRefused, match="no such preset; those that ship are guide, okx-2022, okx-2026"):
        completed("okx", {})
