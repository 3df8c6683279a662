"""The sweep: what is due and missing?

PostgreSQL holds every next step as a row; a queue holds only a reminder of it. Reminders get lost (Redis restarts, a
worker dies, nobody ran beat for a night), so each minute the sweep reads the rows and reminds again:

1. Every hour since the installation that has ended has a window row.
2. A window that the gate lets pass, or that is to be looked at again, is handed over to be settled.
3. A shard of a run that has been open for longer than the grace, and that nobody is settling, is handed over again.
4. Events that have waited for longer than the grace are handed to a relay.
5. A recalculation plan of which no window was planned for longer than the grace is handed over again.
6. The review of a month is handed over as soon as its period is settled, before the windows that it gives a tier to.
7. Fills are pulled at :02 and :32: accounts that are not complete up to there, and have not just failed, are handed over
   in parts.
8. A what-if of which no stretch was settled for longer than the grace is handed over, to more than one worker. It is dropped
   a day after it is done.

Handing over what is already on its way is harmless: every task is a no-op unless its row still waits. `room` keeps the
queue short all the same: it is how many more reminders fit, so a backlog is fed in oldest first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from settlement.pipeline.gate import Gate, gate
from settlement.pipeline.harvest_plan import SETTLING
from settlement.pipeline.review import due_month
from settlement.store import harvests, outbox, recalculation_windows, what_if, windows
from settlement.store.database import Connection, Database
from settlement.store.lines import WINDOW

SHARD_GRACE = timedelta(minutes=1)
PLAN_GRACE = timedelta(minutes=1)
EVENT_GRACE = timedelta(seconds=30)
EVENTS_KEPT = timedelta(days=7)
WHAT_IF_GRACE = timedelta(seconds=30)
WHAT_IFS_KEPT = timedelta(days=1)
SIMULATORS = 2
HARVESTED = "okx"
PULL_MINUTES = (2, 32)
PULL_ACCOUNTS = 250  # of one task: some minutes of work, and a dozen tasks share thousands of accounts
FAILED_GRACE = timedelta(minutes=5)


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


@dataclass(frozen=True)
class PullFills:
    """The accounts of one part of all can be pulled; `again`: their last day is to be read again."""

    chunk: int
    chunks: int
    again: bool = False


@dataclass(frozen=True)
class PlanRecalculation:
    """Windows of a recalculation plan are still to be planned, and nobody got further for a while."""

    plan_id: int


@dataclass(frozen=True)
class ReviewTiers:
    """The review of the month that begins at `month` can be made."""

    month: datetime


@dataclass(frozen=True)
class SimulateTerms:
    """Stretches of a what-if are still to be settled, and nobody got further for a while."""

    what_if_id: int


Step = SettleWindow | SettleShard | RelayEvents | PullFills | PlanRecalculation | ReviewTiers | SimulateTerms
HandOver = Callable[[Step], None]


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What one sweep found: rows made, and steps handed over."""

    windows_created: int
    windows: int
    shards: int
    plans: int
    what_ifs: int
    reviews: int
    pulls: int
    events_late: bool
    events_pruned: int

    @property
    def anything(self) -> bool:
        """Whether there was something to do."""
        found = (
            self.windows_created,
            self.windows,
            self.shards,
            self.plans,
            self.what_ifs,
            self.reviews,
            self.pulls,
            self.events_late,
            self.events_pruned,
        )
        return any(found)


def sweep(database: Database, *, now: datetime, hand_over: HandOver, room: int) -> Swept:
    """Hands over at most `room` windows and shards that are due, and says whether the relay is late."""
    with database.transaction() as connection:
        created = windows.create_missing(connection, ended_by=now)
        pruned = outbox.prune(connection, relayed_before=now - EVENTS_KEPT)
        what_if.prune(connection, before=now - WHAT_IFS_KEPT)
    with database.transaction() as connection:
        shards = windows.unsettled_shards(connection, opened_before=now - SHARD_GRACE, limit=max(room, 0))
        due = _due(
            windows.waiting(connection, ended_by=now, limit=max(room - len(shards), 0)),
            watermarks=windows.watermarks(connection),
            now=now,
        )
        oldest_event = outbox.oldest_waiting(connection)
        plans = recalculation_windows.stalled(connection, before=now - PLAN_GRACE)
        what_ifs = what_if.stalled(connection, before=now - WHAT_IF_GRACE)
        month = due_month(connection, now=now)
    events_late = oldest_event is not None and oldest_event < now - EVENT_GRACE
    steps: list[Step] = [RelayEvents()] if events_late else []
    steps += [ReviewTiers(month)] if month else []
    steps += [SettleShard(shard.run_id, shard.root) for shard in shards]
    steps += [SettleWindow(window_start) for window_start in due]
    steps += [PlanRecalculation(plan_id) for plan_id in plans]
    steps += [SimulateTerms(what_if_id) for what_if_id in what_ifs for _ in range(SIMULATORS)]
    for step in steps:
        hand_over(step)
    return Swept(
        windows_created=created,
        windows=len(due),
        shards=len(shards),
        plans=len(plans),
        what_ifs=len(what_ifs),
        reviews=int(month is not None),
        pulls=pull_due(database, now=now, hand_over=hand_over),
        events_late=events_late,
        events_pruned=pruned,
    )


def pull_due(database: Database, *, now: datetime, hand_over: HandOver) -> int:
    """Hands over the parts with accounts that are due to be pulled; returns how many parts that were."""
    with database.transaction() as connection:
        chunks = _chunks(connection)
        due = harvests.due_chunks(
            connection,
            venue=HARVESTED,
            chunks=chunks,
            complete_to=last_pull_time(now) - SETTLING,
            failed_before=now - FAILED_GRACE,
        )
    for chunk in due:
        hand_over(PullFills(chunk, chunks))
    return len(due)


def accounts_to_pull(database: Database, part: PullFills, *, now: datetime) -> list[str]:
    """The accounts of one part that are still due, or (`again`) all of it."""
    with database.transaction() as connection:
        if part.again:
            return harvests.accounts_of_chunk(connection, venue=HARVESTED, chunk=part.chunk, chunks=part.chunks)
        return harvests.due_accounts(
            connection,
            venue=HARVESTED,
            chunk=part.chunk,
            chunks=part.chunks,
            complete_to=last_pull_time(now) - SETTLING,
            failed_before=now - FAILED_GRACE,
        )


def read_again(database: Database, *, hand_over: HandOver) -> int:
    """Hands over every part, to have its last day read again; returns how many parts there are."""
    with database.transaction() as connection:
        chunks = _chunks(connection)
    for chunk in range(chunks):
        hand_over(PullFills(chunk, chunks, again=True))
    return chunks


def _chunks(connection: Connection) -> int:
    return -(-harvests.number_of_accounts(connection, venue=HARVESTED) // PULL_ACCOUNTS) or 1


def last_pull_time(now: datetime) -> datetime:
    """The latest :02 or :32 that has come."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    marks = (hour - timedelta(minutes=28), *(hour + timedelta(minutes=minute) for minute in PULL_MINUTES))
    return max(mark for mark in marks if mark <= now)


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
