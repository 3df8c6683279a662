"""What a what-if comes to: totals and its parts as they would be, beside what stands. Percentages have two decimals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from settlement.store.templates import fill

_FIGURES = """
    coalesce(sum(lines) FILTER (WHERE NOT stands), 0)::bigint AS lines,
    coalesce(sum(net_fee_usdt) FILTER (WHERE NOT stands), 0) AS net_fee_usdt,
    coalesce(sum(volume_usdt) FILTER (WHERE NOT stands), 0) AS volume_usdt,
    coalesce(sum(commission_usdt) FILTER (WHERE NOT stands), 0) AS commission_usdt,
    coalesce(sum(lines) FILTER (WHERE stands), 0)::bigint AS stands_lines,
    coalesce(sum(net_fee_usdt) FILTER (WHERE stands), 0) AS stands_net_fee_usdt,
    coalesce(sum(volume_usdt) FILTER (WHERE stands), 0) AS stands_volume_usdt,
    coalesce(sum(commission_usdt) FILTER (WHERE stands), 0) AS stands_commission_usdt,
    coalesce(sum(CASE WHEN stands THEN -commission_usdt ELSE commission_usdt END), 0) AS difference_usdt
"""
_BY = "SELECT $by, $figures FROM what_if_sum WHERE what_if_id = :id GROUP BY $by ORDER BY $by"
_PAYEES = """
    SELECT payee, amount_usdt, stands_usdt, amount_usdt - stands_usdt AS difference_usdt,
           round(100 * (amount_usdt - stands_usdt) / nullif(stands_usdt, 0), 2) AS difference_percent
    FROM (SELECT payee, sum(amount_usdt) AS amount_usdt, sum(stands_usdt) AS stands_usdt
          FROM what_if_payee WHERE what_if_id = :id GROUP BY payee) p
    WHERE amount_usdt $compared stands_usdt ORDER BY abs(amount_usdt - stands_usdt) DESC, payee
"""

# What each part of a result is called, and what it is made of.
PARTS: Mapping[str, str] = {
    "brokers": fill(_BY, by="root, broker_id", figures=_FIGURES),
    "tiers": fill(_BY, by="tier", figures=_FIGURES),
    "products": fill(_BY, by="product", figures=_FIGURES),
    "winners": fill(_PAYEES, compared=">"),
    "losers": fill(_PAYEES, compared="<"),
    "unchanged": fill(_PAYEES, compared="="),
    # With a broker, the roots that its lines are in.
    "reviews": """
        SELECT effective_from, r.broker_id, tier, previous_tier, override, stands, terms, volume_usdt, clients, next_tier, gap
        FROM what_if_review r JOIN what_if w USING (what_if_id)
        WHERE what_if_id = :id AND (w.broker_id IS NULL OR r.broker_id IN (
            SELECT root FROM what_if_sum WHERE what_if_id = :id))
        ORDER BY effective_from, r.broker_id""",
    "reasons": """
        SELECT status, reason, sum(lines)::bigint AS lines, sum(stands_lines)::bigint AS stands_lines,
               sum(lines - stands_lines)::bigint AS difference
        FROM (SELECT to_status AS status, to_reason AS reason, lines, 0 AS stands_lines FROM what_if_move WHERE what_if_id = :id
              UNION ALL SELECT from_status, from_reason, 0, lines FROM what_if_move WHERE what_if_id = :id AND from_status <> '') m
        GROUP BY 1, 2 ORDER BY status, reason""",
    "moves": """
        SELECT from_status, from_reason, to_status, to_reason, sum(lines)::bigint AS lines,
               sum(commission_usdt) AS commission_usdt
        FROM what_if_move WHERE what_if_id = :id AND (from_status, from_reason) <> (to_status, to_reason)
        GROUP BY 1, 2, 3, 4 ORDER BY sum(lines) DESC, 1, 2, 3, 4""",
}


_TOTALS = """
    SELECT p.*, f.*, round(100 * difference_usdt / nullif(stands_commission_usdt, 0), 2) AS difference_percent
    FROM (SELECT count(*) AS stretches, count(done_at) AS stretches_done, coalesce(sum(fills), 0)::bigint AS fills,
                 coalesce(sum(unsettled), 0)::bigint AS windows_unsettled
          FROM what_if_stretch WHERE what_if_id = :id) p,
         (SELECT $figures FROM what_if_sum WHERE what_if_id = :id) f
"""


def totals(connection: Connection, what_if_id: int) -> dict[str, Any]:
    """The totals of a what-if as far as it is settled. Its commission is what it costs the operator."""
    query = text(fill(_TOTALS, figures=_FIGURES))
    return dict(connection.execute(query, {"id": what_if_id}).mappings().one())


def parts(connection: Connection, what_if_id: int) -> dict[str, list[dict[str, Any]]]:
    """Every part of PARTS as plain rows."""
    return {
        name: [dict(row) for row in connection.execute(text(query), {"id": what_if_id}).mappings()]
        for name, query in PARTS.items()
    }
