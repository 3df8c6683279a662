"""A line's history: every version of it, which run recorded it and why, and what it changed.

1. The first version comes of the scheduled settlement of its window; of a later run, if the fill came late, or if facts
   that came late say that somebody earns by it.
2. A later version of a supplementary run settles what was pending. Which fact was missing is found by taking the fill
   through the rules by what was known before and by what was known then (settlement/reports/history_facts.py).
   Where nothing was pending, a monthly cap was reached sooner or later than it had seemed: something that was executed
   before it in the month came late.
3. A version of a recalculation names its plan, why it was made and who answers for it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from settlement.reports.history_facts import Known, facts_between
from settlement.reports.plain_text import plain
from settlement.reports.stored_fill import Row, StoredFill, read_stored_fill
from settlement.rules.reasons import Status

Document = dict[str, Any]

VERSIONS = """
SELECT l.revision, r.run_id, r.kind AS run_kind, r.opened_at, s.settled_at AS recorded_at,
       coalesce(s.facts_at, r.opened_at) AS facts_at, b.root, b.broker_id, b.status, b.reason, b.product, b.tier, b.rate,
       t.name AS terms, b.flags, l.net_fee_usdt, l.commission_usdt, l.notional_usdt, p.price_usdt,
       n.price_usdt AS notional_price_usdt, r.plan_id
FROM line l
JOIN basis b USING (basis_id)
JOIN run r USING (run_id)
LEFT JOIN run_shard s ON s.run_id = l.run_id AND s.root = b.root
LEFT JOIN program_terms t USING (terms_id)
LEFT JOIN price p ON p.price_id = l.price_id
LEFT JOIN price n ON n.price_id = l.notional_price_id
WHERE l.window_start = :window_start AND l.venue = :venue AND l.account = :account AND l.bill_id = :bill_id
ORDER BY l.revision
"""

PLANS = """
SELECT plan_id, reason, planned_by, planned_at, approved_by, approved_at, applied_by, applying_at AS applied_at
FROM recalculation WHERE plan_id = ANY (:plan_ids)
"""

FIRST_RUN = """
SELECT run_id, opened_at, closed_at AS settled_at FROM run WHERE window_start = :window_start ORDER BY revision LIMIT 1
"""

COMPARED = (
    "root", "broker_id", "status", "reason", "product", "tier", "rate", "terms", "flags", "price_usdt", "notional_price_usdt",
    "net_fee_usdt", "notional_usdt", "commission_usdt",
)  # fmt: skip


def history(connection: Connection, venue: str, account: str, bill_id: str) -> Document:
    """A document of plain values: fill, window, versions, the oldest first. Raises Refused for a fill that is not stored."""
    stored = read_stored_fill(connection, venue, account, bill_id)
    key = {"venue": venue, "account": account, "bill_id": bill_id}
    read = _Read(connection, {**key, "window_start": stored.fill["window_start"]})
    versions, payees = read.rows(VERSIONS), _payees(stored)
    plans = {plan["plan_id"]: plan for plan in read.rows(PLANS, plan_ids=[row["plan_id"] for row in versions])}
    document: Document = plain(
        {
            "fill": {**key, **{name: stored.fill[name] for name in ("executed_at", "load_id", "file", "loaded_at")}},
            "window": {"window_start": stored.fill["window_start"], **stored.window},
            "versions": [
                {
                    **_told(version),
                    "why": _why(read, stored, version, before, plans.get(version["plan_id"])),
                    "changes": _changes(before, version),
                    "payees": _moved(payees.get(version["revision"] - 1, {}), payees.get(version["revision"], {})),
                }
                for before, version in zip([None, *versions], versions, strict=False)
            ],
        }
    )
    return document


class _Read:
    """Rows about one fill."""

    def __init__(self, connection: Connection, placed: Row) -> None:
        self.connection = connection
        self.placed = placed

    def rows(self, query: str, **more: Any) -> list[Row]:
        return [dict(row) for row in self.connection.execute(text(query), {**self.placed, **more}).mappings()]


def _told(version: Row) -> Row:
    return {name: value for name, value in version.items() if name != "plan_id" and value not in (None, "")}


def _why(read: _Read, stored: StoredFill, version: Row, before: Row | None, plan: Row | None) -> Row:
    """`cause`, and with it what it needs to be understood."""
    if version["run_kind"] == "scheduled":
        return {"cause": "scheduled"}
    (first,) = read.rows(FIRST_RUN)
    known = Known(before=(before or {"facts_at": first["opened_at"]})["facts_at"], then=version["facts_at"])
    facts = facts_between(read.connection, read.placed, known)
    if plan is not None:
        return {"cause": "recalculation", "plan": plan, "facts": facts}
    if before is not None and before["status"] != Status.PENDING:
        return {"cause": "cap moved"}
    if before is not None:
        return {"cause": "resolved", "reason": before["reason"], "facts": facts}
    if facts and stored.fill["loaded_at"] <= first["opened_at"]:
        return {"cause": "attributed later", "after": first, "facts": facts}
    arrived = {name: stored.fill[name] for name in ("load_id", "file", "loaded_at")}
    return {"cause": "late fill", "arrived": arrived, "after": first}


def _changes(before: Row | None, version: Row) -> list[Row]:
    if before is None:
        return []
    return [
        {"what": name, "from": before[name], "to": version[name]} for name in COMPARED if before[name] != version[name]
    ]


def _payees(stored: StoredFill) -> dict[int, dict[str, Decimal]]:
    """By revision, what each payee has of it in USDT, from the root down."""
    payees: dict[int, dict[str, Decimal]] = {}
    for share in stored.shares:
        payees.setdefault(share["revision"], {})[share["payee"]] = share["amount_usdt"]
    return payees


def _moved(before: dict[str, Decimal], after: dict[str, Decimal]) -> list[Row]:
    nothing = Decimal(0)
    return [
        {"payee": payee, "from_usdt": before.get(payee, nothing), "to_usdt": after.get(payee, nothing)}
        for payee in {**before, **after}
        if before.get(payee, nothing) != after.get(payee, nothing)
    ]
