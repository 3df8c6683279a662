"""Runs and their shards: who settles what of a window, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
from sqlalchemy import Connection, text

from settlement.store import loads, recording
from settlement.store.copying import copy_in


@dataclass(frozen=True, kw_only=True)
class Run:
    """One act of settling a window; a recalculation is of a plan, and by the facts of that plan (`facts_at`)."""

    run_id: int
    window_start: datetime
    revision: int
    kind: str
    incomplete: bool
    facts_version: int
    closed: bool
    plan_id: int | None = None
    facts_at: datetime | None = None


_RUN = """
    SELECT run_id, window_start, revision, kind, incomplete, facts_version, closed_at IS NOT NULL AS closed, plan_id,
           applying_at AS facts_at
    FROM run LEFT JOIN recalculation USING (plan_id)
"""


@dataclass(frozen=True, kw_only=True)
class OutcomeCount:
    """How many lines of one root, status and reason a shard added (negative: took away), and their commission in USDT."""

    line_root: str
    status: str
    reason: str
    lines: int
    commission_usdt: Decimal


def lock_window(connection: Connection, window_start: datetime) -> None:
    """Locks the window's row, making it if there is none."""
    connection.execute(
        text("INSERT INTO settlement_window (window_start) VALUES (:window_start) ON CONFLICT DO NOTHING"),
        {"window_start": window_start},
    )
    query = text("SELECT FROM settlement_window WHERE window_start = :window_start FOR NO KEY UPDATE")
    connection.execute(query, {"window_start": window_start})


def latest_run(connection: Connection, window_start: datetime) -> Run | None:
    """The window's latest run, open or closed."""
    query = text(f"{_RUN} WHERE window_start = :window_start ORDER BY revision DESC LIMIT 1")
    row = connection.execute(query, {"window_start": window_start}).mappings().one_or_none()
    return Run(**row) if row else None


def run_of(connection: Connection, run_id: int) -> Run:
    """One run; raises NoResultFound for an unknown id."""
    query = text(f"{_RUN} WHERE run_id = :run_id")
    return Run(**connection.execute(query, {"run_id": run_id}).mappings().one())


def add_run(  # noqa: PLR0913 - all that a run is
    connection: Connection, *, window_start: datetime, revision: int, kind: str, incomplete: bool, facts_version: int
) -> Run:
    """Opens a run; its shards are added next, in the same transaction.

    `facts_version` is that of the facts its shards were planned by.
    """
    query = text("""
        INSERT INTO run (window_start, revision, kind, incomplete, facts_version)
        VALUES (:window_start, :revision, :kind, :incomplete, :facts_version)
        RETURNING run_id
    """)
    values: dict[str, Any] = {
        "window_start": window_start,
        "revision": revision,
        "kind": kind,
        "incomplete": incomplete,
        "facts_version": facts_version,
    }
    run_id = int(connection.execute(query, values).scalar_one())
    return Run(run_id=run_id, closed=False, **values)


def add_shards(connection: Connection, run_id: int, keys: pd.DataFrame) -> list[str]:
    """Adds a shard per distinct root in `keys` (root, venue, account, tag) and what each shard reads; returns the roots."""
    roots = sorted(str(root) for root in keys["root"].unique())
    connection.execute(
        text("INSERT INTO run_shard (run_id, root) SELECT :run_id, unnest(CAST(:roots AS text[]))"),
        {"run_id": run_id, "roots": roots},
    )
    columns = ["run_id", "root", "venue", "account", "tag"]
    table = pa.Table.from_pandas(keys.assign(run_id=run_id)[columns], preserve_index=False)
    copy_in(connection, "shard_key", [table], columns=columns)
    return roots


def roots_of(connection: Connection, run_id: int) -> list[str]:
    """The roots of a run's shards that are still to be settled."""
    query = text("SELECT root FROM run_shard WHERE run_id = :run_id AND settled_at IS NULL ORDER BY root")
    return list(connection.execute(query, {"run_id": run_id}).scalars())


def lock_opening(connection: Connection) -> None:
    """One transaction at a time opens the runs of a backlog, so that they are opened in order."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('open_in_order', 0))"))


def never_settled(connection: Connection, *, before: datetime) -> list[datetime]:
    """The windows before `before` that no run was opened for, oldest first."""
    query = text("""
        SELECT window_start FROM settlement_window WHERE status = 'open' AND window_start < :before ORDER BY window_start
    """)
    return list(connection.execute(query, {"before": before}).scalars())


def unsettled_before(connection: Connection, run_id: int, root: str) -> list[int]:
    """The open runs of earlier windows in which this root's shard is still to be settled, oldest first."""
    query = text("""
        SELECT s.run_id FROM run_shard s JOIN run r USING (run_id)
        WHERE r.closed_at IS NULL AND s.settled_at IS NULL AND s.root = :root
          AND r.window_start < (SELECT window_start FROM run WHERE run_id = :run_id)
        ORDER BY r.window_start
    """)
    return list(connection.execute(query, {"run_id": run_id, "root": root}).scalars())


def claim_shard(connection: Connection, run: Run, root: str) -> bool:
    """Takes the root's lock until the transaction ends; True if the shard is still to be settled.

    The lock is the root's, not the shard's: its ledger chain is extended by one transaction at a time. No facts are
    loaded meanwhile either: what a load compares itself with is either settled or not begun.
    """
    loads.keep_out(connection)
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('root:' || :root, 0))"), {"root": root})
    query = text("""
        UPDATE run_shard SET facts_at = coalesce(:facts_at, clock_timestamp())
        WHERE run_id = :run_id AND root = :root AND settled_at IS NULL
    """)
    parameters = {"run_id": run.run_id, "root": root, "facts_at": run.facts_at}
    return connection.execute(query, parameters).rowcount == 1


def finish_shard(  # noqa: PLR0913 - all that a shard came to
    connection: Connection,
    run_id: int,
    root: str,
    *,
    fills: int,
    inputs: Mapping[str, Any],
    outcomes: Sequence[OutcomeCount],
) -> None:
    """Records what a shard came to, at the time at which what it booked is recorded: as of any time both show or none."""
    recorded_at = recording.begin(connection)
    connection.execute(
        text("""
            UPDATE run_shard SET fills = :fills, inputs = CAST(:inputs AS jsonb), settled_at = coalesce((
                SELECT min(recorded_at) FROM entry WHERE run_id = :run_id AND chain = :root), :recorded_at)
            WHERE run_id = :run_id AND root = :root
        """),
        {
            "run_id": run_id,
            "root": root,
            "recorded_at": recorded_at,
            "fills": fills,
            "inputs": orjson.dumps(inputs).decode(),
        },
    )
    if outcomes:
        connection.execute(
            text("""
                INSERT INTO run_outcome (run_id, root, line_root, status, reason, lines, commission_usdt)
                VALUES (:run_id, :root, :line_root, :status, :reason, :lines, :commission_usdt)
            """),
            [{"run_id": run_id, "root": root, **vars(outcome)} for outcome in outcomes],
        )


def close_if_settled(connection: Connection, run_id: int) -> bool:
    """Closes the run if no shard of it is left; False if one is, or if it was closed before.

    The run's row is locked first, so of two shards that finish at once the second sees the first. It is not locked
    against foreign keys: both shards hold those on it already, and would wait for each other.
    """
    connection.execute(text("SELECT FROM run WHERE run_id = :run_id FOR NO KEY UPDATE"), {"run_id": run_id})
    query = text("""
        UPDATE run SET closed_at = recording_time() WHERE run_id = :run_id AND closed_at IS NULL
        AND NOT EXISTS (SELECT FROM run_shard WHERE run_id = :run_id AND settled_at IS NULL)
    """)
    if connection.execute(query, {"run_id": run_id}).rowcount == 0:
        return False
    connection.execute(text("DELETE FROM shard_key WHERE run_id = :run_id"), {"run_id": run_id})
    return True


def inputs_of_window(connection: Connection, window_start: datetime) -> list[Mapping[str, Any]]:
    """What each settled shard of the window read, over all its runs."""
    query = text("""
        SELECT s.inputs FROM run_shard s JOIN run r USING (run_id)
        WHERE r.window_start = :window_start AND s.inputs IS NOT NULL ORDER BY s.run_id, s.root
    """)
    return list(connection.execute(query, {"window_start": window_start}).scalars())


def totals_of_windows(connection: Connection, first: datetime, last: datetime) -> dict[str, Any]:
    """Lines by status, and commission in USDT as text, of the windows from `first` to `last` as they stand.

    A count that is wrong is the audit's to find; one below nothing is told as 0, and stops nobody who is settling.
    """
    query = text("""
        SELECT greatest(sum(lines) FILTER (WHERE status = 'earned'), 0)::bigint AS earned,
               greatest(sum(lines) FILTER (WHERE status = 'excluded'), 0)::bigint AS excluded,
               greatest(sum(lines) FILTER (WHERE status = 'pending'), 0)::bigint AS pending,
               coalesce(sum(o.commission_usdt), 0)::text AS commission_usdt
        FROM run_outcome o JOIN run r USING (run_id) WHERE r.window_start BETWEEN :first AND :last
    """)
    return dict(connection.execute(query, {"first": first, "last": last}).mappings().one())


def mark_settling(connection: Connection, window_start: datetime) -> None:
    """A run is under way: whatever asked for one has been seen."""
    connection.execute(
        text("""
            UPDATE settlement_window SET recheck = false, status = CASE status WHEN 'open' THEN 'settling' ELSE status END
            WHERE window_start = :window_start
        """),
        {"window_start": window_start},
    )


def mark_settled(connection: Connection, run: Run, *, seal: Mapping[str, Any], recheck: bool) -> None:
    """The run's window is settled and sealed; an incomplete one stays marked as such.

    With `recheck` it is to be looked at again, as it is if somebody asked for that meanwhile.
    """
    connection.execute(
        text("""
            UPDATE settlement_window SET seal = CAST(:seal AS jsonb),
                settled_at = (SELECT closed_at FROM run WHERE run_id = :run_id),
                status = CASE WHEN :incomplete OR status = 'incomplete' THEN 'incomplete' ELSE 'settled' END,
                recheck = recheck OR :recheck
            WHERE window_start = :window_start
        """),
        {
            "window_start": run.window_start,
            "run_id": run.run_id,
            "recheck": recheck,
            "incomplete": run.incomplete,
            "seal": orjson.dumps(seal).decode(),
        },
    )
