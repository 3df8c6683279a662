"""Recalculation plans: their life, from planning to applied, and what the runs that post one ask of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import orjson
from sqlalchemy import Connection, text

from settlement.errors import Refused


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One plan as it is recorded. `facts` is its fingerprint, empty until it is planned."""

    plan_id: int
    status: str
    range_start: datetime
    range_end: datetime
    broker_id: str | None
    reason: str
    re_review: bool
    facts_at: datetime
    facts: Mapping[str, str]
    planned_by: str
    planned_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    applied_by: str | None
    applying_at: datetime | None
    applied_at: datetime | None
    cancelled_by: str | None
    cancelled_at: datetime | None
    follows: int | None


_COLUMNS = """plan_id, status, range_start, range_end, broker_id, reason, re_review, facts_at, coalesce(facts, '{}') AS facts,
    planned_by, planned_at, approved_by, approved_at, applied_by, applying_at, applied_at, cancelled_by, cancelled_at, follows"""
_PLANS = f"SELECT {_COLUMNS} FROM recalculation"  # noqa: S608 - a constant

_UNSETTLED = """
    SELECT window_start, CASE WHEN r.run_id IS NULL THEN w.status ELSE 'being settled' END AS status
    FROM settlement_window w LEFT JOIN run r USING (window_start)
    WHERE window_start >= :start AND window_start < :end
      AND (w.status NOT IN ('settled', 'incomplete') OR r.closed_at IS NULL AND r.run_id IS NOT NULL)
    UNION
    SELECT date_trunc('hour', clock_timestamp(), 'UTC'), 'not over yet' WHERE :end > date_trunc('hour', clock_timestamp(), 'UTC')
    ORDER BY window_start
"""


def add_plan(connection: Connection, *, values: Mapping[str, Any], windows: Sequence[datetime]) -> int:
    """Adds a plan in planning, with a row per window; asked for again under the same `request_key`, the one that is there.

    `facts_at` among its values is a moment by which everything that was loaded or recorded until then is committed.
    """
    added = connection.execute(
        text("""
            INSERT INTO recalculation (range_start, range_end, broker_id, reason, re_review, request_key, planned_by, follows,
                facts_at)
            VALUES (:range_start, :range_end, :broker_id, :reason, :re_review, :request_key, :planned_by, :follows, :facts_at)
            ON CONFLICT (request_key) DO NOTHING RETURNING plan_id
        """),
        {"follows": None, **values},
    ).scalar()
    if added is None:
        query = text("SELECT plan_id FROM recalculation WHERE request_key = :request_key")
        return int(connection.execute(query, {"request_key": values["request_key"]}).scalar_one())
    connection.execute(
        text("""
            INSERT INTO recalculation_window (plan_id, window_start)
            SELECT :plan_id, unnest(CAST(:windows AS timestamptz[]))
        """),
        {"plan_id": added, "windows": list(windows)},
    )
    return int(added)


def follower_of(connection: Connection, plan_id: int) -> int | None:
    """The plan that follows a plan, if one does."""
    query = text("SELECT plan_id FROM recalculation WHERE follows = :plan_id")
    found: int | None = connection.execute(query, {"plan_id": plan_id}).scalar()
    return found


def unsettled(connection: Connection, *, start: datetime, end: datetime) -> list[tuple[datetime, str]]:
    """The windows of `[start, end)` that are not settled, are being settled, or are not over, with what they are."""
    rows = connection.execute(text(_UNSETTLED), {"start": start, "end": end})
    return [(row.window_start, row.status) for row in rows]


def windows_between(connection: Connection, *, start: datetime, end: datetime) -> list[datetime]:
    """The windows of `[start, end)` that there are; an hour before the installation that had no fill has none."""
    query = text("""
        SELECT window_start FROM settlement_window WHERE window_start >= :start AND window_start < :end ORDER BY window_start
    """)
    return list(connection.execute(query, {"start": start, "end": end}).scalars())


def plan_of(connection: Connection, plan_id: int, *, lock: bool = False) -> Plan:
    """One plan, its row locked until the transaction ends if asked. Raises Refused for an unknown id."""
    locking = "FOR NO KEY UPDATE" if lock else ""
    row = connection.execute(text(f"{_PLANS} WHERE plan_id = :plan_id {locking}"), {"plan_id": plan_id}).mappings()
    found = row.one_or_none()
    if found is None:
        raise Refused(f"there is no recalculation plan {plan_id}", mend="settlement recalc list shows those there are")
    return Plan(**found)


def list_plans(connection: Connection) -> list[Plan]:
    """Every plan, the latest first."""
    return [Plan(**row) for row in connection.execute(text(f"{_PLANS} ORDER BY plan_id DESC")).mappings()]


def move(connection: Connection, plan_id: int, status: str, **columns: Any) -> None:
    """Sets the plan's status and the columns that go with it."""
    sets = ", ".join(["status = :status", *(f"{name} = :{name}" for name in columns)])
    values = {
        name: orjson.dumps(value).decode() if isinstance(value, dict) else value for name, value in columns.items()
    }
    connection.execute(
        text(f"UPDATE recalculation SET {sets} WHERE plan_id = :plan_id"),  # noqa: S608 - the caller's own names
        {"plan_id": plan_id, "status": status, **values},
    )


def clock(connection: Connection) -> datetime:
    """The database's time."""
    moment: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return moment


def scope_brokers(connection: Connection, plan: Plan) -> frozenset[str] | None:
    """The plan's broker with everybody who has, or had, it above them; None where the plan is about all."""
    if plan.broker_id is None:
        return None
    query = text("""
        WITH RECURSIVE tree AS (
            SELECT CAST(:broker AS text) COLLATE "C" AS broker_id
            UNION SELECT child.broker_id FROM broker child JOIN tree ON child.parent_id = tree.broker_id
        )
        SELECT broker_id FROM tree
    """)
    return frozenset(connection.execute(query, {"broker": plan.broker_id}).scalars())


def window_roots(connection: Connection, plan_id: int, window_start: datetime) -> frozenset[str] | None:
    """The roots that the plan's window is about; None for all."""
    query = text("SELECT roots FROM recalculation_window WHERE plan_id = :plan_id AND window_start = :window_start")
    roots = connection.execute(query, {"plan_id": plan_id, "window_start": window_start}).scalar_one()
    return None if roots is None else frozenset(roots)


def is_known_broker(connection: Connection, broker_id: str) -> bool:
    """Whether the registry ever had this broker."""
    query = text("SELECT EXISTS (SELECT FROM broker WHERE broker_id = :broker_id)")
    return bool(connection.execute(query, {"broker_id": broker_id}).scalar_one())


def was_root(connection: Connection, broker_id: str) -> bool:
    """Whether this broker ever had no parent."""
    query = text("SELECT EXISTS (SELECT FROM broker WHERE broker_id = :broker_id AND parent_id IS NULL)")
    return bool(connection.execute(query, {"broker_id": broker_id}).scalar_one())


def inputs_digest(connection: Connection, plan_id: int, window_start: datetime) -> str:
    """The digest of what one window of a plan was planned from: the facts, its fills and the run before."""
    query = text("""
        SELECT r.facts, w.fills, w.revision FROM recalculation r JOIN recalculation_window w USING (plan_id)
        WHERE plan_id = :plan_id AND window_start = :window_start
    """)
    row = connection.execute(query, {"plan_id": plan_id, "window_start": window_start}).one()
    return sha256(orjson.dumps([row.facts, row.fills, row.revision], option=orjson.OPT_SORT_KEYS)).hexdigest()


def is_last_of_root(connection: Connection, plan_id: int, *, run_id: int, root: str) -> bool:
    """Whether no other shard of this root is left in the plan. The root's lock keeps it so until the transaction ends."""
    query = text("""
        SELECT NOT EXISTS (
            SELECT FROM run JOIN run_shard s USING (run_id)
            WHERE plan_id = :plan_id AND s.root = :root AND s.settled_at IS NULL AND run_id <> :run_id
        )
    """)
    return bool(connection.execute(query, {"plan_id": plan_id, "root": root, "run_id": run_id}).scalar_one())


def corrected_payees(connection: Connection, plan_id: int, *, root: str) -> list[str]:
    """The payees whose amounts the plan changes in a root's chain, by name."""
    query = text("""
        SELECT payee FROM recalculation_payee WHERE plan_id = :plan_id AND root = :root
        GROUP BY payee HAVING sum(amount_usdt) <> 0 ORDER BY payee
    """)
    return list(connection.execute(query, {"plan_id": plan_id, "root": root}).scalars())


def has_open_runs(connection: Connection, plan_id: int) -> bool:
    """Whether some run of the plan is still to be settled."""
    query = text("SELECT EXISTS (SELECT FROM run WHERE plan_id = :plan_id AND closed_at IS NULL)")
    return bool(connection.execute(query, {"plan_id": plan_id}).scalar_one())


def unsettled_shards(connection: Connection, plan_id: int) -> list[tuple[int, str]]:
    """The shards of a plan's runs that are still to be settled, as (run_id, root), the oldest windows first."""
    query = text("""
        SELECT run_id, root FROM run JOIN run_shard s USING (run_id)
        WHERE plan_id = :plan_id AND closed_at IS NULL AND s.settled_at IS NULL ORDER BY window_start, root
    """)
    return [(row.run_id, row.root) for row in connection.execute(query, {"plan_id": plan_id})]


def forget_workings(connection: Connection, plan_id: int) -> None:
    """Drops what was kept only until the plan is posted or given up."""
    for table in ("recalculation_key", "recalculation_activity"):
        connection.execute(text(f"DELETE FROM {table} WHERE plan_id = :plan_id"), {"plan_id": plan_id})  # noqa: S608 - constants
