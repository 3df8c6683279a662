"""Reviews of tiers in PostgreSQL: what they count, which roots they are of, and what they came to.

Volume and clients are sums over `activity`, which holds what each run changed. Windows are whole hours and periods
begin and end at midnight, so every sum is exact. A client's earned lines never sum to less than zero, in any window, so
one that had none before a period has a sum of zero there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Connection, text

from settlement.rules.review import CONTRACTS, GROUP_OF, GROUPS
from settlement.store.templates import fill, run

NEW_CLIENTS = "new_clients"

_NOTHING: Mapping[str, int] = dict.fromkeys(GROUPS, 0)
_NO_VOLUME: Mapping[str, Decimal] = dict.fromkeys(GROUPS, Decimal(0))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a root's tree did in a period, per group ("all", "spot", "contracts"): USDT of volume, and clients."""

    volume_usdt: Mapping[str, Decimal] = field(default_factory=lambda: _NO_VOLUME)
    new_clients: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    active_clients: Mapping[str, int] = field(default_factory=lambda: _NOTHING)

    def clients(self, acquisition: str) -> Mapping[str, int]:
        """The clients that terms with this `acquisition` count."""
        return self.new_clients if acquisition == NEW_CLIENTS else self.active_clients


@dataclass(frozen=True, kw_only=True)
class Review:
    """One review as it is recorded. `volume_usdt` and `clients` are of all groups, those of each are in `inputs`.

    `plan_id` names the recalculation that corrected it. Reviews of before this version have no inputs.
    """

    broker_id: str
    tier: str
    effective_from: datetime
    volume_usdt: Decimal
    clients: int
    previous_tier: str | None
    period_start: datetime | None
    period_end: datetime | None
    terms_id: int | None
    inputs: Mapping[str, Any] | None
    next_tier: str | None
    gap: Mapping[str, Any] | None
    reviewed_by: str | None
    anyway: bool
    plan_id: int | None = None
    reviewed_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class StandingTiers:
    """What gives a root its tier at an instant: an override in force, else its latest review, else the entry tier."""

    override: str | None = None
    review: str | None = None

    @property
    def tier(self) -> str | None:
        """The tier, if it is not the entry tier."""
        return self.override or self.review


@dataclass(frozen=True, kw_only=True)
class Override:
    """A tier that somebody gave a broker, in force from an instant on."""

    broker_id: str
    tier: str
    effective_from: datetime


@dataclass(frozen=True, kw_only=True)
class RatedOtherwise:
    """How many windows hold lines that another tier has rated, and the end of the last of them."""

    windows: int
    until: datetime


_MEASURE = """
WITH earning AS (
    SELECT root, venue, account, CASE WHEN product = ANY (:contracts) THEN 'contracts' ELSE 'spot' END AS product_group,
           window_start >= :start AS inside, earned_lines, volume_usdt
    FROM activity $settled
    WHERE window_start < $until AND (CAST(:roots AS text[]) IS NULL OR root = ANY (:roots)) $planned
), client AS (
    SELECT root, venue, account, product_group, sum(volume_usdt) FILTER (WHERE inside) AS volume_usdt,
           coalesce(sum(earned_lines) FILTER (WHERE inside), 0) AS lines,
           coalesce(sum(earned_lines) FILTER (WHERE NOT inside), 0) AS earlier
    FROM earning GROUP BY root, venue, account, product_group
), grouped AS (
    SELECT root, venue, account, coalesce(product_group, 'all') AS product_group, sum(volume_usdt) AS volume_usdt,
           sum(lines) AS lines, sum(earlier) AS earlier
    FROM client GROUP BY root, venue, account, GROUPING SETS ((), (product_group))
)
SELECT root, product_group, coalesce(sum(volume_usdt), 0) AS volume_usdt, count(*) FILTER (WHERE lines > 0) AS active_clients,
       count(*) FILTER (WHERE lines > 0 AND earlier = 0) AS new_clients
FROM grouped GROUP BY root, product_group
"""
_SETTLED_BY = "JOIN (SELECT run_id, root FROM run_shard WHERE settled_at <= :as_of) s USING (run_id, root)"
_PLANNED = """
    UNION ALL
    SELECT root, venue, account, CASE WHEN product = ANY (:contracts) THEN 'contracts' ELSE 'spot' END,
           window_start >= :start, earned_lines, volume_usdt
    FROM recalculation_activity
    WHERE plan_id = :plan_id AND window_start < :end AND (CAST(:roots AS text[]) IS NULL OR root = ANY (:roots))
"""
_BEFORE_WHAT_IF = "least(:end, (SELECT range_start FROM what_if WHERE what_if_id = :what_if_id))"
_WHAT_IF = """
    UNION ALL
    SELECT root, venue, account, CASE WHEN product = ANY (:contracts) THEN 'contracts' ELSE 'spot' END,
           window_start >= :start, earned_lines, volume_usdt
    FROM what_if_activity
    WHERE what_if_id = :what_if_id AND window_start < :end AND (CAST(:roots AS text[]) IS NULL OR root = ANY (:roots))
"""

# A root that begins at the very instant has no past as one: it is new, and starts in the entry tier.
_ROOTS = """
    SELECT b.broker_id FROM broker b
    WHERE b.replaced_by_load IS NULL AND b.parent_id IS NULL AND b.effective_from <= $at AND (b.effective_to > $at) IS NOT FALSE
      AND NOT EXISTS (
          SELECT FROM broker later WHERE later.broker_id = b.broker_id AND later.replaced_by_load IS NULL
             AND later.effective_from > b.effective_from AND later.effective_from <= $at)
"""
_WAS_ROOT_BEFORE = """
      AND EXISTS (
          SELECT FROM broker before WHERE before.broker_id = b.broker_id AND before.replaced_by_load IS NULL
             AND before.parent_id IS NULL AND before.effective_from < $at)
"""
_WAS_KNOWN_BEFORE = """
      AND EXISTS (
          SELECT FROM broker known JOIN load USING (load_id) WHERE known.broker_id = b.broker_id AND loaded_at < $at)
"""

_STANDING = """
    SELECT asked.broker_id, o.tier AS override, r.tier AS review
    FROM unnest(CAST(:brokers AS text[])) asked (broker_id)
    LEFT JOIN LATERAL (
        SELECT tier, effective_to FROM tier_override t
        WHERE t.broker_id = asked.broker_id AND t.replaced_by_load IS NULL AND t.effective_from <= :at
        ORDER BY t.effective_from DESC LIMIT 1
    ) o ON (o.effective_to > :at) IS NOT FALSE
    LEFT JOIN LATERAL (
        SELECT tier FROM tier_review t WHERE t.broker_id = asked.broker_id AND t.effective_from <= :at
        ORDER BY t.effective_from DESC, t.reviewed_at DESC LIMIT 1
    ) r ON true
"""

_REVIEW_COLUMNS = """broker_id, tier, effective_from, volume_usdt, clients, previous_tier, period_start, period_end,
    terms_id, inputs, next_tier, gap, reviewed_by, anyway, plan_id, reviewed_at"""

# The tier of an override that is in force at any time of the hour is nobody's mistake.
_OTHERWISE_RATED = """
    WITH asked AS (
        SELECT root, tier, coalesce((
                   SELECT min(r.effective_from) FROM tier_review r WHERE r.broker_id = root AND r.effective_from > :effective_from
               ), 'infinity') AS until
        FROM unnest(CAST(:roots AS text[]), CAST(:tiers AS text[])) asked (root, tier)
    ), settled AS (
        SELECT DISTINCT root, asked.tier, window_start FROM asked JOIN activity USING (root)
        WHERE window_start >= :effective_from AND window_start < until
    )
    SELECT root, count(*) AS windows, max(window_start) + interval '1 hour' AS until FROM settled s
    WHERE EXISTS (
        SELECT FROM current_line l JOIN basis b USING (basis_id)
        WHERE l.window_start = s.window_start AND b.root = s.root AND b.tier <> s.tier AND NOT EXISTS (
            SELECT FROM tier_override o
            WHERE o.broker_id = s.root AND o.replaced_by_load IS NULL AND o.tier = b.tier
              AND o.effective_from < s.window_start + interval '1 hour' AND (o.effective_to > s.window_start) IS NOT FALSE))
    GROUP BY root
"""


def measure(  # noqa: PLR0913 - a period, and in which of the worlds to count it
    connection: Connection,
    *,
    start: datetime,
    end: datetime,
    roots: Sequence[str] | None = None,
    plan_id: int | None = None,
    what_if_id: int | None = None,
    as_of: datetime | None = None,
) -> dict[str, Measured]:
    """What was earned in the windows of [start, end), by root; of `roots`, also those without any activity.

    With `plan_id`, what that recalculation would change is added; with `what_if_id`, what that would come to takes the place
    of what was earned from its beginning on; with `as_of`, only what was settled until then counts.
    """
    query = fill(
        _MEASURE,
        settled=_SETTLED_BY if as_of is not None else "",
        until=":end" if what_if_id is None else _BEFORE_WHAT_IF,
        planned=(_PLANNED if plan_id is not None else "") + (_WHAT_IF if what_if_id is not None else ""),
    )
    parameters: dict[str, Any] = {
        "start": start,
        "end": end,
        "roots": list(roots) if roots is not None else None,
        "contracts": [product for product, group in GROUP_OF.items() if group == CONTRACTS],
    }
    parameters |= {"plan_id": plan_id} if plan_id is not None else {}
    parameters |= {"what_if_id": what_if_id} if what_if_id is not None else {}
    parameters |= {"as_of": as_of} if as_of is not None else {}
    found: dict[str, dict[str, dict[str, Any]]] = {root: {} for root in roots or ()}
    for row in connection.execute(text(query), parameters).mappings():
        of_root = found.setdefault(row["root"], {})
        for name in ("volume_usdt", "new_clients", "active_clients"):
            of_root.setdefault(name, {})[row["product_group"]] = row[name]
    return {root: _measured(of_root) for root, of_root in found.items()}


def _measured(of_root: Mapping[str, Mapping[str, Any]]) -> Measured:
    return Measured(
        volume_usdt={**_NO_VOLUME, **of_root.get("volume_usdt", {})},
        new_clients={**_NOTHING, **of_root.get("new_clients", {})},
        active_clients={**_NOTHING, **of_root.get("active_clients", {})},
    )


def roots_at(connection: Connection, at: datetime) -> list[str]:
    """The brokers without a parent that are in force at `at`."""
    return _roots(connection, _ROOTS, at)


def roots_to_review(connection: Connection, effective_from: datetime) -> list[str]:
    """The roots in force at the instant of a review that were roots before it."""
    return _roots(connection, _ROOTS + _WAS_ROOT_BEFORE, effective_from)


def _roots(connection: Connection, query: str, at: datetime) -> list[str]:
    return list(run(connection, f"{query} ORDER BY b.broker_id", {"at": at}, at=":at").scalars())


def root_of(connection: Connection, broker_id: str, *, at: datetime) -> str | None:
    """The root above a broker as the tree stands at `at`; None if the broker, or one above it, is not in force."""
    query = text("""
        WITH RECURSIVE up AS (
            SELECT CAST(:broker_id AS text) COLLATE "C" AS wanted, NULL::text COLLATE "C" AS root, 0 AS steps
            UNION ALL
            SELECT found.parent_id, CASE WHEN found.parent_id IS NULL THEN found.broker_id END, up.steps + 1
            FROM up JOIN LATERAL (
                SELECT broker_id, parent_id, effective_to FROM broker
                WHERE broker_id = up.wanted AND replaced_by_load IS NULL AND effective_from <= :at
                ORDER BY effective_from DESC LIMIT 1
            ) found ON (found.effective_to > :at) IS NOT FALSE
            WHERE up.steps < 100
        )
        SELECT root FROM up WHERE root IS NOT NULL
    """)
    root: str | None = connection.execute(query, {"broker_id": broker_id, "at": at}).scalar()
    return root


def first_unreviewed(connection: Connection, *, by: datetime) -> datetime | None:
    """The first 1st of a month since the installation, at `by` at the latest, of which no review stands.

    Left out are those at which no terms were in force, or no root that was known by then: there was nothing to review.
    """
    query = """
        SELECT min(first) FROM installation, generate_series(
            date_trunc('month', installed_at, 'UTC') + interval '1 month', CAST(:by AS timestamptz), interval '1 month') first
        WHERE NOT EXISTS (SELECT FROM tier_review WHERE effective_from = first)
          AND EXISTS (SELECT FROM program_terms WHERE replaced_by_load IS NULL AND effective_from <= first)
          AND EXISTS ($roots)
    """
    roots = fill(_ROOTS + _WAS_ROOT_BEFORE + _WAS_KNOWN_BEFORE, at="first")
    found: datetime | None = run(connection, query, {"by": by}, roots=roots).scalar()
    return found


def last_reviewed(connection: Connection) -> datetime | None:
    """The instant of the latest monthly review; None if none was made."""
    query = text("SELECT max(effective_from) FROM tier_review WHERE period_start IS NOT NULL")
    found: datetime | None = connection.execute(query).scalar_one()
    return found


def standing_tiers(connection: Connection, brokers: Sequence[str], *, at: datetime) -> dict[str, StandingTiers]:
    """What gives each of the brokers its tier at `at`, as it is known now."""
    rows = connection.execute(text(_STANDING), {"brokers": list(brokers), "at": at})
    return {row.broker_id: StandingTiers(override=row.override, review=row.review) for row in rows}


def overrides_of_load(connection: Connection, load_id: int) -> list[Override]:
    """The overrides that a load brought in and that stand, in the order of their beginnings."""
    query = text("""
        SELECT broker_id, tier, effective_from FROM tier_override
        WHERE load_id = :load_id AND replaced_by_load IS NULL ORDER BY effective_from, broker_id
    """)
    return [Override(**row) for row in connection.execute(query, {"load_id": load_id}).mappings()]


def reviews_of(
    connection: Connection, *, effective_from: datetime | None = None, broker_id: str | None = None
) -> list[Review]:
    """The latest review for each broker and instant, by broker and instant; all of them, or those asked for."""
    return _reviews(connection, "DISTINCT ON (broker_id, effective_from)", effective_from, broker_id)


def versions_of_review(connection: Connection, broker_id: str, effective_from: datetime) -> list[Review]:
    """Every review of a broker for one instant, the latest first."""
    return _reviews(connection, "", effective_from, broker_id)


def _reviews(connection: Connection, only: str, effective_from: datetime | None, broker_id: str | None) -> list[Review]:
    query = """
        SELECT $only $columns FROM tier_review
        WHERE (CAST(:effective_from AS timestamptz) IS NULL OR effective_from = :effective_from)
          AND (CAST(:broker_id AS text) IS NULL OR broker_id = :broker_id)
        ORDER BY broker_id, effective_from, reviewed_at DESC
    """
    parameters = {"effective_from": effective_from, "broker_id": broker_id}
    rows = run(connection, query, parameters, only=only, columns=_REVIEW_COLUMNS)
    return [Review(**row) for row in rows.mappings()]


def add_review(connection: Connection, review: Review) -> None:
    """Records a review, now; whoever calls holds the lock of loads (store/loads.py)."""
    values = asdict(review) | {"inputs": _document(review.inputs), "gap": _document(review.gap)}
    del values["reviewed_at"]
    connection.execute(
        text(f"""
            INSERT INTO tier_review ({", ".join(values)})
            VALUES ({", ".join(f"CAST(:{name} AS jsonb)" if name in ("inputs", "gap") else f":{name}" for name in values)})
        """),  # noqa: S608 - the names of a class of this file
        values,
    )


def _document(values: Mapping[str, Any] | None) -> str | None:
    return None if values is None else orjson.dumps(values).decode()


def otherwise_rated(connection: Connection, made: Sequence[Review]) -> dict[str, RatedOtherwise]:
    """Per root of `made`, reviews for one instant, the windows from then on in which lines stand that it has not rated.

    The root's next review ends that; lines that an override has rated do not count.
    """
    parameters = {
        "roots": [review.broker_id for review in made],
        "tiers": [review.tier for review in made],
        "effective_from": made[0].effective_from if made else None,
    }
    rows = connection.execute(text(_OTHERWISE_RATED), parameters)
    return {row.root: RatedOtherwise(windows=row.windows, until=row.until) for row in rows}
