"""Two versions of the terms compared in words: one sentence for each difference, none for what is the same."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from settlement.rules.facts import ALL, CapTerms, RateKey, Terms, Tier

CHOICES = {
    "exclude": "is excluded",
    "net": "earns on what is left of its fee",
    "rolling_30d": "the trailing 30 days",
    "calendar_month": "the calendar month before",
    "new_clients": "new clients",
    "active_clients": "active clients",
    ALL: "all products together",
    "max_of_spot_and_contracts": "the higher of spot and contracts",
}
_RATE_SCOPES: Mapping[str, Collection[tuple[str, bool]]] = {
    "rate": [("maker", False), ("maker", True), ("taker", False), ("taker", True)],
    "maker rate": [("maker", False), ("maker", True)],
    "taker rate": [("taker", False), ("taker", True)],
    "rate (not affiliated)": [("maker", False), ("taker", False)],
    "rate (affiliated)": [("maker", True), ("taker", True)],
    "maker rate (not affiliated)": [("maker", False)],
    "maker rate (affiliated)": [("maker", True)],
    "taker rate (not affiliated)": [("taker", False)],
    "taker rate (affiliated)": [("taker", True)],
}

_Change = tuple[Decimal | None, Decimal | None]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One difference: where in the document (a dotted key), what stood and what stands there, and both in a sentence.

    `before` or `after` is None where there was or is nothing.
    """

    key: str
    before: str | None
    after: str | None
    says: str


def differences(before: Terms, after: Terms) -> list[Difference]:
    """Everything that is not the same in two terms, in the order of a document; the number does not count."""
    return [*_head(before, after), *_eligibility(before, after), *_policies(before, after), *_caps(before.cap, after.cap),
            *_tiers(before.tiers, after.tiers)]  # fmt: skip


def _head(before: Terms, after: Terms) -> Iterator[Difference]:
    yield from _changed("name", "name", before.name, after.name)
    yield from _changed("effective_from", "in force from", _time(before.effective_from), _time(after.effective_from))
    yield from _changed("entry_tier", "entry tier", before.entry_tier, after.entry_tier)


def _eligibility(before: Terms, after: Terms) -> Iterator[Difference]:
    if before.max_vip != after.max_vip:
        low, high = sorted((before.max_vip, after.max_vip))
        who, earn = (f"VIP {high}", "earns") if high == low + 1 else (f"VIP {low + 1} to {high}", "earn")
        says = f"{who} {'now' if after.max_vip == high else 'no longer'} {earn}"
        yield Difference(key="eligibility.max_vip", before=str(before.max_vip), after=str(after.max_vip), says=says)
    key = "eligibility.excluded_account_classes"
    for name in sorted(after.excluded_account_classes - before.excluded_account_classes):
        yield Difference(key=key, before=None, after=name, says=f"accounts of class {name} no longer earn")
    for name in sorted(before.excluded_account_classes - after.excluded_account_classes):
        yield Difference(key=key, before=name, after=None, says=f"accounts of class {name} now earn")
    yield from _choice(
        "eligibility.fee_discount", "a fill with a fee discount", before.fee_discount, after.fee_discount
    )


def _policies(before: Terms, after: Terms) -> Iterator[Difference]:
    yield from _changed(
        "pricing.max_age_seconds", "oldest price", f"{before.max_age_seconds} s", f"{after.max_age_seconds} s"
    )
    yield from _choice("review.volume_window", "volume of a review", before.volume_window, after.volume_window)
    yield from _choice("review.acquisition", "clients of a review", before.acquisition, after.acquisition)
    yield from _choice("review.groups", "tier by", before.groups, after.groups)
    then, now = before.payout, after.payout
    for key, name, was, is_now in (
        ("minimum", "smallest payout", then.minimum, now.minimum),
        ("quantum", "payouts in multiples of", then.quantum, now.quantum),
        ("auto_approve_limit", "approved at once up to", then.auto_approve_limit, now.auto_approve_limit),
    ):
        yield from _changed(f"payout.{key}", name, f"{_plain(was)} USDT", f"{_plain(is_now)} USDT")
    yield from _changed("payout.hold_hours", "earnings held for", f"{then.hold_hours} h", f"{now.hold_hours} h")


def _caps(before: CapTerms | None, after: CapTerms | None) -> Iterator[Difference]:
    if before and after:
        was, now = f"{_plain(before.monthly_usdt)} USDT", f"{_plain(after.monthly_usdt)} USDT"
        yield from _changed("cap.monthly_usdt", "client cap a month", was, now)
        yield from _changed("cap.vip_levels", "client cap for VIP", _levels(before), _levels(after))
    elif after:
        yield Difference(key="cap", before=None, after=_cap(after), says=f"{_cap(after)} is new")
    elif before:
        yield Difference(key="cap", before=_cap(before), after=None, says=f"{_cap(before)} is gone")


def _cap(cap: CapTerms) -> str:
    return f"client cap of {_plain(cap.monthly_usdt)} USDT a month for VIP {_levels(cap)}"


def _levels(cap: CapTerms) -> str:
    return ", ".join(map(str, sorted(cap.vip_levels)))


def _tiers(before: tuple[Tier, ...], after: tuple[Tier, ...]) -> Iterator[Difference]:
    then, now = {tier.name: tier for tier in before}, {tier.name: tier for tier in after}
    for name in then:
        if name not in now:
            yield Difference(key=f"tiers.{name}", before=name, after=None, says=f"tier {name} is gone")
    for name, tier in now.items():
        if name in then:
            yield from _tier(then[name], tier)
        else:
            says = f"tier {name} is new: {_thresholds(tier)}; {_rates(tier)}"
            yield Difference(key=f"tiers.{name}", before=None, after=name, says=says)
    kept_then, kept_now = [name for name in then if name in now], [name for name in now if name in then]
    if kept_then != kept_now:
        yield from _changed("tiers", "order of the tiers", ", ".join(kept_then), ", ".join(kept_now))


def _tier(before: Tier, after: Tier) -> Iterator[Difference]:
    key, name = f"tiers.{after.name}", f"tier {after.name}"
    for group in dict.fromkeys([*before.min_volume, *after.min_volume]):
        of, below = ("", "") if group == ALL else (f"{group} ", f".{group}")
        for threshold, word, was, now in (
            ("min_volume", "volume", before.min_volume.get(group), after.min_volume.get(group)),
            ("min_clients", "clients", before.min_clients.get(group), after.min_clients.get(group)),
        ):
            yield from _optional(f"{key}.{threshold}{below}", f"{name}: {of}{word}", was, now)
    yield from _tier_rates(before, after)


def _tier_rates(before: Tier, after: Tier) -> Iterator[Difference]:
    for product in dict.fromkeys(product for product, _, _ in [*before.rates, *after.rates]):
        for scope, (was, now) in _rate_changes(product, before.rates, after.rates):
            yield Difference(
                key=f"tiers.{after.name}.rates.{product}",
                before=None if was is None else _plain(was),
                after=None if now is None else _plain(now),
                says=f"tier {after.name}: {product} {scope} {_percent(was)} -> {_percent(now)}",
            )


def _rate_changes(
    product: str, before: Mapping[RateKey, Decimal], after: Mapping[RateKey, Decimal]
) -> Iterator[tuple[str, _Change]]:
    """Each change of a product's rates under the widest scope that has it."""
    cells = {
        (liquidity, affiliated): (
            before.get((product, liquidity, affiliated)),
            after.get((product, liquidity, affiliated)),
        )
        for liquidity in ("maker", "taker")
        for affiliated in (False, True)
    }
    left = {cell: change for cell, change in cells.items() if change[0] != change[1]}
    for scope, members in _RATE_SCOPES.items():
        changes = [left.get(cell) for cell in members]
        if changes[0] is not None and changes.count(changes[0]) == len(changes):
            yield scope, changes[0]
            left = {cell: change for cell, change in left.items() if cell not in members}


def _thresholds(tier: Tier) -> str:
    return " and ".join(
        f"{'' if group == ALL else f'{group} '}from {_plain(volume)} USDT and {tier.min_clients[group]} clients"
        for group, volume in tier.min_volume.items()
    )


def _rates(tier: Tier) -> str:
    none: Mapping[RateKey, Decimal] = {}
    return ", ".join(
        f"{product} {scope} {_percent(now)}"
        for product in dict.fromkeys(product for product, _, _ in tier.rates)
        for scope, (_, now) in _rate_changes(product, none, tier.rates)
    )


def _choice(key: str, name: str, before: str, after: str) -> Iterator[Difference]:
    if before != after:
        yield Difference(key=key, before=before, after=after, says=f"{name}: {CHOICES[before]} -> {CHOICES[after]}")


def _optional(key: str, name: str, before: Decimal | int | None, after: Decimal | int | None) -> Iterator[Difference]:
    if before != after:
        was, now = (None if value is None else _plain(Decimal(value)) for value in (before, after))
        yield Difference(key=key, before=was, after=now, says=f"{name} {was or 'none'} -> {now or 'none'}")


def _changed(key: str, name: str, before: str, after: str) -> Iterator[Difference]:
    if before != after:
        yield Difference(key=key, before=before, after=after, says=f"{name} {before} -> {after}")


def _percent(rate: Decimal | None) -> str:
    return "none" if rate is None else f"{_plain(rate * 100)} %"


def _plain(value: Decimal) -> str:
    written = format(value, "f")
    return written.rstrip("0").rstrip(".") if "." in written else written


def _time(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
