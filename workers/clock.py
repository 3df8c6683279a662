"""The clock of the workers: tasks read it once and hand the time on, so that use cases need no clock."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)
