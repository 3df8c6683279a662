"""The tiers of program terms: thresholds that rise, and the rates of each.

1. Tiers strictly increase: no threshold is lower than the same one of the tier before, and at least one is higher.
2. A rate lies in 0..1 and has at most 6 decimals. A flat rate holds for maker and taker, affiliated or not; a table has
   both maker and taker, and what it does not say of affiliated clients is the plain rate.
3. Every tier rates the same products.
4. Thresholds per group, `{ spot = ..., contracts = ... }`, are for `groups = "max_of_spot_and_contracts"` only; there a
   single figure holds for each of the two groups.
5. New terms leave no gap: the lowest tier asks for nothing, so that every broker has a tier. And no two tiers overlap:
   where each group is a ladder of its own, they strictly increase in each, or whoever reaches one there has the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import TypeVar

from settlement.program.toml_document import Section
from settlement.rules.facts import ALL, RateKey, Tier
from settlement.rules.products import PRODUCTS

MAX_OF_GROUPS = "max_of_spot_and_contracts"
GROUPS = ("spot", "contracts")

RATE_DECIMALS = 6
CLIENTS_LIMIT = 1_000_000_000

_THRESHOLDS = ("min_volume", "min_clients")
_RATE_KEYS = ("maker", "taker", "affiliated_maker", "affiliated_taker")

Threshold = TypeVar("Threshold", int, Decimal)


def read_tiers(root: Section, *, groups: str) -> tuple[Tier, ...]:
    """The tiers of a document, the lowest first; what is wrong with them is noted."""
    sections = root.sections("tiers")
    tiers = [_tier(section, groups=groups) for section in sections]
    for position in range(1, len(tiers)):
        _check_follows(sections[position], tiers[position], before=tiers[:position], sections=sections)
    return tuple(tiers)


def check_ladder(root: Section, tiers: Sequence[Tier]) -> None:
    """Notes gaps and overlaps, rule 5, in tiers that keep the others."""
    if not tiers or not root.is_sound("tiers"):
        return
    sections = root.sections("tiers")
    for key in _THRESHOLDS:
        for group, figure in _figures(tiers[0], key).items():
            if figure > 0:
                what = f"{key} of the lowest tier {tiers[0].name}{_in(group)} is {Decimal(figure):f}: below it is a gap without a tier"
                sections[0].fault(what, mend="let the lowest tier begin at 0, or put one below it that does", key=key)
    for (_, lower), (section, tier) in pairwise(zip(sections, tiers, strict=True)):
        for group in tier.min_volume:
            if all(_figures(tier, key)[group] == _figures(lower, key)[group] for key in _THRESHOLDS):
                volume, clients = tier.min_volume[group], tier.min_clients[group]
                what = f"tiers {lower.name} and {tier.name} overlap{_in(group)}: both ask for {volume:f} and {clients} clients"
                mend = f"raise min_volume or min_clients of {tier.name}{_in(group)}"
                section.fault(what, mend=mend, key="min_volume")


def _in(group: str) -> str:
    return "" if group == ALL else f" in {group}"


def _figures(tier: Tier, key: str) -> Mapping[str, int | Decimal]:
    return tier.min_volume if key == "min_volume" else tier.min_clients


def _tier(section: Section, *, groups: str) -> Tier:
    section.allow_only(("name", *_THRESHOLDS, "rates"))
    return Tier(
        name=section.text("name"),
        min_volume=_thresholds(section, "min_volume", groups=groups, read=Section.amount),
        min_clients=_thresholds(section, "min_clients", groups=groups, read=_clients),
        rates=_rates(section),
    )


def _clients(section: Section, key: str) -> int:
    return section.count(key, minimum=0, maximum=CLIENTS_LIMIT)


def _thresholds(
    section: Section, key: str, *, groups: str, read: Callable[[Section, str], Threshold]
) -> dict[str, Threshold]:
    if not isinstance(section.values.get(key), dict):
        figure = read(section, key)
        return {ALL: figure} if groups == ALL else dict.fromkeys(GROUPS, figure)
    if groups == ALL:
        mend = f'write one figure, or review.groups = "{MAX_OF_GROUPS}"'
        section.fault(f'{key} is per group while review.groups is "{ALL}"', mend=mend, key=key)
        return {ALL: read(section, key)}
    table = section.section(key)
    table.allow_only(GROUPS)
    return {group: read(table, group) for group in GROUPS}


def _check_follows(section: Section, tier: Tier, *, before: Sequence[Tier], sections: Sequence[Section]) -> None:
    """Rules 1 and 3 between a tier and those before it, as far as both are sound."""
    if tier.name and tier.name in [other.name for other in before]:
        section.fault(f"two tiers are named {tier.name!r}", mend="give each tier a name of its own", key="name")
    previous, section_before = before[-1], sections[len(before) - 1]
    products, known = _products(tier), _products(previous)
    if products != known and section.is_sound("rates") and section_before.is_sound("rates"):
        mend = f"rate {', '.join(sorted(known))} in every tier"
        section.fault(f"tier {tier.name} rates other products than tier {previous.name}", mend=mend, key="rates")
    if section.is_sound(*_THRESHOLDS) and section_before.is_sound(*_THRESHOLDS):
        _check_increases(section, tier, previous=previous)


def _check_increases(section: Section, tier: Tier, *, previous: Tier) -> None:
    same = True
    for key in _THRESHOLDS:
        now, then = _figures(tier, key), _figures(previous, key)
        if any(now[group] < then[group] for group in now):
            mend = f"order the tiers from the lowest to the highest {key}"
            section.fault(f"{key} of tier {tier.name} is below that of tier {previous.name}", mend=mend, key=key)
        same &= now == then
    if same:
        mend = "raise min_volume or min_clients, so that the tiers strictly increase"
        what = f"tier {tier.name} asks for no more than tier {previous.name}: the two overlap"
        section.fault(what, mend=mend, key="min_volume")


def _products(tier: Tier) -> set[str]:
    return {product for product, _, _ in tier.rates}


def _rates(section: Section) -> Mapping[RateKey, Decimal]:
    table = section.section("rates")
    if not table.values:
        section.fault("rates are missing", mend='write rates = { spot = "0.25", ... }', key="rates")
    table.allow_only(PRODUCTS)
    rates: dict[RateKey, Decimal] = {}
    for product in table.values:
        rates.update(_product_rates(table, product))
    return rates


def _product_rates(table: Section, product: str) -> dict[RateKey, Decimal]:
    if not isinstance(table.values[product], dict):
        flat = _rate(table, product)
        return {
            (product, liquidity, affiliated): flat for liquidity in ("maker", "taker") for affiliated in (False, True)
        }
    by_liquidity = table.section(product)
    by_liquidity.allow_only(_RATE_KEYS)
    rates: dict[RateKey, Decimal] = {}
    for liquidity in ("maker", "taker"):
        rates[product, liquidity, False] = plain = _rate(by_liquidity, liquidity)
        affiliated = f"affiliated_{liquidity}"
        rates[product, liquidity, True] = (
            _rate(by_liquidity, affiliated) if affiliated in by_liquidity.values else plain
        )
    return rates


def _rate(section: Section, key: str) -> Decimal:
    rate = section.amount(key, decimals=RATE_DECIMALS)
    if rate > 1:
        section.fault(f"rate {key} {rate} is above 1", mend='write a part of one: 25 % is "0.25"', key=key)
    return rate
