"""The SQL of the exports: what each is made of, its columns in order, and what a selection means for it.

A broker selects the lines of its whole tree (every broker that has, or had, it above itself in the registry as it
stands), and of everything that is about money (shares, payouts, balances, entries) what is its own as a payee.
From and to select windows: of an entry the window it belongs to, of a tier the instant it takes effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Query:
    """One export: `{where}` in `body` takes the conditions of a selection; kinds of columns are those of ARROW_TYPES."""

    columns: Mapping[str, str]
    body: str
    from_condition: str
    to_condition: str
    broker_condition: str
    dated_body: str = ""
    per_root: bool = False


def stamp(column: str) -> str:
    """`column` as RFC 3339 text in UTC, with a fraction only where there is one: 2026-03-02T06:00:00Z."""
    return f"""rtrim(rtrim(to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), '0'), '.') || 'Z'"""


TREE = """
WITH RECURSIVE tree AS (
    SELECT %(broker)s::text COLLATE "C" AS broker_id
    UNION
    SELECT child.broker_id FROM broker child JOIN tree ON child.parent_id = tree.broker_id
    WHERE child.replaced_by_load IS NULL
)
"""

LINES = Query(
    columns={
        "window_start": "time",
        "venue": "text",
        "account": "text",
        "bill_id": "text",
        "broker_id": "text",
        "status": "text",
        "reason": "text",
        "product": "text",
        "tier": "text",
        "net_fee_usdt": "amount",
        "rate": "rate",
        "commission_usdt": "amount",
        "price_usdt": "price",
        "notional_usdt": "amount",
        "terms": "text",
        "run_id": "count",
        "flags": "text",
    },
    body="""
SELECT l.window_start, l.venue, l.account, l.bill_id, b.broker_id, b.status, b.reason, b.product, b.tier,
       l.net_fee_usdt, b.rate, l.commission_usdt,
       CASE WHEN b.status = 'earned' THEN coalesce(p.price_usdt, 1) END AS price_usdt,
       l.notional_usdt, t.name AS terms, l.run_id, b.flags
FROM current_line l
JOIN basis b USING (basis_id)
LEFT JOIN price p ON p.price_id = l.price_id
LEFT JOIN program_terms t USING (terms_id)
WHERE {where}
ORDER BY l.window_start, l.venue, l.account, l.bill_id
""",
    from_condition="l.window_start >= %(start)s",
    to_condition="l.window_start < %(end)s",
    broker_condition="b.broker_id IN (SELECT broker_id FROM tree)",
)

SHARES = Query(
    columns={
        "window_start": "time",
        "venue": "text",
        "account": "text",
        "bill_id": "text",
        "payee": "text",
        "amount_usdt": "amount",
        "run_id": "count",
    },
    body="""
SELECT l.window_start, l.venue, l.account, l.bill_id, part.payee, part.amount_usdt, l.run_id
FROM current_line l
JOIN basis b USING (basis_id)
JOIN split s USING (split_id)
CROSS JOIN LATERAL split_commission(l.commission_usdt, s.payees, s.shares) part
WHERE {where}
ORDER BY l.window_start, l.venue, l.account, l.bill_id, part.payee COLLATE "C"
""",
    from_condition="l.window_start >= %(start)s",
    to_condition="l.window_start < %(end)s",
    broker_condition="%(broker)s = ANY (s.payees) AND part.payee = %(broker)s",
)

ENTRIES = Query(
    columns={
        "entry_id": "count",
        "effective_at": "time",
        "recorded_at": "time",
        "kind": "text",
        "run_id": "count",
        "account": "text",
        "direction": "text",
        "amount_usdt": "amount",
    },
    body="""
SELECT e.entry_id, e.effective_at, e.recorded_at, e.kind, e.run_id, p.account, p.direction, p.amount_usdt
FROM entry e
JOIN posting p USING (entry_id)
JOIN ledger_account a USING (account)
WHERE {where}
ORDER BY e.entry_id::text COLLATE "C", p.account, p.direction COLLATE "C", p.leg
""",
    from_condition="e.effective_at >= %(start)s",
    to_condition="e.effective_at < %(end)s",
    broker_condition="a.payee = %(broker)s",
)

BALANCES = Query(
    columns={"account": "text", "balance_usdt": "amount"},
    body="""
SELECT b.account, sum(b.balance_usdt) AS balance_usdt
FROM balance b
JOIN ledger_account a USING (account)
WHERE {where}
GROUP BY b.account
ORDER BY b.account
""",
    # Of some windows only: what the entries that belong to them add up to.
    dated_body="""
SELECT p.account, sum(CASE WHEN p.direction = a.normal_side THEN p.amount_usdt ELSE -p.amount_usdt END) AS balance_usdt
FROM entry e
JOIN posting p USING (entry_id)
JOIN ledger_account a USING (account)
WHERE {where}
GROUP BY p.account
ORDER BY p.account
""",
    from_condition="e.effective_at >= %(start)s",
    to_condition="e.effective_at < %(end)s",
    broker_condition="a.payee = %(broker)s",
)

PAYOUTS = Query(
    columns={
        "payout_id": "count",
        "payee": "text",
        "amount_usdt": "amount",
        "status": "text",
        "rail": "text",
        "address": "text",
        "created_at": "time",
        "window_start": "time",
    },
    body="""
SELECT p.payout_id, p.payee, p.amount_usdt, p.status, p.rail, p.address, p.created_at, p.window_start
FROM payout p
WHERE {where}
ORDER BY p.payout_id::text COLLATE "C"
""",
    from_condition="p.window_start >= %(start)s",
    to_condition="p.window_start < %(end)s",
    broker_condition="p.payee = %(broker)s",
)

WINDOWS = Query(
    columns={
        "window_start": "time",
        "status": "text",
        "fills": "count",
        "earned": "count",
        "excluded": "count",
        "pending": "count",
        "commission_usdt": "amount",
        "settled_at": "time",
        "runs": "count",
    },
    # What each run changed adds up to the window as it stands.
    body="""
SELECT w.window_start, w.status,
       coalesce(sum(o.lines), 0)::bigint AS fills,
       coalesce(sum(o.lines) FILTER (WHERE o.status = 'earned'), 0)::bigint AS earned,
       coalesce(sum(o.lines) FILTER (WHERE o.status = 'excluded'), 0)::bigint AS excluded,
       coalesce(sum(o.lines) FILTER (WHERE o.status = 'pending'), 0)::bigint AS pending,
       coalesce(sum(o.commission_usdt), 0) AS commission_usdt,
       w.settled_at, count(DISTINCT r.run_id) AS runs
FROM settlement_window w
LEFT JOIN (run r LEFT JOIN run_outcome o USING (run_id)) USING (window_start)
WHERE {where}
GROUP BY w.window_start, w.status, w.settled_at
ORDER BY w.window_start
""",
    from_condition="w.window_start >= %(start)s",
    to_condition="w.window_start < %(end)s",
    broker_condition="o.root = %(broker)s",
    per_root=True,
)

TIERS = Query(
    columns={
        "broker_id": "text",
        "tier": "text",
        "effective_from": "time",
        "reason": "text",
        "volume_usdt": "amount",
        "clients": "count",
    },
    # Sorted by the instant's text, which is not always the order of time: "01.5Z" comes before "01Z".
    body="""
SELECT t.broker_id, t.tier, t.effective_from, t.reason, t.volume_usdt, t.clients
FROM (
    SELECT broker_id, tier, effective_from, reason, NULL::numeric AS volume_usdt, NULL::bigint AS clients
    FROM tier_override WHERE replaced_by_load IS NULL
    UNION ALL
    (SELECT DISTINCT ON (broker_id, effective_from) broker_id, tier, effective_from, NULL, volume_usdt, clients
     FROM tier_review ORDER BY broker_id, effective_from, reviewed_at DESC)
) t
WHERE {where}
ORDER BY t.broker_id COLLATE "C",
         rtrim(rtrim(to_char(t.effective_from AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), '0'), '.') || 'Z' COLLATE "C"
""",
    from_condition="t.effective_from >= %(start)s",
    to_condition="t.effective_from < %(end)s",
    broker_condition="t.broker_id IN (SELECT broker_id FROM tree)",
)

QUERIES: Mapping[str, Query] = {
    "lines": LINES,
    "shares": SHARES,
    "entries": ENTRIES,
    "balances": BALANCES,
    "payouts": PAYOUTS,
    "windows": WINDOWS,
    "tiers": TIERS,
}
