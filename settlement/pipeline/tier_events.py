"""The event `tier.changed`: a root has another tier from an instant on than it had just before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Literal

from settlement.rules.facts import Terms
from settlement.store import reviews
from settlement.store.database import Connection
from settlement.store.outbox import emit
from settlement.store.reviews import StandingTiers
from settlement.store.terms import terms_in_force

JUST_BEFORE = timedelta(microseconds=1)

By = Literal["review", "override", "recalculation"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a root's tier was just before an instant, and what it is from then on."""

    broker_id: str
    effective_from: datetime
    from_tier: str
    to_tier: str


def announce(connection: Connection, change: Change, *, terms: Terms, by: By) -> bool:
    """Emits `tier.changed`, if the tier does change; `terms` are those in force at the instant, and rank the tiers."""
    if change.from_tier == change.to_tier:
        return False
    data = {
        "broker_id": change.broker_id,
        "effective_from": change.effective_from.isoformat(),
        "from_tier": change.from_tier,
        "to_tier": change.to_tier,
        "direction": direction(terms, change.from_tier, change.to_tier),
        "by": by,
    }
    emit(connection, "tier.changed", subject=change.broker_id, data=data)
    return True


def announce_overrides(connection: Connection, *, load_id: int) -> int:
    """Emits `tier.changed` for each override of a root that a load brought in; returns how many there were.

    Where no terms are in force there is no tier that could change.
    """
    overrides = reviews.overrides_of_load(connection, load_id)
    return sum(
        _announce_from(connection, at, {override.broker_id: override.tier for override in together})
        for at, together in groupby(overrides, key=attrgetter("effective_from"))
    )


def _announce_from(connection: Connection, at: datetime, tiers: Mapping[str, str]) -> int:
    terms = terms_in_force(connection, at)
    if terms is None:
        return 0
    roots = sorted(tiers.keys() & set(reviews.roots_at(connection, at)))
    before = tiers_before(connection, roots, at=at, terms=terms)
    changes = [Change(broker_id=root, effective_from=at, from_tier=before[root], to_tier=tiers[root]) for root in roots]
    return sum(announce(connection, change, terms=terms, by="override") for change in changes)


def tiers_before(connection: Connection, roots: list[str], *, at: datetime, terms: Terms) -> dict[str, str]:
    """The tier that each root has just before `at`; `terms` are those in force at `at`, for want of any before."""
    entry = (terms_in_force(connection, at - JUST_BEFORE) or terms).entry_tier
    standing = reviews.standing_tiers(connection, roots, at=at - JUST_BEFORE)
    return {root: standing.get(root, StandingTiers()).tier or entry for root in roots}


def direction(terms: Terms, from_tier: str, to_tier: str) -> Literal["upgrade", "downgrade"] | None:
    """Whether the terms rank `to_tier` above `from_tier`; None if they do not have both."""
    ranks = {tier.name: rank for rank, tier in enumerate(terms.tiers)}
    if from_tier not in ranks or to_tier not in ranks:
        return None
    return "upgrade" if ranks[to_tier] > ranks[from_tier] else "downgrade"
