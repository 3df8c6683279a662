"""The gate: may a window be settled by schedule, and is it complete?

1. A window that has not ended waits.
2. It is complete as soon as every source reports a watermark at or past its end.
3. Where there is no source at all (fills come from files), it is complete five minutes after its end.
4. At its deadline, two hours after its start, it is settled with what there is: incomplete, and what arrives later
   belongs to a supplementary run.

The later of two windows never passes before the earlier one, so the first that waits ends a walk over windows in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from settlement.store.lines import WINDOW

DEADLINE = timedelta(hours=2)
DELAY_WITHOUT_SOURCES = timedelta(minutes=5)


class Gate(StrEnum):
    """What the gate says about a window."""

    WAIT = "wait"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"


def gate(window_start: datetime, *, watermarks: Mapping[str, datetime | None], now: datetime) -> Gate:
    """Judges one window. `watermarks` is, per source, how far it is complete (None: nothing reported yet)."""
    end = window_start + WINDOW
    if now < end:
        return Gate.WAIT
    if not watermarks:
        return Gate.COMPLETE if now >= end + DELAY_WITHOUT_SOURCES else Gate.WAIT
    if not lagging(window_start, watermarks=watermarks):
        return Gate.COMPLETE
    return Gate.INCOMPLETE if now >= window_start + DEADLINE else Gate.WAIT


def lagging(window_start: datetime, *, watermarks: Mapping[str, datetime | None]) -> list[str]:
    """The sources that have not passed the end of the window, by name."""
    end = window_start + WINDOW
    return sorted(name for name, watermark in watermarks.items() if watermark is None or watermark < end)
