"""Use case: the review of a month. One row per root, made once, by what the books say when it is made.

1. The review of October takes effect on 1 November at 00:00 UTC, by the terms in force at that instant
   (settlement/rules/review.py), for the roots that are in force then and were roots before.
2. It waits until every window of its period is settled and no line is pending. Somebody may have it made anyway, which
   is recorded with what was missing.
3. It is made while no shard is settled and no facts are loaded: every line was rated either before it or after it.
4. A review that stands is never changed. Where the books say otherwise by now it says so: a recalculation corrects it.
5. Windows that another tier has rated already stay as they are, and are counted. Pending lines are looked at again: the
   terms may know the new tier.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from settlement.errors import Refused
from settlement.pipeline import tier_events
from settlement.pipeline.review_figures import Judged, judge, review_row, same_figures
from settlement.pipeline.tier_events import Change
from settlement.rules.facts import Terms
from settlement.rules.review import month_after, month_before, period_of
from settlement.store import loads, reviews
from settlement.store.database import Connection, Database
from settlement.store.reviews import RatedOtherwise, Review
from settlement.store.terms import terms_in_force
from settlement.store.unfinished import Unfinished, unfinished

PENDING_NAMED = 3

State = Literal["made", "stands", "differs"]


@dataclass(frozen=True, kw_only=True)
class RootReview:
    """The review of one root: made now, standing, or standing while the books say otherwise by now (`differs`).

    `in_force` is the tier that the root has from then on: an override beats the review. `now` is what the books say now,
    `rated_otherwise` the settled windows from then on with lines that neither of the two tiers has rated.
    """

    review: Review
    state: State
    in_force: str
    now: Judged
    rated_otherwise: RatedOtherwise | None = None

    @property
    def changes(self) -> bool:
        """Whether the root has another tier than before."""
        return self.in_force != self.review.previous_tier


@dataclass(frozen=True, kw_only=True)
class MonthReview:
    """The review of one month: what was counted, what of it is not settled, and each root."""

    month: datetime
    effective_from: datetime
    period_start: datetime
    period_end: datetime
    terms: Terms
    left: Unfinished
    roots: list[RootReview] = field(default_factory=list)
    windows_marked: int = 0

    @property
    def made(self) -> int:
        """How many reviews were made now."""
        return sum(root.state == "made" for root in self.roots)


def review_month(  # noqa: PLR0913 - which month, who says so, and how
    database: Database, month: datetime, *, by: str, now: datetime, anyway: bool = False, dry_run: bool = False
) -> MonthReview:
    """Makes the reviews of the month that begins at `month` which are missing; `dry_run` only says what they would be.

    Raises Refused for a month that has not ended or has no terms, and, unless told `anyway`, while something of the
    period is not settled.
    """
    effective_from = month_after(month)
    if now < effective_from:
        raise Refused(
            f"it takes effect on {effective_from:%Y-%m-%d}, which has not come",
            where=_name(month),
            mend="settlement tiers track shows where each root is going",
        )
    with database.transaction() as connection:
        if not dry_run:
            loads.lock_facts(connection)
        return _review(connection, month, by=by, anyway=anyway, dry_run=dry_run)


def review_due(database: Database, *, month: datetime | None, by: str, now: datetime) -> MonthReview | None:
    """Makes the review that is due; None if none is, or if it is not that of `month`, where one is given."""
    with database.transaction() as connection:
        if due_month(connection, now=now) is None:
            return None
        loads.lock_facts(connection)
        # Again: whoever held the lock may have made it, or have brought in what the period now waits for.
        due = due_month(connection, now=now)
        if due is None or month not in (None, due):
            return None
        return _review(connection, due, by=by, anyway=False, dry_run=False)


def due_month(connection: Connection, *, now: datetime) -> datetime | None:
    """The first month whose review is missing, once its period is settled: reviews are made one month after the other."""
    waiting = waiting_month(connection, now=now)
    return None if waiting is None or waiting[1] else waiting[0]


def waiting_month(connection: Connection, *, now: datetime) -> tuple[datetime, Unfinished] | None:
    """The first month since the installation whose review is missing, and what of its period is not settled."""
    effective_from = reviews.first_unreviewed(connection, by=now)
    if effective_from is None:
        return None
    month = month_before(effective_from)
    start, end = period_of(_terms_at(connection, effective_from, month=month), effective_from)
    return month, unfinished(connection, start=start, end=end)


def contradicted(connection: Connection) -> MonthReview | None:
    """The latest month's reviews that come to another tier by what the books say now; None where none was made yet."""
    effective_from = reviews.last_reviewed(connection)
    if effective_from is None:
        return None
    found = _review(connection, month_before(effective_from), by="", anyway=True, dry_run=True)
    others = [root for root in found.roots if root.state == "differs" and root.now.tier != root.review.tier]
    return replace(found, roots=others)


def _review(connection: Connection, month: datetime, *, by: str, anyway: bool, dry_run: bool) -> MonthReview:
    effective_from = month_after(month)
    terms = _terms_at(connection, effective_from, month=month)
    start, end = period_of(terms, effective_from)
    left = unfinished(connection, start=start, end=end)
    standing = {review.broker_id: review for review in reviews.reviews_of(connection, effective_from=effective_from)}
    roots = sorted({*reviews.roots_to_review(connection, effective_from), *standing})
    missing = [root for root in roots if root not in standing]
    if missing and left and not (anyway or dry_run):
        raise _unsettled(month, left)
    measured = reviews.measure(connection, start=start, end=end, roots=roots)
    judged = {root: judge(terms, measured[root]) for root in roots}
    before = tier_events.tiers_before(connection, missing, at=effective_from, terms=terms)
    made = {
        root: review_row(
            root, judged[root], terms=terms, effective_from=effective_from, previous_tier=before[root], by=by, left=left
        )
        for root in missing
    }
    tiers = _in_force(connection, {**standing, **made}, at=effective_from)
    if not dry_run:
        for review in made.values():
            _record(connection, review, tier=tiers[review.broker_id], terms=terms)
    return MonthReview(
        month=month,
        effective_from=effective_from,
        period_start=start,
        period_end=end,
        terms=terms,
        left=left,
        roots=_outcomes(connection, {**standing, **made}, judged, tiers, made=made.keys()),
        windows_marked=loads.recheck_windows(connection) if made and not dry_run else 0,
    )


def _in_force(connection: Connection, found: Mapping[str, Review], *, at: datetime) -> dict[str, str]:
    """The tier that each root has from `at` on: its override, or what its review says."""
    standing = reviews.standing_tiers(connection, list(found), at=at)
    return {root: standing[root].override or found[root].tier for root in found}


def _record(connection: Connection, review: Review, *, tier: str, terms: Terms) -> None:
    reviews.add_review(connection, review)
    change = Change(
        broker_id=review.broker_id,
        effective_from=review.effective_from,
        from_tier=review.previous_tier or tier,
        to_tier=tier,
    )
    tier_events.announce(connection, change, terms=terms, by="review")


def _outcomes(
    connection: Connection,
    found: Mapping[str, Review],
    judged: Mapping[str, Judged],
    tiers: Mapping[str, str],
    *,
    made: Collection[str],
) -> list[RootReview]:
    otherwise = reviews.otherwise_rated(connection, [found[root] for root in made])
    return [
        RootReview(
            review=found[root],
            state=_state(found[root], judged[root], made=root in made),
            in_force=tiers[root],
            now=judged[root],
            rated_otherwise=otherwise.get(root),
        )
        for root in sorted(found)
    ]


def _state(review: Review, judged: Judged, *, made: bool) -> State:
    if made:
        return "made"
    return "stands" if same_figures(review, judged) else "differs"


def _terms_at(connection: Connection, effective_from: datetime, *, month: datetime) -> Terms:
    terms = terms_in_force(connection, effective_from)
    if terms is None:
        raise Refused(
            f"no terms are in force at {effective_from:%Y-%m-%dT%H:%MZ}",
            where=_name(month),
            mend="settlement terms load FILE",
        )
    return terms


def _unsettled(month: datetime, left: Unfinished) -> Refused:
    found = []
    if left.is_empty:
        found.append("no window of its period was ever there")
    if left.first_window is not None:
        windows = "1 window of its period is" if left.windows == 1 else f"{left.windows} windows of its period are"
        found.append(f"{windows} not settled, the first {left.first_window:%Y-%m-%dT%H:%MZ}")
    if left.pending:
        named = ", ".join(f"{one.lines} of {one.root}: {one.reason}" for one in left.pending[:PENDING_NAMED])
        more = ", ..." if len(left.pending) > PENDING_NAMED else ""
        found.append(f"{left.pending_lines} lines are pending ({named}{more})")
    return Refused(
        " and ".join(found),
        where=_name(month),
        mend="settlement doctor says what is missing; --anyway leaves that out, which is recorded",
    )


def _name(month: datetime) -> str:
    return f"review of {month:%Y-%m}"
