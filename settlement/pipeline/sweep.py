"""The sweep: what is due and missing?

PostgreSQL holds every next step as a row; a queue holds only a reminder of it. Reminders get lost (Redis restarts, a
worker dies, nobody ran beat for a night), so each minute the sweep reads the rows and reminds again:

1. Every hour since the installation that has ended has a window row.
2. A window that the gate lets pass, or that is to be looked at again, is handed over to be settled.
3. A shard of a run that has been open for longer than the grace, and that nobody is settling, is handed over again.
4. Events that have waited for longer than the grace are handed to a relay.

Handing over what is already on its way is harmless: every task is a no-op unless its row still waits. `room` keeps the
queue short all the same: it is how many more reminders fit, so a backlog is fed in oldest first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from settlement.pipeline.gate import Gate, gate
from settlement.store import outbox, windows
from settlement.store.database import Database
from settlement.store.lines import WINDOW

SHARD_GRACE = timedelta(minutes=1)
EVENT_GRACE = timedelta(seconds=30)
EVENTS_KEPT = timedelta(days=7)


@dataclass(frozen=True)
class SettleWindow:
    """The window that starts at `window_start` can be settled."""

    window_start: datetime


@dataclass(frozen=True)
class SettleShard:
    """One shard of an open run can be settled."""

    run_id: int
    root: str


@dataclass(frozen=True)
class RelayEvents:
    """Events wait in the outbox."""


Step = SettleWindow | SettleShard | RelayEvents
HandOver = Callable[[Step], None]


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What one sweep found: rows made, and steps handed over."""

    windows_created: int
    windows: int
    shards: int
    events_late: bool
    events_pruned: int

    @property
    def anything(self) -> bool:
        """Whether there was something to do."""
        return any((self.windows_created, self.windows, self.shards, self.events_late, self.events_pruned))


def sweep(database: Database, *, now: datetime, hand_over: HandOver, room: int) -> Swept:
    """Hands over at most `room` windows and shards that are due, and says whether the relay is late."""
    with database.transaction() as connection:
        created = windows.create_missing(connection, ended_by=now)
        pruned = outbox.prune(connection, relayed_before=now - EVENTS_KEPT)
    with database.transaction() as connection:
        shards = windows.unsettled_shards(connection, opened_before=now - SHARD_GRACE, limit=max(room, 0))
        due = _due(
            windows.waiting(connection, ended_by=now, limit=max(room - len(shards), 0)),
            watermarks=windows.watermarks(connection),
            now=now,
        )
        oldest_event = outbox.oldest_waiting(connection)
    events_late = oldest_event is not None and oldest_event < now - EVENT_GRACE
    steps: list[Step] = [RelayEvents()] if events_late else []
    steps += [SettleShard(shard.run_id, shard.root) for shard in shards]
    steps += [SettleWindow(window_start) for window_start in due]
    for step in steps:
        hand_over(step)
    return Swept(
        windows_created=created, windows=len(due), shards=len(shards), events_late=events_late, events_pruned=pruned
    )


def settle_last(database: Database, *, now: datetime, hand_over: HandOver) -> bool:
    """Hands over the last window that has ended, if the gate lets it pass; False if it has to wait."""
    window_start = now.replace(minute=0, second=0, microsecond=0) - WINDOW
    with database.transaction() as connection:
        watermarks = windows.watermarks(connection)
    if gate(window_start, watermarks=watermarks, now=now) is Gate.WAIT:
        return False
    hand_over(SettleWindow(window_start))
    return True


def _due(
    waiting: list[windows.WaitingWindow], *, watermarks: dict[str, datetime | None], now: datetime
) -> list[datetime]:
    return [
        window.window_start
        for window in waiting
        if window.settled or gate(window.window_start, watermarks=watermarks, now=now) is not Gate.WAIT
    ]
