"""What users do in a simulated world, and what goes wrong meanwhile: values, so that some can be left out of a world and
the rest still means the same.

    world   acts, in their order; the fills of an act that takes fills in; the faults of a schedule
    item    one of those, by its number: 1, 2, 3, ... in that order, whatever is left out
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

# The second window begins a month: a review of the first one takes effect there.
FIRST_WINDOW = datetime.fromisoformat("2026-03-31T23:00:00Z")
REVIEWED_MONTH = datetime.fromisoformat("2026-03-01T00:00:00Z")
HOUR = timedelta(hours=1)

FillRow = Mapping[str, str]
"""The columns of one row of a canonical file of fills, as text."""

# ---------------------------------------------------------------- what users do


@dataclass(frozen=True, kw_only=True)
class Load:
    """Loads facts from files (name -> text). `missing`: facts that were missing, which may come in at any moment."""

    what: Literal["registry", "terms", "instruments", "prices"]
    files: Mapping[str, str]
    correction: str | None = None
    missing: bool = False


@dataclass(frozen=True, kw_only=True)
class Ingest:
    """Takes a file of fills in. `late`: of windows that were settled before."""

    file: str
    rows: tuple[FillRow, ...]
    late: bool = False


@dataclass(frozen=True, kw_only=True)
class Pull:
    """Pulls the fills of [start, end) from the exchange, which has these rows."""

    start: datetime
    end: datetime
    rows: tuple[FillRow, ...]


@dataclass(frozen=True)
class SettleDue:
    """Time passes: beat ticks, and the workers settle whatever is due."""


@dataclass(frozen=True)
class SettleByHand:
    """Somebody settles a window in a process of his own."""

    window_start: datetime


@dataclass(frozen=True)
class PayOnSchedule:
    """The hour's payouts."""


Step = Literal["request", "approve", "apply", "cancel"]


@dataclass(frozen=True, kw_only=True)
class Recalculate:
    """One step of a recalculation; `reason` names the plan, among all plans of the world."""

    step: Step
    reason: str
    start: datetime
    end: datetime
    broker: str | None = None
    re_review: bool = False


@dataclass(frozen=True)
class ReviewTiers:
    """The monthly review of tiers; `anyway`: whatever of its period is not settled."""

    anyway: bool


Act = Load | Ingest | Pull | SettleDue | SettleByHand | PayOnSchedule | Recalculate | ReviewTiers

# ---------------------------------------------------------------- what goes wrong


class Moment(StrEnum):
    """Where in a transaction something happens."""

    STATEMENT = "statement"  # before the n-th statement of it
    COMMITTING = "committing"  # all is written, COMMIT has not been sent
    UNANSWERED = "unanswered"  # it is committed, and the answer to COMMIT never comes
    COMMITTED = "committed"  # it is committed, and nothing has been done since


@dataclass(frozen=True)
class Point:
    """A moment of the n-th transaction that a job begins; `statement` counts from 1 within the transaction.

    A transaction with fewer statements comes to it when it is to be committed.
    """

    transaction: int
    moment: Moment
    statement: int = 0


class Job(StrEnum):
    """What a process does in one go."""

    ACT = "act"
    RELAY = "relay"
    SWEEP = "sweep"
    WINDOW = "window"  # opens the run of a window
    SHARD = "shard"
    PLAN = "plan"  # plans the windows of a recalculation


class Rival(StrEnum):
    """Who comes while a job is held."""

    SAME = "the same again"
    NEXT = "the next of the queue"
    SWEEP = "a sweep"
    RELAY = "a relay"
    ACT = "the next act"
    ACT_FIRST = "the next act, which is held itself"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something goes wrong at the `nth` job of a kind, counted from 1."""

    job: Job
    nth: int


@dataclass(frozen=True, kw_only=True)
class Killed(Fault):
    """The process dies."""

    at: Point


@dataclass(frozen=True, kw_only=True)
class Disconnected(Fault):
    """PostgreSQL ends the session; where it is unanswered, COMMIT has been done all the same."""

    at: Point


@dataclass(frozen=True, kw_only=True)
class AtOnce(Fault):
    """The job is held, its rival runs until it ends or waits for a lock, and then both go on."""

    at: Point
    rival: Rival


@dataclass(frozen=True, kw_only=True)
class DeliveredTwice(Fault):
    """The task comes again."""


@dataclass(frozen=True, kw_only=True)
class DeliveredLate(Fault):
    """The task comes hours later, after so many more acts."""

    acts: int


@dataclass(frozen=True, kw_only=True)
class OutOfOrder(Fault):
    """The task goes to the end of the queue."""


@dataclass(frozen=True, kw_only=True)
class RedisEmptied(Fault):
    """Redis loses all it holds: the stream, and the queue."""


@dataclass(frozen=True, kw_only=True)
class ClockStepped(Fault):
    """The clock of the workers is off by so many seconds from now on."""

    seconds: int


@dataclass(frozen=True, kw_only=True)
class ServerStopped(Fault):
    """PostgreSQL is stopped without a warning and started again, at this point of the job."""

    at: Point


@dataclass(frozen=True)
class Unanswered:
    """The exchange answers the n-th request for fills with 50004: it does not know what became of it."""

    nth: int
    times: int


Faults = tuple[Fault | Unanswered, ...]

# ---------------------------------------------------------------- all of it


@dataclass(frozen=True, kw_only=True)
class World:
    """`acts` in their order. `entangled`: somebody is owed by more than one tree, so that the order of trees tells in
    how his balance is cut into payouts."""

    acts: tuple[Act, ...]
    windows: tuple[datetime, ...]
    faults: Faults = ()
    entangled: bool = False

    def keeping(self, kept: frozenset[int]) -> World:
        """The world with only these items; an act that is left out takes its fills with it."""
        acts: list[Act] = []
        faults: list[Fault | Unanswered] = []
        for number, item, of_rows in self.items():
            if number not in kept:
                continue
            if isinstance(item, Fault | Unanswered):
                faults.append(item)
            else:
                acts.append(_with_rows(item, kept, of_rows))
        return replace(self, acts=tuple(acts), faults=tuple(faults))

    def items(self) -> Iterator[tuple[int, Act | Fault | Unanswered, range]]:
        """Each act and each fault with its number, and the numbers of an act's fills."""
        next_number = 1
        for item in (*self.acts, *self.faults):
            first = next_number + 1
            next_number = first + (len(item.rows) if isinstance(item, Ingest | Pull) else 0)
            yield first - 1, item, range(first, next_number)


def _with_rows(act: Act, kept: frozenset[int], of_rows: range) -> Act:
    if not isinstance(act, Ingest | Pull):
        return act
    return replace(act, rows=tuple(row for number, row in zip(of_rows, act.rows, strict=True) if number in kept))
