"""What of a period is not settled yet: windows that are open or to be looked at again, and lines that are pending."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

_WINDOWS = """
    SELECT count(*) AS windows, min(hour) AS first FROM (
        SELECT window_start AS hour FROM settlement_window w
        WHERE window_start >= :start AND window_start < :end AND (recheck OR status IN ('open', 'settling')
              OR EXISTS (SELECT FROM run r WHERE r.window_start = w.window_start AND r.closed_at IS NULL))
        UNION ALL
        SELECT hour FROM installation, generate_series(
            greatest(date_trunc('hour', installed_at, 'UTC'), :start), CAST(:end AS timestamptz) - interval '1 hour',
            interval '1 hour') hour
        WHERE NOT EXISTS (SELECT FROM settlement_window WHERE window_start = hour)
    ) unsettled
"""
_PENDING = """
    SELECT o.line_root AS root, o.reason, sum(o.lines)::bigint AS lines FROM run r JOIN run_outcome o USING (run_id)
    WHERE r.window_start >= :start AND r.window_start < :end AND o.status = 'pending'
    GROUP BY o.line_root, o.reason HAVING sum(o.lines) > 0 ORDER BY o.line_root, o.reason
"""


@dataclass(frozen=True, kw_only=True)
class PendingLines:
    """Lines of one root that wait for the same fact."""

    root: str
    reason: str
    lines: int


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """Windows that are not settled, the first of them, and pending lines; `is_empty`: the period has no window at all."""

    windows: int
    first_window: datetime | None
    pending: tuple[PendingLines, ...]
    is_empty: bool

    def __bool__(self) -> bool:
        """Whether anything is left to settle, or nothing was ever there to settle."""
        return bool(self.windows or self.pending or self.is_empty)

    @property
    def pending_lines(self) -> int:
        """How many lines are pending."""
        return sum(pending.lines for pending in self.pending)


def unfinished(connection: Connection, *, start: datetime, end: datetime) -> Unfinished:
    """What of the windows in [start, end) is not settled yet. Hours of before the installation count if they have fills."""
    period = {"start": start, "end": end}
    windows = connection.execute(text(_WINDOWS), period).one()
    pending = tuple(PendingLines(**row) for row in connection.execute(text(_PENDING), period).mappings())
    any_window = text(
        "SELECT EXISTS (SELECT FROM settlement_window WHERE window_start >= :start AND window_start < :end)"
    )
    exists = bool(connection.execute(any_window, period).scalar_one())
    return Unfinished(
        windows=windows.windows,
        first_window=windows.first,
        pending=pending,
        is_empty=not exists and not windows.windows,
    )
