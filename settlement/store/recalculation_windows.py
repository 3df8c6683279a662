"""The windows of a recalculation plan: claimed, planned, and opened as runs; everything set-based."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, text

from settlement.store.copying import copy_in

PARTS = (
    "recalculation_payee",
    "recalculation_move",
    "recalculation_line",
    "recalculation_key",
    "recalculation_activity",
)


@dataclass(frozen=True, kw_only=True)
class Stale:
    """A window that is not as it was when it was planned: more fills, or settled again."""

    window_start: datetime
    fills_then: int
    fills_now: int
    settled_again: bool


def unplanned(connection: Connection, plan_id: int) -> list[datetime]:
    """The windows of a plan that are still to be planned, the oldest first."""
    query = text("""
        SELECT window_start FROM recalculation_window
        WHERE plan_id = :plan_id AND planned_at IS NULL ORDER BY window_start
    """)
    return list(connection.execute(query, {"plan_id": plan_id}).scalars())


def stalled(connection: Connection, *, before: datetime) -> list[int]:
    """Plans with windows still to be planned of which none was planned since `before`."""
    query = text("""
        SELECT plan_id FROM recalculation r JOIN recalculation_window w USING (plan_id) WHERE r.status = 'planning'
        GROUP BY plan_id HAVING greatest(r.planned_at, max(w.planned_at)) < :before AND count(*) > count(w.planned_at)
        ORDER BY plan_id
    """)
    return list(connection.execute(query, {"before": before}).scalars())


def claim(connection: Connection, plan_id: int, window_start: datetime, *, in_order: bool) -> bool:
    """Locks a window that is still to be planned; False if it is planned, or somebody else is at it.

    `in_order`: False too as long as an earlier window of its month is not planned.
    """
    query = text("""
        SELECT FROM recalculation_window
        WHERE plan_id = :plan_id AND window_start = :window_start AND planned_at IS NULL AND NOT (:in_order AND EXISTS (
            SELECT FROM recalculation_window earlier
            WHERE earlier.plan_id = :plan_id AND earlier.planned_at IS NULL AND earlier.window_start < :window_start
              AND earlier.window_start >= date_trunc('month', CAST(:window_start AS timestamptz), 'UTC')))
        FOR UPDATE SKIP LOCKED
    """)
    parameters = {"plan_id": plan_id, "window_start": window_start, "in_order": in_order}
    return connection.execute(query, parameters).one_or_none() is not None


def write(
    connection: Connection, plan_id: int, window_start: datetime, *, roots: Sequence[str], parts: Mapping[str, pa.Table]
) -> None:
    """Writes what a window would come to: a shard per root, and the parts (tables of PARTS) without plan and window."""
    same = {"plan_id": plan_id, "window_start": window_start.isoformat()}
    shards = pa.table({"root": pa.array(sorted(roots), pa.string())})
    for name, part in {"recalculation_shard": shards, **parts}.items():
        if part.num_rows:
            columns = {key: pa.repeat(value, part.num_rows) for key, value in same.items()}
            table = pa.table({**columns, **{key: part[key] for key in part.column_names}})
            copy_in(connection, name, [table], columns=table.column_names)


def finish(connection: Connection, plan_id: int, window_start: datetime, *, revision: int, fills: int) -> None:
    """The window is planned, from so many fills and the window's run of that revision."""
    query = text("""
        UPDATE recalculation_window SET planned_at = clock_timestamp(), revision = :revision, fills = :fills
        WHERE plan_id = :plan_id AND window_start = :window_start
    """)
    values = {"plan_id": plan_id, "window_start": window_start, "revision": revision, "fills": fills}
    connection.execute(query, values)


def plan_again(connection: Connection, plan_id: int, windows: Sequence[datetime], *, root: str) -> None:
    """These windows are to be planned (once more), at least of the lines of `root`; what was planned of them is dropped."""
    values = {"plan_id": plan_id, "windows": list(windows), "root": root}
    concerned = "plan_id = :plan_id AND window_start = ANY (CAST(:windows AS timestamptz[]))"
    for table in (*PARTS, "recalculation_shard"):
        connection.execute(text(f"DELETE FROM {table} WHERE {concerned}"), values)  # noqa: S608 - constants
    connection.execute(
        text("""
            INSERT INTO recalculation_window (plan_id, window_start, roots)
            SELECT :plan_id, unnest(CAST(:windows AS timestamptz[])), ARRAY[CAST(:root AS text)]
            ON CONFLICT (plan_id, window_start) DO UPDATE SET planned_at = NULL, revision = NULL, fills = NULL,
                roots = CASE WHEN recalculation_window.roots IS NULL THEN NULL
                             ELSE array_remove(recalculation_window.roots, :root) || excluded.roots END
        """),
        values,
    )


def extent(connection: Connection, plan_id: int) -> tuple[datetime, datetime]:
    """From the first to the end of the last window of a plan."""
    query = text("""
        SELECT min(window_start), max(window_start) + interval '1 hour' FROM recalculation_window WHERE plan_id = :plan_id
    """)
    start, end = connection.execute(query, {"plan_id": plan_id}).one()
    return start, end


def lock_windows(connection: Connection, plan_id: int, *, others: bool) -> None:
    """Locks the plan's windows, oldest first: no run of them is opened until the transaction ends; `others`: all there are."""
    query = text("""
        SELECT FROM settlement_window WHERE :others OR window_start IN (
            SELECT window_start FROM recalculation_window WHERE plan_id = :plan_id) ORDER BY window_start FOR NO KEY UPDATE
    """)
    connection.execute(query, {"plan_id": plan_id, "others": others})


def of_root(connection: Connection, plan_id: int, root: str) -> frozenset[datetime]:
    """The plan's windows in which it is about the lines of a root."""
    query = text("""
        SELECT window_start FROM recalculation_window WHERE plan_id = :plan_id AND (roots IS NULL OR :root = ANY (roots))
    """)
    return frozenset(connection.execute(query, {"plan_id": plan_id, "root": root}).scalars())


def stale(connection: Connection, plan_id: int) -> list[Stale]:
    """The plan's windows that have more fills than when they were planned, or were settled again since."""
    query = text("""
        WITH counted AS (
            SELECT date_trunc('hour', executed_at, 'UTC') AS window_start, count(*) AS fills FROM fill
            WHERE executed_at >= (SELECT min(window_start) FROM recalculation_window WHERE plan_id = :plan_id)
              AND executed_at < (SELECT max(window_start) + interval '1 hour' FROM recalculation_window WHERE plan_id = :plan_id)
            GROUP BY 1
        ), latest AS (
            SELECT window_start, max(revision) AS revision FROM run GROUP BY window_start
        )
        SELECT window_start, w.fills AS fills_then, coalesce(c.fills, 0) AS fills_now, l.revision <> w.revision AS settled_again
        FROM recalculation_window w LEFT JOIN counted c USING (window_start) LEFT JOIN latest l USING (window_start)
        WHERE w.plan_id = :plan_id AND (coalesce(c.fills, 0) <> w.fills OR l.revision <> w.revision)
        ORDER BY window_start
    """)
    return [Stale(**row) for row in connection.execute(query, {"plan_id": plan_id}).mappings()]


def moved_before(connection: Connection, plan_id: int) -> list[datetime]:
    """Windows of a month that are not the plan's, come before one of it, and in which something earned was settled since."""
    query = text("""
        WITH planned AS (
            SELECT window_start, date_trunc('month', window_start, 'UTC') AS month
            FROM recalculation_window WHERE plan_id = :plan_id
        ), reach AS (
            SELECT month, max(window_start) AS until FROM planned GROUP BY month
        )
        SELECT DISTINCT r.window_start
        FROM reach JOIN run r ON r.window_start >= reach.month AND r.window_start < reach.until
        JOIN run_shard s USING (run_id)
        WHERE s.settled_at > (SELECT facts_at FROM recalculation WHERE plan_id = :plan_id)
          AND EXISTS (SELECT FROM activity a WHERE a.run_id = s.run_id AND a.root = s.root)
          AND r.window_start NOT IN (SELECT window_start FROM planned)
        ORDER BY r.window_start
    """)
    return list(connection.execute(query, {"plan_id": plan_id}).scalars())


def open_runs(connection: Connection, plan_id: int, *, facts_version: int) -> list[dict[str, Any]]:
    """Opens a run for each window that the plan changes, with its shards and what they read; what `window.due` says of each."""
    parameters = {"plan_id": plan_id, "facts_version": facts_version}
    connection.execute(
        text("""
            INSERT INTO run (window_start, revision, kind, facts_version, plan_id)
            SELECT window_start, w.revision + 1, 'recalculation', :facts_version, :plan_id
            FROM recalculation_window w
            WHERE plan_id = :plan_id AND EXISTS (
                SELECT FROM recalculation_shard s WHERE s.plan_id = w.plan_id AND s.window_start = w.window_start)
            ORDER BY window_start
        """),
        parameters,
    )
    connection.execute(
        text("""
            INSERT INTO run_shard (run_id, root) SELECT run_id, root
            FROM run JOIN recalculation_shard USING (plan_id, window_start) WHERE plan_id = :plan_id
        """),
        parameters,
    )
    connection.execute(
        text("""
            INSERT INTO shard_key (run_id, root, venue, account, tag) SELECT run_id, root, venue, account, tag
            FROM run JOIN recalculation_key USING (plan_id, window_start) WHERE plan_id = :plan_id
        """),
        parameters,
    )
    due = text("""
        SELECT run_id, window_start, array_agg(root ORDER BY root) AS roots
        FROM run JOIN run_shard USING (run_id) WHERE plan_id = :plan_id GROUP BY run_id, window_start ORDER BY window_start
    """)
    return [dict(row) for row in connection.execute(due, parameters).mappings()]
