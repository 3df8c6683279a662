"""What a plan comes to: totals, and its differences per payee, window, outcome, line and review."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

# What each part of a plan is called, and what it is made of.
PARTS: Mapping[str, str] = {
    "payees": """
        SELECT payee, sum(amount_usdt) AS amount_usdt, count(DISTINCT window_start) AS windows FROM recalculation_payee
        WHERE plan_id = :plan_id GROUP BY payee HAVING sum(amount_usdt) <> 0 OR bool_or(amount_usdt <> 0)
        ORDER BY payee""",
    "windows": """
        SELECT window_start, sum(lines)::bigint AS lines, sum(commission_usdt) AS commission_usdt FROM recalculation_move
        WHERE plan_id = :plan_id GROUP BY window_start ORDER BY window_start""",
    "moves": """
        SELECT from_status, from_reason, to_status, to_reason, sum(lines)::bigint AS lines,
               sum(commission_usdt) AS commission_usdt
        FROM recalculation_move WHERE plan_id = :plan_id GROUP BY 1, 2, 3, 4
        ORDER BY sum(lines) DESC, 1, 2, 3, 4""",
    "top_lines": """
        SELECT window_start, venue, account, bill_id, from_status, from_reason, from_broker, from_commission_usdt,
               to_status, to_reason, to_broker, to_commission_usdt, change_usdt
        FROM recalculation_line WHERE plan_id = :plan_id
        ORDER BY abs(change_usdt) DESC, window_start, venue, account, bill_id LIMIT 20""",
    "reviews": """
        SELECT broker_id, effective_from, from_tier, from_volume_usdt, from_clients, to_tier, to_volume_usdt, to_clients,
               included
        FROM recalculation_review WHERE plan_id = :plan_id ORDER BY effective_from, broker_id""",
}


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Sums over a plan."""

    windows_total: int
    windows_planned: int
    windows_changed: int
    fills: int
    lines: int
    commission_usdt: Decimal


def totals(connection: Connection, plan_id: int) -> Totals:
    """The totals of a plan as far as it is planned."""
    query = text("""
        SELECT w.windows_total, w.windows_planned, w.fills, coalesce(m.windows, 0) AS windows_changed, coalesce(m.lines, 0) AS lines,
               coalesce(m.commission_usdt, 0) AS commission_usdt
        FROM (SELECT count(*) AS windows_total, count(planned_at) AS windows_planned, coalesce(sum(fills), 0)::bigint AS fills
              FROM recalculation_window WHERE plan_id = :plan_id) w,
             (SELECT count(DISTINCT window_start) AS windows, sum(lines)::bigint AS lines, sum(commission_usdt) AS commission_usdt
              FROM recalculation_move WHERE plan_id = :plan_id) m
    """)
    return Totals(**connection.execute(query, {"plan_id": plan_id}).mappings().one())


def parts(connection: Connection, plan_id: int) -> dict[str, list[dict[str, Any]]]:
    """Every part of PARTS as plain rows."""
    return {
        name: [dict(row) for row in connection.execute(text(query), {"plan_id": plan_id}).mappings()]
        for name, query in PARTS.items()
    }
