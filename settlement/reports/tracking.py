"""Where each root is going: the last 30 days and this month, the tier of its next review, the month's commission.

1. All of it ends with the last window that is settled. Everything is a sum over `activity`, so it is exact and as new as
   the last shard.
2. What is to come is guessed from the daily totals of the last 30 complete days (of a root that began later, of its days):
   the mean for each day that is left, and one standard deviation below and above it for the range. Days are not taken to
   be independent of each other, so the range grows with the days that are left.
3. Clients are counted as they are: nobody is guessed to come.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from settlement.errors import Refused
from settlement.reports.summary_tables import money
from settlement.rules.money import EXACT
from settlement.rules.review import ALL, CONTRACTS, GROUP_OF, GROUPS, month_after, month_of, period_of, tier_reached
from settlement.store import reviews
from settlement.store.reviews import Measured, StandingTiers
from settlement.store.terms import terms_in_force

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from settlement.rules.facts import Terms
    from settlement.rules.review import Gap

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TRAILING_DAYS = 30
DAYS_MIN = 2  # of which a spread can be told
CENT = Decimal("0.01")
WIDE = Context(prec=60)

_SETTLED = """
    SELECT min(window_start) AS first, max(window_start) FILTER (WHERE window_start < :now) + interval '1 hour' AS until
    FROM settlement_window WHERE status IN ('settled', 'incomplete')
"""

# A day of which the root has nothing counts as nothing, from the day after its first one on.
_DAILY = """
    WITH day_of AS (
        SELECT root, date_trunc('day', window_start, 'UTC') AS day,
               CASE WHEN product = ANY (:contracts) THEN 'contracts' ELSE 'spot' END AS product_group,
               sum(volume_usdt) AS volume_usdt, sum(commission_usdt) AS commission_usdt
        FROM activity WHERE root = ANY (:roots) AND window_start >= :start AND window_start < :end GROUP BY 1, 2, 3
    ), began AS (
        SELECT root, greatest(:start, date_trunc('day', min(window_start), 'UTC') + interval '1 day') AS day
        FROM activity WHERE root = ANY (:roots) GROUP BY root
    ), daily AS (
        SELECT b.root, days.day, g.product_group, coalesce(sum(d.volume_usdt), 0) AS volume_usdt,
               coalesce(sum(d.commission_usdt), 0) AS commission_usdt
        FROM began b
        CROSS JOIN LATERAL generate_series(b.day, CAST(:end AS timestamptz) - interval '1 day', interval '1 day') days (day)
        CROSS JOIN unnest(CAST(:groups AS text[])) g (product_group)
        LEFT JOIN day_of d ON d.root = b.root AND d.day = days.day AND g.product_group IN ('all', d.product_group)
        GROUP BY b.root, days.day, g.product_group
    )
    SELECT root, product_group, count(*) AS days, avg(volume_usdt) AS volume_mean, avg(commission_usdt) AS commission_mean,
           stddev_samp(commission_usdt) AS commission_spread
    FROM daily GROUP BY root, product_group
"""
_COMMISSION = """
    SELECT root, sum(commission_usdt) AS commission_usdt FROM activity
    WHERE root = ANY (:roots) AND window_start >= :start AND window_start < :end GROUP BY root
"""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Means of the daily totals, in USDT a day, over `days` complete days; no spread where there are fewer than two."""

    days: int = 0
    volume: Mapping[str, Decimal] | None = None
    commission: Decimal = Decimal(0)
    commission_spread: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class Projection:
    """The commission that the month comes to, in USDT: no range where the method says there is none."""

    so_far_usdt: Decimal
    expected_usdt: Decimal
    low_usdt: Decimal | None
    high_usdt: Decimal | None
    method: str


@dataclass(frozen=True, kw_only=True)
class NextReview:
    """What the next review would say: by what it counts so far, and with the volume that is still to be expected."""

    effective_from: datetime
    period_start: datetime
    terms: str
    volume_usdt: Mapping[str, Decimal]
    clients: Mapping[str, int]
    tier_so_far: str
    gaps: Mapping[str, Gap]
    next_tier: str | None
    expected_volume_usdt: Mapping[str, Decimal]
    projected_tier: str


@dataclass(frozen=True, kw_only=True)
class Track:
    """One root. `settled_to` is the end of the last settled window; `month` the instant at which the month began."""

    broker_id: str
    tier: str
    settled_to: datetime
    trailing_start: datetime
    trailing: Measured
    month: datetime
    month_to_date: Measured
    commission: Projection
    next_review: NextReview


def track(connection: Connection, *, now: datetime, broker_id: str | None = None) -> list[Track]:
    """The roots that are in force now, or one of them; none where nothing is settled yet or no terms are in force.

    Raises Refused for a broker that is no root.
    """
    roots = [root for root in reviews.roots_at(connection, now) if broker_id in (None, root)]
    if broker_id is not None and not roots:
        raise _no_root(broker_id, reviews.root_of(connection, broker_id, at=now))
    first, until = connection.execute(text(_SETTLED), {"now": now}).one()
    terms = terms_in_force(connection, month_after(month_of(now)))
    if not roots or until is None or terms is None:
        return []
    return list(_tracks(connection, roots, span=_Span(now=now, until=until, first=first), terms=terms))


@dataclass(frozen=True, kw_only=True)
class _Span:
    """From when to when everything is looked at: `until` is the end of the last settled window."""

    now: datetime
    until: datetime
    first: datetime

    @property
    def month(self) -> datetime:
        return month_of(self.now)

    @property
    def month_end(self) -> datetime:
        return month_after(self.month)

    @property
    def trailing_start(self) -> datetime:
        return self.until - TRAILING_DAYS * DAY

    @property
    def days(self) -> tuple[datetime, datetime]:
        """The complete days of the last 30, and of those that are known."""
        start = max(self.trailing_start, self.first)
        midnight = start.replace(hour=0)
        return midnight if midnight == start else midnight + DAY, self.until.replace(hour=0)

    def days_left(self, end: datetime, *, since: datetime) -> Decimal:
        """What of [since, end) is not settled, in days."""
        hours = (end - max(self.until, since)) // HOUR
        return Decimal(max(hours, 0)) / 24


def _no_root(broker_id: str, root: str | None) -> Refused:
    return Refused(
        f"it is under {root}" if root else "it is in no tree now",
        where=f"broker {broker_id}",
        mend=f"settlement tiers track {root}" if root else "settlement brokers list shows which are",
    )


def _tracks(connection: Connection, roots: list[str], *, span: _Span, terms: Terms) -> Iterator[Track]:
    trailing = reviews.measure(connection, start=span.trailing_start, end=span.until, roots=roots)
    month = reviews.measure(connection, start=span.month, end=max(span.until, span.month), roots=roots)
    start, end = period_of(terms, span.month_end)
    counted = reviews.measure(connection, start=start, end=max(min(span.until, end), start), roots=roots)
    standing = reviews.standing_tiers(connection, roots, at=span.now)
    entry = (terms_in_force(connection, span.now) or terms).entry_tier
    commission = _commission(connection, roots, start=span.month, end=span.until)
    paces = _paces(connection, roots, span=span)
    for root in roots:
        yield Track(
            broker_id=root,
            tier=standing.get(root, StandingTiers()).tier or entry,
            settled_to=span.until,
            trailing_start=span.trailing_start,
            trailing=trailing[root],
            month=span.month,
            month_to_date=month[root],
            commission=_projection(
                commission.get(root, Decimal(0)),
                paces[root],
                days_left=span.days_left(span.month_end, since=span.month),
            ),
            next_review=_next_review(
                terms, counted[root], paces[root], start=start, end=end, days_left=span.days_left(end, since=start)
            ),
        )


def _commission(connection: Connection, roots: Sequence[str], *, start: datetime, end: datetime) -> dict[str, Decimal]:
    rows = connection.execute(text(_COMMISSION), {"roots": list(roots), "start": start, "end": end})
    return {row.root: row.commission_usdt for row in rows}


def _paces(connection: Connection, roots: Sequence[str], *, span: _Span) -> dict[str, Pace]:
    start, end = span.days
    parameters = {
        "roots": list(roots),
        "start": start,
        "end": end,
        "groups": list(GROUPS),
        "contracts": [product for product, group in GROUP_OF.items() if group == CONTRACTS],
    }
    found: dict[str, dict[str, Any]] = {root: {} for root in roots}
    for row in connection.execute(text(_DAILY), parameters).mappings():
        found[row["root"]][row["product_group"]] = row
    return {root: _pace(of_groups) for root, of_groups in found.items()}


def _pace(of_groups: Mapping[str, Any]) -> Pace:
    if not of_groups:
        return Pace()
    whole = of_groups[ALL]
    return Pace(
        days=whole["days"],
        volume={group: row["volume_mean"] for group, row in of_groups.items()},
        commission=whole["commission_mean"],
        commission_spread=whole["commission_spread"],
    )


def _projection(so_far: Decimal, pace: Pace, *, days_left: Decimal) -> Projection:
    """An estimate, to the cent."""
    expected = so_far + pace.commission * days_left
    told = f"settled so far, and for the {days_left:.1f} days left"
    if not pace.days:
        method = f"{told} nothing: there is no complete day yet to go by"
    else:
        method = f"{told} the mean of the last {pace.days} complete days, {money(pace.commission)} USDT a day"
    spread = pace.commission_spread
    if spread is None:
        return Projection(
            so_far_usdt=so_far,
            expected_usdt=_cents(expected),
            low_usdt=None,
            high_usdt=None,
            method=f"{method}; no range: it takes {DAYS_MIN} days",
        )
    return Projection(
        so_far_usdt=so_far,
        expected_usdt=_cents(expected),
        low_usdt=_cents(so_far + max(pace.commission - spread, Decimal(0)) * days_left),
        high_usdt=_cents(so_far + (pace.commission + spread) * days_left),
        method=f"{method}; the range: one standard deviation of those days, {money(spread)}, below and above each day",
    )


def _next_review(  # noqa: PLR0913 - what is counted, and what is to come
    terms: Terms, counted: Measured, pace: Pace, *, start: datetime, end: datetime, days_left: Decimal
) -> NextReview:
    clients = counted.clients(terms.acquisition)
    to_come = pace.volume or dict.fromkeys(GROUPS, Decimal(0))
    expected = {
        group: EXACT.add(volume, _cents(to_come[group] * days_left)) for group, volume in counted.volume_usdt.items()
    }
    so_far = tier_reached(terms, volume=counted.volume_usdt, clients=clients)
    return NextReview(
        effective_from=end,
        period_start=start,
        terms=terms.name,
        volume_usdt=counted.volume_usdt,
        clients=clients,
        tier_so_far=so_far.tier,
        gaps=so_far.gaps,
        next_tier=so_far.next_tier,
        expected_volume_usdt=expected,
        projected_tier=tier_reached(terms, volume=expected, clients=clients).tier,
    )


def _cents(estimate: Decimal) -> Decimal:
    return estimate.quantize(CENT, rounding=ROUND_HALF_EVEN, context=WIDE)
