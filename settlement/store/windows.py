"""The window table: the scheduler of record. What exists, what is due, and what was begun and never finished."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from settlement.store.harvests import COMPLETE_TO


@dataclass(frozen=True, kw_only=True)
class WaitingWindow:
    """A window that is not settled, or is settled and to be looked at again (`recheck`)."""

    window_start: datetime
    settled: bool


@dataclass(frozen=True, kw_only=True)
class UnsettledShard:
    """A shard of an open run that nobody has settled."""

    run_id: int
    root: str


def create_missing(connection: Connection, *, ended_by: datetime) -> int:
    """Makes a row for every hour since the installation that has ended by `ended_by`; returns how many were missing."""
    result = connection.execute(
        text(
            "INSERT INTO settlement_window (window_start)"
            " SELECT hour FROM installation, generate_series(date_trunc('hour', installed_at, 'UTC'),"
            "   CAST(:ended_by AS timestamptz) - interval '1 hour', interval '1 hour') hour"
            " WHERE NOT EXISTS (SELECT FROM settlement_window WHERE window_start = hour)"
            " ON CONFLICT DO NOTHING"
        ),
        {"ended_by": ended_by},
    )
    return result.rowcount


def waiting(connection: Connection, *, ended_by: datetime, limit: int) -> list[WaitingWindow]:
    """The oldest windows that have ended, wait to be settled (again) and have no run open."""
    rows = connection.execute(
        text(
            "SELECT window_start, status IN ('settled', 'incomplete') AS settled FROM settlement_window w"
            " WHERE (recheck OR status IN ('open', 'settling'))"
            "   AND window_start <= CAST(:ended_by AS timestamptz) - interval '1 hour'"
            "   AND NOT EXISTS (SELECT FROM run r WHERE r.window_start = w.window_start AND r.closed_at IS NULL)"
            " ORDER BY window_start LIMIT :limit"
        ),
        {"ended_by": ended_by, "limit": limit},
    )
    return [WaitingWindow(**row) for row in rows.mappings()]


def waits(connection: Connection, window_start: datetime) -> bool:
    """Whether a window is to be settled (again), or has a run open; so does one that nobody has heard of."""
    query = text(
        "SELECT recheck OR status IN ('open', 'settling')"
        " OR EXISTS (SELECT FROM run r WHERE r.window_start = w.window_start AND r.closed_at IS NULL)"
        " FROM settlement_window w WHERE window_start = :window_start"
    )
    waiting: bool | None = connection.execute(query, {"window_start": window_start}).scalar_one_or_none()
    return waiting is None or waiting


def unsettled_shards(connection: Connection, *, opened_before: datetime, limit: int) -> list[UnsettledShard]:
    """Shards of runs that were opened before `opened_before`, not settled yet and not being settled: oldest first.

    A worker that settles a shard holds its row's lock, so a row that can be locked is nobody's.
    """
    rows = connection.execute(
        text(
            "SELECT run_id, root FROM run JOIN run_shard s USING (run_id)"
            " WHERE closed_at IS NULL AND s.settled_at IS NULL AND opened_at < :opened_before"
            " ORDER BY window_start, run_id, root LIMIT :limit FOR UPDATE OF s SKIP LOCKED"
        ),
        {"opened_before": opened_before, "limit": limit},
    )
    return [UnsettledShard(**row) for row in rows.mappings()]


def watermarks(connection: Connection) -> dict[str, datetime | None]:
    """How far each source is complete; a venue, as far as the account of which least was pulled.

    An account counts from where its fills are expected, and until it is disabled: one that cannot be pulled leaves a gap.
    """
    query = text(f"""
        SELECT name, watermark FROM source
        UNION ALL
        SELECT venue, min({COMPLETE_TO})
        FROM harvest JOIN venue_account USING (venue, account)
        WHERE role = 'client' AND status <> 'disabled' GROUP BY venue
    """)  # noqa: S608 - a constant of the store
    return {row.name: row.watermark for row in connection.execute(query)}
