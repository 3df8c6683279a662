"""A load may not silently change the past of windows that were settled.

1. Per key, what was in force before the load is compared with what is in force after it, interval by interval.
2. The load is refused if a line that is not pending, in a window that was settled, stands on an interval that differs.
3. Where a missing fact leaves lines pending (VIP levels, terms, instruments), bringing it in changes no settled line.
4. With a correction, the load is recorded beside what it replaces, and this is not called: settled windows then change
   only through a recalculation.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from sqlalchemy import Connection, text

from settlement.errors import InputRefused
from settlement.store.fact_table import FactTable
from settlement.store.templates import equal, fill, listed, run


@dataclass(frozen=True, kw_only=True)
class SettledPeriod:
    """From the start of the first to the end of the last window that a run has settled or is settling."""

    start: datetime
    end: datetime


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Which lines stand on a changed interval `c`: a condition on the line `l`, its basis `b` and its fill `f`."""

    line: str
    statuses: tuple[str, ...] = ("earned", "excluded")


def settled_period(connection: Connection) -> SettledPeriod | None:
    """None where nothing has been settled, and so no load can change the past."""
    start, end = connection.execute(
        text(
            "SELECT min(window_start), max(window_start) + interval '1 hour' FROM settlement_window WHERE status <> 'open'"
        )
    ).one()
    return None if start is None else SettledPeriod(start=start, end=end)


# `before` and `after` say in which of the two worlds a row stands. The row in force at an instant is found by a running
# maximum of effective_from over the instants at which anything begins or ends, not row by row.
_CHANGED = """
CREATE TEMP TABLE changed ON COMMIT DROP AS
WITH touched AS (
    SELECT DISTINCT $key FROM $staged WHERE $begins < :settled_end
), version AS (
    SELECT $t_key, t.$begins AS begins, $ends AS ends, jsonb_build_array($ruling) AS content,
           t.load_id <> :load AS before, t.replaced_by_load IS NULL AS after
    FROM $table t JOIN touched k ON $same_touched
    WHERE t.replaced_by_load IS NULL OR t.replaced_by_load = :load
), instant AS (
    SELECT $key, begins AS at, begins, before, after FROM version
    UNION ALL SELECT $key, ends, NULL, false, false FROM version WHERE ends IS NOT NULL
), latest AS (
    SELECT DISTINCT $key, at, max(begins) FILTER (WHERE before) OVER so_far AS begins_before,
           max(begins) FILTER (WHERE after) OVER so_far AS begins_after
    FROM instant WINDOW so_far AS (PARTITION BY $partition ORDER BY at)
), segment AS (
    SELECT *, coalesce(lead(at) OVER (PARTITION BY $partition ORDER BY at), 'infinity') AS until FROM latest
)
SELECT $g_key, greatest(g.at, :settled_start) AS begins_at, least(g.until, :settled_end) AS ends_at
FROM segment g
LEFT JOIN version b ON $same_before AND b.before AND b.begins = g.begins_before AND coalesce(b.ends > g.at, true)
LEFT JOIN version a ON $same_after AND a.after AND a.begins = g.begins_after AND coalesce(a.ends > g.at, true)
WHERE g.at < :settled_end AND g.until > :settled_start
  AND a.content IS DISTINCT FROM b.content AND (b.content IS NOT NULL OR NOT :gap_is_pending)
"""

# A line exists only where a run has settled its window. Materialized, so that the lines are found by hash joins: asked
# for the first one only, the planner would walk the lines in order and look each of them up.
_FIRST_LINE = """
WITH found AS MATERIALIZED (
    SELECT $c_columns, c.begins_at, l.window_start, l.venue AS of_venue, l.account AS of_account, l.bill_id
    FROM current_line l
    JOIN settled_basis b ON b.basis_id = l.basis_id
    JOIN fill f ON f.venue = l.venue AND f.account = l.account AND f.bill_id = l.bill_id
    JOIN $changed c ON $stands_on AND f.executed_at >= c.begins_at AND f.executed_at < c.ends_at
    WHERE l.window_start > CAST(:first AS timestamptz) - interval '1 hour' AND l.window_start < :last
      AND f.executed_at >= :first AND f.executed_at < :last
)
SELECT * FROM found ORDER BY window_start, of_venue, of_account, bill_id LIMIT 1
"""

# A change of a broker touches the lines of everybody below it in the tree, as the tree stood before or stands now.
_WITH_DESCENDANTS = """
CREATE TEMP TABLE changed_tree ON COMMIT DROP AS
WITH RECURSIVE edge AS (
    SELECT broker_id, parent_id, effective_from AS begins,
           coalesce(least(effective_to, lead(effective_from) OVER (PARTITION BY broker_id ORDER BY effective_from)),
                    'infinity') AS until
    FROM broker WHERE replaced_by_load IS NULL
    UNION ALL
    SELECT broker_id, parent_id, effective_from, coalesce(effective_to, 'infinity')
    FROM broker WHERE replaced_by_load = :load
), below AS (
    SELECT broker_id AS changed_id, broker_id, begins_at, ends_at FROM changed
    UNION
    SELECT t.changed_id, e.broker_id, greatest(t.begins_at, e.begins), least(t.ends_at, e.until)
    FROM below t JOIN edge e ON e.parent_id = t.broker_id AND e.begins < t.ends_at AND e.until > t.begins_at
)
SELECT * FROM below
"""


@dataclass(frozen=True, kw_only=True)
class Load:
    """A load that is under way: its id, the file that refusals name, and the period that it may not change."""

    load_id: int
    source: str
    period: SettledPeriod


def refuse_change(connection: Connection, table: FactTable, *, standing: Standing, load: Load) -> None:
    """Raises `InputRefused` if what `load` did to `table` changes what a settled line stands on.

    The staging table of the load must still be there: it says which row of the file is to blame.
    """
    if _write_changed(connection, table, load=load) == 0:
        return
    found = first_line(connection, "changed", columns=table.key, standing=standing)
    if found is not None:
        key = {name: found[name] for name in table.key}
        _refuse(connection, table, key=key, found=found, source=load.source)


def refuse_tree_change(connection: Connection, table: FactTable, *, standing: Standing, load: Load) -> None:
    """As `refuse_change`, for facts of a broker, on which the lines of its whole tree stand."""
    if _write_changed(connection, table, load=load) == 0:
        return
    run(connection, "DROP TABLE IF EXISTS changed_tree")
    run(connection, _WITH_DESCENDANTS, {"load": load.load_id})
    run(connection, "ANALYZE changed_tree")
    found = first_line(connection, "changed_tree", columns=("changed_id",), standing=standing)
    if found is not None:
        _refuse(connection, table, key={"broker_id": found["changed_id"]}, found=found, source=load.source)


def _write_changed(connection: Connection, table: FactTable, *, load: Load) -> int:
    """Fills the temporary table `changed` with the intervals that differ; returns their number."""
    run(connection, "DROP TABLE IF EXISTS changed")
    run(
        connection,
        _CHANGED,
        {
            "load": load.load_id,
            "settled_start": load.period.start,
            "settled_end": load.period.end,
            "gap_is_pending": table.gap_is_pending,
        },
        table=table.name,
        staged=table.staged,
        begins=table.begins,
        ends=f"t.{table.ends}" if table.ends else "NULL::timestamptz",
        ruling=listed(table.ruling, of="t"),
        key=listed(table.key),
        t_key=listed(table.key, of="t"),
        g_key=listed(table.key, of="g"),
        partition=listed(table.key),
        same_touched=equal(table.key, "t", "k"),
        same_before=equal(table.key, "b", "g"),
        same_after=equal(table.key, "a", "g"),
    )
    run(connection, "ANALYZE changed")
    return int(run(connection, "SELECT count(*) FROM changed").scalar_one())


def first_line(connection: Connection, changed: str, *, columns: tuple[str, ...], standing: Standing) -> Any:
    """The first settled line that stands on one of the intervals of the temporary table `changed`, or None.

    `changed` has `columns`, `begins_at` and `ends_at`; both instants lie within the settled period.
    """
    write_settled_basis(connection, standing.statuses)
    reach = run(connection, "SELECT min(begins_at) AS first, max(ends_at) AS last FROM $changed", changed=changed).one()
    query = fill(_FIRST_LINE, changed=changed, c_columns=listed(columns, of="c"), stands_on=standing.line)
    return connection.execute(text(query), {"first": reach.first, "last": reach.last}).mappings().first()


def write_settled_basis(connection: Connection, statuses: tuple[str, ...]) -> None:
    """The bases of these statuses as the temporary table `settled_basis`.

    A copy that is analyzed here: the planner's statistics of `basis` itself may be of a time when it was empty.
    """
    run(connection, "DROP TABLE IF EXISTS settled_basis")
    run(
        connection,
        "CREATE TEMP TABLE settled_basis ON COMMIT DROP AS"
        " SELECT basis_id, root, broker_id, status, product FROM basis WHERE status = ANY (:statuses)",
        {"statuses": list(statuses)},
    )
    run(connection, "ANALYZE settled_basis")


def _refuse(connection: Connection, table: FactTable, *, key: dict[str, Any], found: Any, source: str) -> NoReturn:
    row_number = run(
        connection,
        "SELECT row_number FROM $staged WHERE $is_key ORDER BY $begins <= :begins_at DESC, $begins DESC LIMIT 1",
        {**key, "begins_at": found["begins_at"]},
        staged=table.staged,
        is_key=" AND ".join(f"{name} = :{name}" for name in key),
        begins=table.begins,
    ).scalar_one()
    raise settled_refusal(found, subject=" ".join(map(str, key.values())), where=f"{source} row {row_number}")


def settled_refusal(found: Any, *, subject: str, where: str) -> InputRefused:
    """The refusal that names the first settled line that would change."""
    window = found["window_start"].strftime("%Y-%m-%dT%H:%MZ")
    line = f"{found['of_venue']} {found['of_account']} {found['bill_id']}"
    return InputRefused(
        f"it changes {subject} in the past of settled windows, first {window} (line {line})",
        where=where,
        mend='say why with --correction "...", then plan a recalculation of those windows',
    )
