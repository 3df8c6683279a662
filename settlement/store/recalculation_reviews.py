"""The reviews of a recalculation plan that would have come out otherwise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from settlement.store.reviews import Review, reviews_of


@dataclass(frozen=True, kw_only=True)
class PlannedReview:
    """What a review came to and what it would come to: tier, USDT of volume, clients. `included`: it is to be corrected."""

    broker_id: str
    effective_from: datetime
    from_tier: str
    from_volume_usdt: Decimal
    from_clients: int
    to_tier: str
    to_volume_usdt: Decimal
    to_clients: int
    included: bool


_COLUMNS = """broker_id, effective_from, from_tier, from_volume_usdt, from_clients, to_tier, to_volume_usdt, to_clients,
    included"""


def of_plan(connection: Connection, plan_id: int, *, included: bool = False) -> list[PlannedReview]:
    """The plan's reviews by instant and broker; with `included` only those whose consequence is part of it."""
    query = text(f"""
        SELECT {_COLUMNS} FROM recalculation_review
        WHERE plan_id = :plan_id AND (included OR NOT :only) ORDER BY effective_from, broker_id
    """)  # noqa: S608 - a constant
    rows = connection.execute(query, {"plan_id": plan_id, "only": included})
    return [PlannedReview(**row) for row in rows.mappings()]


def replace_all(connection: Connection, plan_id: int, found: Sequence[PlannedReview]) -> None:
    """Writes the plan's reviews in the place of those written before."""
    connection.execute(text("DELETE FROM recalculation_review WHERE plan_id = :plan_id"), {"plan_id": plan_id})
    if found:
        insert = text(f"""
            INSERT INTO recalculation_review (plan_id, {_COLUMNS})
            VALUES (:plan_id, {", ".join(f":{name.strip()}" for name in _COLUMNS.split(","))})
        """)  # noqa: S608 - a constant
        connection.execute(insert, [{"plan_id": plan_id, **asdict(review)} for review in found])


def roots_touched(connection: Connection, plan_id: int) -> list[str]:
    """The roots whose clients' activity the plan changes."""
    query = text("SELECT DISTINCT root FROM recalculation_activity WHERE plan_id = :plan_id ORDER BY root")
    return list(connection.execute(query, {"plan_id": plan_id}).scalars())


def roots_reviewed(connection: Connection, *, start: datetime, end: datetime) -> list[str]:
    """The roots with a review that counted windows of [start, end)."""
    query = text("""
        SELECT DISTINCT broker_id FROM tier_review
        WHERE effective_from > :start AND coalesce(period_start, effective_from) < :end ORDER BY broker_id
    """)
    return list(connection.execute(query, {"start": start, "end": end}).scalars())


def standing_after(
    connection: Connection, roots: Sequence[str], *, after: datetime
) -> dict[datetime, dict[str, Review]]:
    """The reviews of these roots that take effect after an instant, by their instant and root."""
    found: dict[datetime, dict[str, Review]] = defaultdict(dict)
    for review in reviews_of(connection):
        if review.broker_id in roots and review.effective_from > after:
            found[review.effective_from][review.broker_id] = review
    return dict(sorted(found.items()))


def windows_rated(connection: Connection, broker_id: str, *, effective_from: datetime) -> list[datetime]:
    """The windows that a root's review has rated: from its instant to that of the root's next review."""
    query = text("""
        SELECT DISTINCT window_start FROM run JOIN run_shard s USING (run_id)
        WHERE s.root = :broker_id AND s.settled_at IS NOT NULL AND window_start >= :effective_from
          AND window_start < coalesce((
            SELECT min(effective_from) FROM tier_review WHERE broker_id = :broker_id AND effective_from > :effective_from
        ), 'infinity') ORDER BY window_start
    """)
    return list(connection.execute(query, {"broker_id": broker_id, "effective_from": effective_from}).scalars())
