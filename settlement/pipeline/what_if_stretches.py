"""Settling a what-if: stretch by stretch beside the books, one month after the other.

1. A stretch is settled in a transaction of its own by whoever claims it first, on any machine: every fill is taken through
   the rules by the facts that are assumed, beside the line that stands for it. Only sums are kept.
2. Within a month stretches come in any order; but where the terms have a cap, which counts through the month, one comes after
   the other, and the lines of accounts that it may limit wait for the end of their stretch. Whoever settles the last one makes the reviews at the month's end, which
   the next month stands on, and opens that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, auto
from threading import Event

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from settlement.pipeline.activity import Activity
from settlement.pipeline.ahead import ahead
from settlement.pipeline.capping import EXECUTED, in_one, rows_of
from settlement.pipeline.revision import Revision, Scope, both_sides
from settlement.pipeline.what_if_facts import AssumedFacts
from settlement.pipeline.what_if_reviews import is_review, next_review, review
from settlement.pipeline.what_if_sums import StretchSums
from settlement.rules.cap import capped
from settlement.rules.facts import Facts
from settlement.rules.limits import limited_accounts
from settlement.rules.review import month_of
from settlement.store import lines, what_if
from settlement.store.database import Connection, Database
from settlement.store.verification import one_moment
from settlement.store.what_if import WhatIf

AT_ONCE = 2
WAIT_SECONDS = 0.2


class Done(Enum):
    """What one step came to."""

    NOTHING = auto()
    STRETCH = auto()
    OPENED_A_MONTH = auto()


def simulate_all(
    database: Database, what_if_id: int, *, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> None:
    """Settles what is left of a what-if in this process, two stretches at once, and waits for what others are at.

    `progress` is told how many stretches of how many are settled.
    """
    work = _Work(database, what_if_id, progress)
    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="what-if") as pool:
        try:
            for settled in [pool.submit(work.settle_each) for _ in range(AT_ONCE)]:
                settled.result()
        finally:
            work.stopped.set()


def simulate_for(database: Database, what_if_id: int, *, seconds: int, cache: AssumedFacts) -> int:
    """Settles stretches one after the other for some seconds; says to how many workers the rest is to be handed over.

    That is none if nothing is left, or if others are at all of it; several if it has opened a month, as they have gone by then.
    """
    ends_at = time.monotonic() + seconds
    hand_overs = 1
    while time.monotonic() < ends_at:
        done = _settle_next(database, what_if_id, cache=cache)
        if done is Done.NOTHING:
            return 0
        if done is Done.OPENED_A_MONTH:
            hand_overs = AT_ONCE
    return hand_overs


def simulate_stretch(database: Database, what_if_id: int, stretch_start: datetime, *, cache: AssumedFacts) -> Done:
    """Settles one stretch; nothing if it is settled, or somebody else is at it."""
    with database.transaction() as connection, database.transaction() as reading:
        one_moment(reading)
        end = what_if.claim(connection, what_if_id, stretch_start)
        if end is None:
            return Done.NOTHING
        asked = what_if.what_if_of(connection, what_if_id)
        fills, parts = _Stretch(connection, reading, asked, stretch_start, end, cache).settle()
        unsettled = what_if.unsettled_windows(reading, start=stretch_start, end=end)
        what_if.write(connection, what_if_id, stretch_start, parts=parts)
        what_if.finish_stretch(connection, what_if_id, stretch_start, fills=fills, unsettled=unsettled)
        opened = _open_further(connection, what_if_id, cache=cache)
        return Done.OPENED_A_MONTH if opened else Done.STRETCH


@dataclass(frozen=True)
class _Work:
    """What the threads of this process share; `stopped` ends them after the stretch that each is at."""

    database: Database
    what_if_id: int
    progress: Callable[[int, int], None]
    cache: AssumedFacts = field(default_factory=AssumedFacts)
    stopped: Event = field(default_factory=Event)

    def settle_each(self) -> None:
        """Settles whatever nobody is at, until nothing is left."""
        while not self.stopped.is_set() and self._is_left():
            if _settle_next(self.database, self.what_if_id, cache=self.cache) is Done.NOTHING:
                self.stopped.wait(WAIT_SECONDS)

    def _is_left(self) -> bool:
        with self.database.transaction() as connection:
            self.progress(*what_if.progress(connection, self.what_if_id))
            return what_if.what_if_of(connection, self.what_if_id).done_at is None


def _settle_next(database: Database, what_if_id: int, *, cache: AssumedFacts) -> Done:
    """Settles the first stretch that nobody is at."""
    with database.transaction() as connection:
        waiting = what_if.waiting(connection, what_if_id)
    for stretch_start in waiting:
        done = simulate_stretch(database, what_if_id, stretch_start, cache=cache)
        if done is not Done.NOTHING:
            return done
    return Done.NOTHING


@dataclass(frozen=True)
class _Stretch:
    """One stretch on its way; fills are read over a second connection."""

    connection: Connection
    reading: Connection
    asked: WhatIf
    start: datetime
    end: datetime
    cache: AssumedFacts

    def settle(self) -> tuple[int, dict[str, pa.Table]]:
        """How many fills the what-if is about, and what they come to."""
        scope = Scope(brokers=None if self.asked.brokers is None else frozenset(self.asked.brokers))
        activity, sums, fills = Activity(), StretchSums(), 0
        counts = self.asked.in_order or self.start < month_of(self.asked.range_end)
        for revision in ahead(self._both_sides()):
            if counts:
                activity.add(revision.fills, revision.after)
            part = scope.of(revision)
            fills += part.fills.num_rows
            sums.add(part)
        return fills, {**sums.parts(), "what_if_activity": activity.table()}

    def _both_sides(self) -> Iterator[Revision]:
        """Every fill; those of accounts that a cap may limit come last, together."""
        facts = self.cache.on_day_of(self.reading, self.asked, self.start)
        limited, waiting = limited_accounts(facts, start=self.start, end=self.end), []
        for batch in lines.standing_fills(self.reading, start=self.start, end=self.end):
            self.cache.bases.read(self.connection, pc.unique(batch["previous_basis"].drop_null()).to_pylist())
            every = both_sides(batch, facts, stored=self.cache.bases)
            if limited:
                waits = rows_of(limited, batch)
                waiting.append(every.only(waits))
                every = every.only(~waits)
            yield every
        if any(part.fills.num_rows for part in waiting):
            yield self._capped(in_one(waiting), facts)

    def _capped(self, whole: Revision, facts: Facts) -> Revision:
        executed = whole.fills.select(EXECUTED).to_pandas(types_mapper=pd.ArrowDtype)
        accounts = executed[["venue", "account"]].drop_duplicates().itertuples(index=False, name=None)
        earned = what_if.earned_before(self.connection, self.asked, self.start, accounts)
        return replace(whole, after=capped(executed, whole.after, facts, earned=earned))


def _open_further(connection: Connection, what_if_id: int, *, cache: AssumedFacts) -> bool:
    """Opens the months whose turn it is; says whether more than one worker has something to do in them.

    The row is locked: of two who settle a month's last stretches at once, the second sees the first.
    """
    asked = what_if.what_if_of(connection, what_if_id, lock=True)
    opened = False
    while not what_if.waiting(connection, what_if_id):
        if is_review(asked.open_to):
            made = review(connection, asked, cache.of(connection, asked), at=asked.open_to)
            what_if.add_reviews(connection, what_if_id, made)
        if asked.open_to == asked.range_end:
            what_if.finish(connection, what_if_id)
            return False
        what_if.open_further(connection, what_if_id, min(next_review(asked.open_to), asked.range_end))
        asked = what_if.what_if_of(connection, what_if_id)
        opened = not asked.in_order
    return opened
