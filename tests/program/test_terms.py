"""Program terms: what a document may say, and the line and the mend when it may not."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from settlement.errors import InputRefused
from settlement.pipeline.load_terms import read_document
from settlement.program.terms import parse_terms
from settlement.rules.facts import CapTerms, Terms

GOOD = """\
name = "spring"
effective_from = 2026-03-01T00:00:00Z
entry_tier = "basic"

[eligibility]
max_vip = 4
excluded_account_classes = ["msa", "maker"]
fee_discount = "net"

[pricing]
max_age_seconds = 1800

[review]
volume_window = "calendar_month"
acquisition = "active_clients"
groups = "all"

[payout]
minimum = "5.5"
quantum = "0.01"
auto_approve_limit = 1000
hold_hours = 24

[[tiers]]
name = "basic"
min_volume = "0"
min_clients = 0
rates = { spot = "0.25", futures = { maker = "0.2", taker = "0.23", affiliated_taker = "0.05" } }

[[tiers]]
name = "plus"
min_volume = "1000000.50"
min_clients = 3
rates = { spot = "0.3", futures = { maker = "0.25", taker = "0.28", affiliated_taker = "0.05" } }
"""


def parsed(document: str) -> Terms:
    return parse_terms(document, source="terms.toml", terms_id=7)


def test_a_document_is_read_whole() -> None:
    terms = parsed(GOOD)
    assert (terms.terms_id, terms.name, terms.entry_tier, terms.max_vip) == (7, "spring", "basic", 4)
    assert terms.effective_from == datetime(2026, 3, 1, tzinfo=UTC)
    assert terms.excluded_account_classes == {"msa", "maker"}
    assert (terms.fee_discount, terms.max_age_seconds) == ("net", 1800)
    assert (terms.volume_window, terms.acquisition, terms.groups) == ("calendar_month", "active_clients", "all")
    assert (terms.payout.minimum, terms.payout.quantum) == (Decimal("5.5"), Decimal("0.01"))
    assert (terms.payout.auto_approve_limit, terms.payout.hold_hours) == (Decimal(1000), 24)
    assert [tier.name for tier in terms.tiers] == ["basic", "plus"]
    assert terms.tiers[1].min_volume == {"all": Decimal("1000000.50")}
    assert terms.tiers[1].min_clients == {"all": 3}


def test_a_flat_rate_holds_for_everybody_and_a_missing_affiliated_rate_is_the_plain_one() -> None:
    rates = parsed(GOOD).tiers[0].rates
    assert {
        rates["spot", liquidity, affiliated] for liquidity in ("maker", "taker") for affiliated in (True, False)
    } == {Decimal("0.25")}
    assert rates["futures", "maker", True] == Decimal("0.2")
    assert rates["futures", "taker", False] == Decimal("0.23")
    assert rates["futures", "taker", True] == Decimal("0.05")


def test_what_may_be_left_out_is_what_the_guide_says() -> None:
    start, _, rest = GOOD.partition("[eligibility]")
    terms = parsed(start + "[payout]" + rest.partition("[payout]")[2])
    assert (terms.max_vip, terms.excluded_account_classes, terms.fee_discount) == (5, frozenset(), "exclude")
    assert terms.max_age_seconds == 3600
    assert (terms.volume_window, terms.acquisition, terms.groups) == ("rolling_30d", "new_clients", "all")


def test_a_cap_is_an_amount_a_month_and_the_levels_it_holds_for() -> None:
    assert parsed(GOOD).cap is None
    capped = parsed(GOOD.replace("[pricing]", '[cap]\nmonthly_usdt = "500.5"\nvip_levels = [4, 3]\n[pricing]')).cap
    assert capped == CapTerms(monthly_usdt=Decimal("500.5"), vip_levels=frozenset({3, 4}))


@pytest.mark.parametrize(
    "written", ["2026-03-01T01:30:00+01:30", '"2026-03-01T00:00:00Z"', '"2026-02-28T19:00:00-05:00"']
)
def test_an_instant_may_be_a_toml_time_or_a_text_with_any_offset(written: str) -> None:
    assert parsed(GOOD.replace("2026-03-01T00:00:00Z", written)).effective_from == datetime(2026, 3, 1, tzinfo=UTC)


def test_thresholds_per_group_are_for_the_maximum_of_groups() -> None:
    document = GOOD.replace('groups = "all"', 'groups = "max_of_spot_and_contracts"')
    document = document.replace('"1000000.50"', '{ spot = "10", contracts = 20 }')
    plus = parsed(document).tiers[1]
    assert plus.min_volume == {"spot": Decimal(10), "contracts": Decimal(20)}
    assert plus.min_clients == {"spot": 3, "contracts": 3}


REFUSED = [
    # what is written instead of what, the line, and what the refusal says
    ('spot = "0.25"', "spot = 0.25", 28, 'spot 0.25 is a float; write it as a string: spot = "0.25"'),
    ('spot = "0.25"', 'spot = "1.01"', 28, "above 1"),
    ('spot = "0.25"', "spot = 2", 28, "above 1"),
    ('spot = "0.25"', 'spot = "-0.1"', 28, "not a decimal of 0 or more"),
    ('spot = "0.25"', 'spot = "NaN"', 28, "not a decimal of 0 or more"),
    ('spot = "0.25"', 'spot = "25%"', 28, "not a decimal of 0 or more"),
    ('spot = "0.25"', "spot = true", 28, "not a decimal of 0 or more"),
    ('spot = "0.25"', 'spot = "0.1234567"', 28, "more than 6 decimals"),
    ('spot = "0.3"', 'spott = "0.3"', 34, "unknown key 'spott' in tiers.rates; did you mean 'spot'?"),
    ('spot = "0.3", ', "", 34, "tier plus rates other products than tier basic"),
    ('maker = "0.25", ', "", 34, "'maker' is missing in tiers.rates.futures"),
    ('affiliated_taker = "0.05" } }\n\n', 'affiliate_taker = "0.05" } }\n\n', 28, "did you mean 'affiliated_taker'?"),
    ('entry_tier = "basic"', 'entry_tier = "gold"', 3, "entry_tier 'gold' is not a tier; write one of basic, plus"),
    ('name = "plus"', 'name = "basic"', 31, "two tiers are named 'basic'"),
    ("min_clients = 3", "min_clients = 3.0", 33, "not a whole number"),
    ("min_clients = 3", "min_clients = -1", 33, "not a whole number"),
    ('min_volume = "0"', "min_volume = 0.5", 26, 'min_volume 0.5 is a float; write it as a string: min_volume = "0.5"'),
    ('min_volume = "0"', 'min_volume = "2000000"', 32, "min_volume of tier plus is below that of tier basic"),
    ('"1000000.50"\nmin_clients = 3', '"0"\nmin_clients = 0', 32, "tier plus asks for no more than tier basic"),
    ('"1000000.50"', '{ spot = "1", contracts = "2" }', 32, 'min_volume is per group while review.groups is "all"'),
    ("max_vip", "max_vp", 6, "unknown key 'max_vp' in eligibility; did you mean 'max_vip'?"),
    ("max_vip = 4", "max_vip = true", 6, "not a whole number"),
    ('["msa", "maker"]', '"msa"', 7, "not a list of texts"),
    ('fee_discount = "net"', 'fee_discount = "drop"', 8, "write one of exclude, net"),
    ("max_age_seconds = 1800", "max_age_seconds = 0", 11, "not a whole number from 1"),
    ('quantum = "0.01"', 'quantum = "0"', 20, "quantum is 0"),
    ('quantum = "0.01"', 'quantum = "0.0000000000001"', 20, "more than 12 decimals"),
    ('minimum = "5.5"\n', "", 18, "'minimum' is missing in payout"),
    ("[payout]", "[payouts]", 18, "unknown key 'payouts'; did you mean 'payout'?"),
    ("2026-03-01T00:00:00Z", "2026-03-01T00:00:00", 2, "not a time with a zone"),
    ("2026-03-01T00:00:00Z", "2026-03-01", 2, "not a time with a zone"),
    ("2026-03-01T00:00:00Z", '"yesterday"', 2, "not a time with a zone"),
    ('name = "spring"', 'name = ""', 1, "not a text"),
    ("[review]", "[review", 13, "not TOML"),
    ("hold_hours = 24", "hold_hours = 24\nhold_hours = 25", 23, "not TOML"),
    ("[pricing]", "[cap]\n[pricing]", 10, "'monthly_usdt' is missing in cap"),
    ("[pricing]", '[cap]\nmonthly_usdt = "0"\nvip_levels = [4]\n[pricing]', 11, "monthly_usdt is 0"),
    ("[pricing]", "[cap]\nmonthly_usdt = 0.5\nvip_levels = [4]\n[pricing]", 11, "monthly_usdt 0.5 is a float"),
    ("[pricing]", '[cap]\nmonthly_usdt = "1.0000000000001"\nvip_levels = [4]\n[pricing]', 11, "more than 12 decimals"),
    ("[pricing]", "[cap]\nmonthly_usdt = 5\n[pricing]", 10, "'vip_levels' is missing in cap"),
    ("[pricing]", "[cap]\nmonthly_usdt = 5\nvip_levels = []\n[pricing]", 12, "vip_levels [] is not a list of whole numbers"),
    ("[pricing]", '[cap]\nmonthly_usdt = 5\nvip_levels = ["VIP4"]\n[pricing]', 12, "is not a list of whole numbers"),
    ("[pricing]", "[cap]\nmonthly_usdt = 5\nvip_levels = [4, 3, 4]\n[pricing]", 12, "vip_levels names 4 twice"),
    ("[pricing]", "[cap]\nmonthly_usdt = 5\nvip_levels = [4, 5, 6]\n[pricing]", 12, "VIP 5, 6 is capped but earns nothing: eligibility.max_vip is 4; take it out, or write max_vip = 6"),
    ("[pricing]", "[cap]\nmonthly_usdt = 5\nvip_level = [4]\n[pricing]", 12, "unknown key 'vip_level' in cap; did you mean 'vip_levels'?"),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "line", "told"), REFUSED, ids=[row[1][:30] for row in REFUSED])
def test_a_faulty_document_is_refused_with_its_line_and_the_mend(good: str, bad: str, line: int, told: str) -> None:
    assert good in GOOD
    with pytest.raises(InputRefused) as refusal:
        parsed(GOOD.replace(good, bad, 1))
    assert refusal.value.where == f"terms.toml line {line}"
    assert told in str(refusal.value)
    assert refusal.value.mend


def test_thresholds_may_be_given_per_group_only_for_both_groups() -> None:
    document = GOOD.replace('groups = "all"', 'groups = "max_of_spot_and_contracts"')
    with pytest.raises(InputRefused, match=r"line 32: 'contracts' is missing in tiers.min_volume"):
        parsed(document.replace('"1000000.50"', '{ spot = "10" }'))


def test_a_threshold_that_falls_in_one_group_is_refused() -> None:
    document = GOOD.replace('groups = "all"', 'groups = "max_of_spot_and_contracts"')
    document = document.replace('min_volume = "0"', 'min_volume = { spot = "5", contracts = "0" }')
    with pytest.raises(InputRefused, match="min_volume of tier plus is below"):
        parsed(document.replace('"1000000.50"', '{ spot = "4", contracts = "9" }'))


def test_a_line_is_found_in_tables_of_their_own_and_past_texts_of_many_lines() -> None:
    document = GOOD.replace(
        'rates = { spot = "0.3", futures = { maker = "0.25", taker = "0.28", affiliated_taker = "0.05" } }',
        '[tiers.rates]\nspot = "0.3"\n[tiers.rates.futures]\nmaker = "0.25"\ntaker = 0.28',
    )
    with pytest.raises(InputRefused, match=r"line 38: taker 0\.28 is a float"):
        parsed(document)
    with pytest.raises(InputRefused, match=r"line 4: entry_tier 'x' is not a tier"):
        parsed(
            GOOD.replace('"spring"', '"""spring\nentry_tier = 1"""').replace('entry_tier = "basic"', 'entry_tier = "x"')
        )


@pytest.mark.parametrize("document", ["", "\x00", "tiers = []", "a = " + "[" * 5000])
def test_what_is_no_document_at_all_is_refused(document: str) -> None:
    with pytest.raises(InputRefused, match=r"terms\.toml line 1: "):
        parsed(document)


def test_a_file_that_is_not_there_names_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="guide, okx-2022, okx-2026"):
        read_document(str(tmp_path / "none.toml"))


def test_a_file_that_is_not_text_or_far_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "terms.toml"
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(InputRefused, match="not UTF-8"):
        read_document(str(path))
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(InputRefused, match="larger than 1 MiB"):
        read_document(str(path))


@pytest.mark.shared
@pytest.mark.parametrize("name", ["terms-1.toml", "terms-2.toml"])
def test_the_worked_examples_terms_are_read(shared_dir: Path, name: str) -> None:
    path = shared_dir / "examples/worked" / name
    terms = parse_terms(path.read_text(), source=name)
    assert [tier.name for tier in terms.tiers] == ["T1", "T2", "T3"]
    assert terms.tiers[0].rates["futures", "taker", True] == Decimal("0.075")
