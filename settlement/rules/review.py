"""Reviews: which tier has a root broker reached?

1. A review takes effect at 00:00 UTC on the 1st of a month, by the terms in force at that instant. Its period ends
   there: the 30 days before, or the calendar month before, as the terms say.
2. Counted are the volume of the lines that earned for the root's tree as it stood at execution, and clients: those whose
   first such line falls in the period, or all who have one in it, as the terms say.
3. Reached is the highest tier whose thresholds are all met (`>=`). Where the terms count spot and contracts apart, each
   of the two groups reaches a tier by its own volume and clients, and the higher of the two counts.
4. Who meets no tier's thresholds has the lowest one.
5. The gap is what is missing to the tier after the one reached: per group, volume and clients, never less than nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from settlement.rules.facts import Terms, Tier
from settlement.rules.money import EXACT
from settlement.rules.products import EVENTS, FUTURES, OPTIONS, SPOT

ALL: Final = "all"
CONTRACTS: Final = "contracts"
GROUP_OF: Final = {SPOT: SPOT, FUTURES: CONTRACTS, OPTIONS: CONTRACTS, EVENTS: CONTRACTS}
GROUPS: Final = (ALL, SPOT, CONTRACTS)

ROLLING: Final = "rolling_30d"
ROLLING_DAYS: Final = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Gap:
    """What a group is short of: USDT of volume, and clients."""

    volume_usdt: Decimal
    clients: int


@dataclass(frozen=True, kw_only=True)
class Reached:
    """The tier, and per group the gap to `next_tier`; at the highest tier there is no next one and no gap."""

    tier: str
    next_tier: str | None
    gaps: Mapping[str, Gap]


def period_of(terms: Terms, effective_from: datetime) -> tuple[datetime, datetime]:
    """Start (included) and end (left out) of what a review that takes effect at `effective_from` counts."""
    if terms.volume_window == ROLLING:
        return effective_from - ROLLING_DAYS, effective_from
    return month_before(effective_from), effective_from


def month_before(first: datetime) -> datetime:
    """The first instant of the month before the one that begins at `first`."""
    return (first - timedelta(days=1)).replace(day=1)


def month_after(first: datetime) -> datetime:
    """The first instant of the month after the one that begins at `first`."""
    return (first + timedelta(days=31)).replace(day=1)


def month_of(moment: datetime) -> datetime:
    """The first instant of the month that `moment` (UTC) lies in."""
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def tier_reached(terms: Terms, *, volume: Mapping[str, Decimal], clients: Mapping[str, int]) -> Reached:
    """The tier that these figures reach: USDT of volume and clients per group, at least for the groups of the terms."""
    groups = tuple(terms.tiers[0].min_volume)
    reached = max(_highest_met(terms.tiers, group, volume=volume[group], clients=clients[group]) for group in groups)
    following = terms.tiers[reached + 1] if reached + 1 < len(terms.tiers) else None
    return Reached(
        tier=terms.tiers[reached].name,
        next_tier=following.name if following else None,
        gaps={group: _gap(following, group, volume=volume[group], clients=clients[group]) for group in groups}
        if following
        else {},
    )


def _highest_met(tiers: tuple[Tier, ...], group: str, *, volume: Decimal, clients: int) -> int:
    met = [
        position
        for position, tier in enumerate(tiers)
        if volume >= tier.min_volume[group] and clients >= tier.min_clients[group]
    ]
    return max(met, default=0)


def _gap(tier: Tier, group: str, *, volume: Decimal, clients: int) -> Gap:
    missing = EXACT.subtract(tier.min_volume[group], volume)
    return Gap(volume_usdt=max(missing, Decimal(0)), clients=max(tier.min_clients[group] - clients, 0))
