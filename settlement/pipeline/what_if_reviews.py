"""Reviews within a what-if: at the end of each month of its range, by its own figures.

1. A root begins with the tier that its reviews of before the range have given it, if the terms have that tier; else in the
   entry tier, as a root that was never reviewed does.
2. At 00:00 on each 1st after the range begins, up to its end, the roots of then are reviewed as settlement/rules/review.py says.
   What lies within the range counts as the what-if has it, what lies before as it stands.
3. Overrides of tiers beat reviews here as they do everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from settlement.pipeline.review_figures import gap_document, inputs_document, judge
from settlement.pipeline.tier_events import JUST_BEFORE
from settlement.pipeline.what_if_facts import Assumed, read_facts
from settlement.rules.facts import Facts, Terms
from settlement.rules.in_force import NONE, Coded, Codes, InForce, coded, microseconds, take
from settlement.rules.rating import terms_in_force, tiers_of_roots
from settlement.rules.review import month_after, month_of, period_of
from settlement.store import reviews as store
from settlement.store.database import Connection
from settlement.store.facts import load_facts
from settlement.store.what_if import Review, WhatIf

INSTANT = timedelta(microseconds=1)


def next_review(moment: datetime) -> datetime:
    """The first 1st of a month after a moment."""
    return month_after(month_of(moment))


def is_review(moment: datetime) -> bool:
    """Whether reviews take effect at that moment."""
    return moment == month_of(moment)


def brought_along(known: Facts, terms: Sequence[Terms], *, start: datetime) -> list[Review]:
    """The tiers that reviews of before the range give, as far as the terms in force at its start have them."""
    version = _version(terms, start)
    names = {tier.name for tier in version.tiers} if version else set()
    reviews = known.reviews[(known.reviews["effective_from"] <= start).to_numpy(dtype=bool)]
    latest = reviews.sort_values("effective_from").drop_duplicates("broker_id", keep="last")
    return [
        Review(broker_id=broker_id, tier=tier, effective_from=start)
        for broker_id, tier in sorted(zip(latest["broker_id"], latest["tier"], strict=True))
        if tier in names
    ]


def review(connection: Connection, asked: WhatIf, assumed: Assumed, *, at: datetime) -> list[Review]:
    """What reviews at `at` come to; none where no terms are in force then."""
    version = _version(assumed.terms, at)
    if version is None:
        return []
    facts = read_facts(connection, asked, assumed, start=at, end=at + INSTANT)
    roots = _roots(facts, at)
    start, end = period_of(version, at)
    measured = store.measure(connection, start=start, end=end, roots=roots, what_if_id=asked.what_if_id)
    before = _tiers(facts, roots, at=at - JUST_BEFORE)
    overrides, stands = _overrides(facts, roots, at=at), _as_things_stand(connection, asked, roots, at=at)
    found = []
    for root in roots:
        judged = judge(version, measured[root])
        found.append(
            Review(
                broker_id=root,
                effective_from=at,
                tier=judged.tier,
                previous_tier=before[root],
                override=overrides[root],
                stands=stands[root],
                terms=version.name,
                volume_usdt=judged.volume_usdt,
                clients=judged.clients,
                inputs=inputs_document(judged.measured),
                next_tier=judged.reached.next_tier,
                gap=gap_document(judged.reached.gaps),
            )
        )
    return found


def _version(terms: Sequence[Terms], at: datetime) -> Terms | None:
    begun = [version for version in terms if version.effective_from <= at]
    return begun[-1] if begun else None


def _roots(facts: Facts, at: datetime) -> list[str]:
    """The roots in force at `at` that were roots before: a new one starts in the entry tier."""
    brokers = facts.brokers
    is_root = brokers["parent_id"].isna().to_numpy(dtype=bool)
    begun = brokers["effective_from"].to_numpy() < pd.Timestamp(at)
    earlier = sorted(set(brokers["broker_id"][is_root & begun]))
    row = InForce(brokers, key=["broker_id"]).rows_at(*_moment(earlier, at))
    return [root for root, number in zip(earlier, row.tolist(), strict=True) if number != NONE and is_root[number]]


def _tiers(facts: Facts, roots: list[str], *, at: datetime) -> dict[str, str | None]:
    """The tier of each root at `at`; none where no terms are in force then."""
    _, times = _moment(roots, at)
    terms = terms_in_force(times, facts.terms)
    if not roots or terms[0] == NONE:
        return dict.fromkeys(roots)
    tiers = tiers_of_roots(np.arange(len(roots)), roots, times, terms, facts)
    return {root: tiers.names[code] for root, code in zip(roots, tiers.code.tolist(), strict=True)}


def _overrides(facts: Facts, roots: list[str], *, at: datetime) -> dict[str, str | None]:
    row = facts.in_force("tiers").rows_at(*_moment(roots, at))
    tier = take(facts.tiers["tier"].to_numpy(dtype=object), row, missing=None)
    return dict(zip(roots, tier.tolist(), strict=True))


def _as_things_stand(connection: Connection, asked: WhatIf, roots: list[str], *, at: datetime) -> dict[str, str | None]:
    known = load_facts(connection, start=at, end=at + INSTANT, as_of=asked.facts_at)
    return _tiers(known, roots, at=at)


def _moment(brokers: list[str], at: datetime) -> tuple[Coded, Codes]:
    """The brokers, and `at` for each of them, as columns."""
    times = microseconds(pd.Series([at] * len(brokers), dtype="timestamp[us, tz=UTC][pyarrow]"))
    return coded(pd.Series(brokers, dtype=object)), times
