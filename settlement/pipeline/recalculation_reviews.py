"""Reviews that would have come out otherwise by a recalculation's figures, and what follows from them.

1. Once all windows of a plan are planned, every review that counted one of them is made again by the figures as they
   would be: what stands, and what the plan changes. Where another tier comes out, the plan says so.
2. Tiers stay as they are, unless the consequence was asked for. Then the windows that the tier has rated since, up to the
   root's next review, are planned by the tier that comes out, and the reviews are made once more: until nothing new
   comes out, for a tier that the terms do not know can leave lines pending.
3. When such a plan is applied, the corrected reviews are recorded first. The old ones stay readable.
4. Windows that the tier has rated between planning and applying are not of the plan. Another one follows it for them, and
   has to be approved as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import pandas as pd
import pyarrow as pa

from settlement.errors import Refused
from settlement.pipeline import tier_events
from settlement.pipeline.review_figures import Judged, judge, review_row
from settlement.pipeline.tier_events import Change
from settlement.rules.facts import Facts, Terms
from settlement.rules.review import period_of
from settlement.store import loads, recalculation_reviews, recalculation_windows, recalculations, reviews
from settlement.store.database import Connection
from settlement.store.facts import REVIEWS, terms_versions
from settlement.store.lines import WINDOW
from settlement.store.recalculation_reviews import PlannedReview
from settlement.store.recalculations import Plan


@dataclass(frozen=True, kw_only=True)
class _Again:
    """A review made again."""

    planned: PlannedReview
    judged: Judged
    terms: Terms


def with_reviews(connection: Connection, facts: Facts, *, plan_id: int) -> Facts:
    """The facts with the reviews that the plan includes in the place of those that stand."""
    included = recalculation_reviews.of_plan(connection, plan_id, included=True)
    if not included:
        return facts
    keys = {(review.broker_id, review.effective_from) for review in included}
    stands = [key not in keys for key in zip(facts.reviews["broker_id"], facts.reviews["effective_from"], strict=True)]
    rows = [(review.broker_id, review.to_tier, review.effective_from) for review in included]
    table = pa.table({name: list(column) for name, column in zip(REVIEWS.names, zip(*rows, strict=True), strict=True)})
    corrected = table.cast(REVIEWS).to_pandas(types_mapper=pd.ArrowDtype)
    return replace(facts, reviews=pd.concat([facts.reviews[stands], corrected], ignore_index=True))


def review_again(connection: Connection, plan: Plan) -> bool:
    """Makes the plan's reviews again and keeps those that come out otherwise; says whether windows are to be planned anew."""
    known = recalculation_reviews.of_plan(connection, plan.plan_id)
    found = [again.planned for again in _made_again(connection, plan)]
    recalculation_reviews.replace_all(connection, plan.plan_id, found)
    if not plan.re_review:
        return False
    moved = {(one.broker_id, one.effective_from, one.to_tier) for one in known} ^ {
        (one.broker_id, one.effective_from, one.to_tier) for one in found
    }
    again = False
    for broker_id, effective_from, _ in sorted(moved):
        windows = recalculation_reviews.windows_rated(connection, broker_id, effective_from=effective_from)
        recalculation_windows.plan_again(connection, plan.plan_id, windows, root=broker_id)
        again |= bool(windows)
    return again


def includes_reviews(connection: Connection, plan_id: int) -> bool:
    """Whether applying the plan corrects reviews."""
    return bool(recalculation_reviews.of_plan(connection, plan_id, included=True))


def record_reviews(connection: Connection, plan: Plan, *, by: str) -> None:
    """Records the reviews that the plan includes; whoever calls holds the lock of facts and those of all windows.

    Lines that wait for a tier are looked at again: the terms may know the corrected one. Raises Refused if one would come
    out otherwise by now: something else that it counts has changed.
    """
    included = recalculation_reviews.of_plan(connection, plan.plan_id, included=True)
    if not included:
        return
    again = _made_again(connection, plan)
    if [one.planned for one in again] != included:
        raise Refused(
            "a review that it includes would come out otherwise by now",
            where=f"plan {plan.plan_id}",
            mend="cancel it and plan it anew, so that what is approved is what is posted",
        )
    for one in again:
        _record(connection, one, plan_id=plan.plan_id, by=by)
    loads.recheck_windows(connection)


def follow(connection: Connection, plan: Plan) -> None:
    """Asks for the plan of what the corrected tiers have rated since, if there is any; call it once they are recorded."""
    since: dict[str, list[datetime]] = {}
    for review in recalculation_reviews.of_plan(connection, plan.plan_id, included=True):
        root = review.broker_id
        rated = recalculation_reviews.windows_rated(connection, root, effective_from=review.effective_from)
        planned = recalculation_windows.of_root(connection, plan.plan_id, root)
        since.setdefault(root, []).extend(sorted(set(rated) - planned))
    windows = sorted({window_start for rated in since.values() for window_start in rated})
    if not windows:
        return
    values = {
        "range_start": windows[0],
        "range_end": windows[-1] + WINDOW,
        "broker_id": None,
        "reason": f"rated while plan {plan.plan_id} waited: {plan.reason}",
        "re_review": False,
        "planned_by": plan.planned_by,
        "request_key": f"after plan {plan.plan_id}",
        "follows": plan.plan_id,
        "facts_at": recalculations.clock(connection),
    }
    follower = recalculations.add_plan(connection, values=values, windows=[])
    for root, rated in since.items():
        recalculation_windows.plan_again(connection, follower, rated, root=root)


def _made_again(connection: Connection, plan: Plan) -> list[_Again]:
    """The reviews that counted a window of the plan and come out otherwise, by instant and broker."""
    start, _ = recalculation_windows.extent(connection, plan.plan_id)
    versions = terms_versions(connection, as_of=plan.facts_at)
    roots = _roots(connection, plan)
    again: list[_Again] = []
    for effective_from, tiers in recalculation_reviews.standing_after(connection, roots, after=start).items():
        terms = [version for version in versions if version.effective_from <= effective_from][-1:]
        if terms:
            again += _otherwise(connection, plan, effective_from, tiers, terms=terms[0])
    return again


def _roots(connection: Connection, plan: Plan) -> list[str]:
    """Those whose figures the plan changes; asked to review again, also those whose figures have changed before it."""
    roots = set(recalculation_reviews.roots_touched(connection, plan.plan_id))
    if plan.re_review:
        reviewed = recalculation_reviews.roots_reviewed(connection, start=plan.range_start, end=plan.range_end)
        ends = (plan.range_start, plan.range_end)
        of_broker = {reviews.root_of(connection, plan.broker_id, at=at) for at in ends} if plan.broker_id else reviewed
        roots |= set(reviewed) & set(of_broker)
    return sorted(roots)


def _otherwise(
    connection: Connection, plan: Plan, effective_from: datetime, standing: dict[str, reviews.Review], *, terms: Terms
) -> list[_Again]:
    start, end = period_of(terms, effective_from)
    measured = reviews.measure(connection, start=start, end=end, roots=list(standing), plan_id=plan.plan_id)
    judged = {root: judge(terms, measured[root]) for root in sorted(standing)}
    return [
        _Again(
            planned=PlannedReview(
                broker_id=root,
                effective_from=effective_from,
                from_tier=standing[root].tier,
                from_volume_usdt=standing[root].volume_usdt,
                from_clients=standing[root].clients,
                to_tier=judged[root].tier,
                to_volume_usdt=judged[root].volume_usdt,
                to_clients=judged[root].clients,
                included=plan.re_review,
            ),
            judged=judged[root],
            terms=terms,
        )
        for root in judged
        if judged[root].tier != standing[root].tier
    ]


def _record(connection: Connection, again: _Again, *, plan_id: int, by: str) -> None:
    planned, terms = again.planned, again.terms
    before = tier_events.tiers_before(connection, [planned.broker_id], at=planned.effective_from, terms=terms)
    reviews.add_review(
        connection,
        review_row(
            planned.broker_id,
            again.judged,
            terms=terms,
            effective_from=planned.effective_from,
            previous_tier=before[planned.broker_id],
            by=by,
            plan_id=plan_id,
        ),
    )
    if reviews.standing_tiers(connection, [planned.broker_id], at=planned.effective_from)[planned.broker_id].override:
        return
    change = Change(
        broker_id=planned.broker_id,
        effective_from=planned.effective_from,
        from_tier=planned.from_tier,
        to_tier=planned.to_tier,
    )
    tier_events.announce(connection, change, terms=terms, by="recalculation")
