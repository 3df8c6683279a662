"""Program terms: one versioned document, validated as a whole.

1. A document has a name, the instant from which it is in force, and the tier in which a new broker starts.
2. Tiers strictly increase: no threshold is lower than the same one of the tier before, and at least one is higher.
3. A rate lies in 0..1 and has at most 6 decimals. A flat rate holds for maker and taker, affiliated or not; a table has
   both maker and taker, and what it does not say of affiliated clients is the plain rate.
4. Every tier rates the same products.
5. Thresholds per group, `{ spot = ..., contracts = ... }`, are for `groups = "max_of_spot_and_contracts"` only; there a
   single figure holds for each of the two groups.
6. A document that breaks a rule is refused whole, with the line and the mend. Unknown keys are refused too: a misspelt
   exclusion would otherwise pay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeVar

from settlement.program.toml_document import Section, read_document
from settlement.rules.facts import PayoutTerms, RateKey, Terms, Tier

PRODUCTS = ("spot", "futures", "options", "events")
ALL = "all"
MAX_OF_GROUPS = "max_of_spot_and_contracts"
GROUPS = ("spot", "contracts")

RATE_DECIMALS = 6
LEDGER_DECIMALS = 12
VIP_LIMIT = 99
PRICE_AGE_SECONDS_LIMIT = 31 * 24 * 3600
HOLD_HOURS_LIMIT = 366 * 24
CLIENTS_LIMIT = 1_000_000_000

_KEYS = ("name", "effective_from", "entry_tier", "eligibility", "pricing", "review", "payout", "tiers")
_RATE_KEYS = ("maker", "taker", "affiliated_maker", "affiliated_taker")

Threshold = TypeVar("Threshold", int, Decimal)


def parse_terms(document: str, *, source: str, terms_id: int = 0) -> Terms:
    """The terms that a TOML document states; `source` is what a refusal calls it.

    Raises `InputRefused`, naming the line and the mend, for a document that breaks a rule of this file.
    """
    root = read_document(document, source=source)
    root.allow_only(_KEYS)
    eligibility, pricing, review = root.section("eligibility"), root.section("pricing"), root.section("review")
    eligibility.allow_only(("max_vip", "excluded_account_classes", "fee_discount"))
    pricing.allow_only(("max_age_seconds",))
    review.allow_only(("volume_window", "acquisition", "groups"))
    groups = review.one_of("groups", (ALL, MAX_OF_GROUPS))
    tiers = _tiers(root, groups=groups)
    return Terms(
        terms_id=terms_id,
        name=root.text("name"),
        effective_from=root.instant("effective_from"),
        entry_tier=_entry_tier(root, tiers),
        max_vip=eligibility.count("max_vip", minimum=0, maximum=VIP_LIMIT, default=5),
        excluded_account_classes=eligibility.texts("excluded_account_classes"),
        fee_discount=eligibility.one_of("fee_discount", ("exclude", "net")),
        max_age_seconds=pricing.count("max_age_seconds", minimum=1, maximum=PRICE_AGE_SECONDS_LIMIT, default=3600),
        volume_window=review.one_of("volume_window", ("rolling_30d", "calendar_month")),
        acquisition=review.one_of("acquisition", ("new_clients", "active_clients")),
        groups=groups,
        payout=_payout(root.section("payout")),
        tiers=tiers,
    )


def _payout(payout: Section) -> PayoutTerms:
    payout.allow_only(("minimum", "quantum", "auto_approve_limit", "hold_hours"))
    quantum = payout.amount("quantum", decimals=LEDGER_DECIMALS)
    if quantum == 0:
        payout.refuse(
            "quantum is 0", mend='write the smallest amount that is paid, such as quantum = "0.000001"', key="quantum"
        )
    return PayoutTerms(
        minimum=payout.amount("minimum", decimals=LEDGER_DECIMALS),
        quantum=quantum,
        auto_approve_limit=payout.amount("auto_approve_limit", decimals=LEDGER_DECIMALS),
        hold_hours=payout.count("hold_hours", minimum=0, maximum=HOLD_HOURS_LIMIT),
    )


def _entry_tier(root: Section, tiers: tuple[Tier, ...]) -> str:
    entry_tier = root.text("entry_tier")
    names = [tier.name for tier in tiers]
    if entry_tier not in names:
        root.refuse(
            f"entry_tier {entry_tier!r} is not a tier", mend=f"write one of {', '.join(names)}", key="entry_tier"
        )
    return entry_tier


def _tiers(root: Section, *, groups: str) -> tuple[Tier, ...]:
    sections = root.sections("tiers")
    tiers = [_tier(section, groups=groups) for section in sections]
    for position in range(1, len(tiers)):
        _check_follows(sections[position], tiers[position], before=tiers[:position])
    return tuple(tiers)


def _tier(section: Section, *, groups: str) -> Tier:
    section.allow_only(("name", "min_volume", "min_clients", "rates"))
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
        section.refuse(f'{key} is per group while review.groups is "{ALL}"', mend=mend, key=key)
    table = section.section(key)
    table.allow_only(GROUPS)
    return {group: read(table, group) for group in GROUPS}


def _check_follows(section: Section, tier: Tier, *, before: list[Tier]) -> None:
    """Rules 2 and 4 between a tier and those before it."""
    if tier.name in [other.name for other in before]:
        section.refuse(f"two tiers are named {tier.name!r}", mend="give each tier a name of its own", key="name")
    previous = before[-1]
    products, known = _products(tier), _products(previous)
    if products != known:
        mend = f"rate {', '.join(sorted(known))} in every tier"
        section.refuse(f"tier {tier.name} rates other products than tier {previous.name}", mend=mend, key="rates")
    increases = False
    for key, now, then in (
        ("min_volume", tier.min_volume, previous.min_volume),
        ("min_clients", tier.min_clients, previous.min_clients),
    ):
        if any(now[group] < then[group] for group in now):
            mend = f"order the tiers from the lowest to the highest {key}"
            section.refuse(f"{key} of tier {tier.name} is below that of tier {previous.name}", mend=mend, key=key)
        increases |= any(now[group] > then[group] for group in now)
    if not increases:
        mend = "raise min_volume or min_clients, so that the tiers strictly increase"
        section.refuse(f"tier {tier.name} asks for no more than tier {previous.name}", mend=mend, key="min_volume")


def _products(tier: Tier) -> set[str]:
    return {product for product, _, _ in tier.rates}


def _rates(section: Section) -> Mapping[RateKey, Decimal]:
    table = section.section("rates")
    if not table.values:
        section.refuse("rates are missing", mend='write rates = { spot = "0.25", ... }', key="rates")
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
        section.refuse(f"rate {key} {rate} is above 1", mend='write a part of one: 25 % is "0.25"', key=key)
    return rate
