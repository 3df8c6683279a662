"""Schedules of faults, drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from tests.simulation.acts import (
    AtOnce,
    ClockStepped,
    DeliveredLate,
    DeliveredTwice,
    Disconnected,
    Fault,
    Faults,
    Job,
    Killed,
    Moment,
    OutOfOrder,
    Point,
    RedisEmptied,
    Rival,
    ServerStopped,
    Unanswered,
)

FAULTS = (4, 9)
# How many jobs of each kind a world has, more or less.
JOBS = {Job.ACT: 17, Job.RELAY: 18, Job.SWEEP: 10, Job.WINDOW: 7, Job.SHARD: 20, Job.PLAN: 2}
TASKS = (Job.SHARD,) * 6 + (Job.WINDOW, Job.WINDOW, Job.PLAN)
# How many transactions a job of each kind begins, and how many statements most of them have.
TRANSACTIONS = {Job.ACT: 2, Job.RELAY: 1, Job.SWEEP: 3, Job.WINDOW: 5, Job.SHARD: 5, Job.PLAN: 3}
STATEMENTS_MAX = 14
# Requests for fills of a pull, more or less, and how often one of them fails in a row: it is tried eight times.
REQUESTS, UNANSWERED_MAX, TIMES_MAX = 30, 3, 4
# The keeper of an embedded server starts it three times a minute.
RESTARTS = 3
CLOCK_SECONDS = (-1200, -61, -3, 2, 65, 240)
"""The ledger refuses what is recorded more than an hour ago or five minutes ahead."""


def draw_faults(seed: int, *, from_exchange: bool = False) -> Faults:
    """The faults of a seed; those of the exchange only where it is asked for anything."""
    random = Random(seed)  # noqa: S311 - a drawing, not a secret
    draw = _Drawing(random)
    unanswered = random.randint(1, UNANSWERED_MAX) if from_exchange else 0
    faults = [random.choice(draw.kinds())() for _ in range(random.randint(*FAULTS))]
    return (*faults, *(draw.unanswered() for _ in range(unanswered)))


def draw_restarts(seed: int) -> Faults:
    """The faults of a seed whose server is stopped: that, and nothing else."""
    draw = _Drawing(Random(seed))  # noqa: S311 - a drawing, not a secret
    return tuple(draw.server_stopped() for _ in range(RESTARTS))


class _Drawing:
    def __init__(self, random: Random) -> None:
        self.random = random

    def kinds(self) -> Sequence[Callable[[], Fault]]:
        """Kills and races are most of them."""
        return (
            *(self._killed,) * 3,
            *(self._disconnected,) * 2,
            *(self._at_once,) * 6,
            self._twice,
            self._late,
            self._out_of_order,
            self._redis_emptied,
            self._clock_stepped,
        )

    def server_stopped(self) -> Fault:
        """PostgreSQL stops where a process is at work."""
        job = self._any_job()
        moments = (Moment.STATEMENT, Moment.STATEMENT, Moment.COMMITTING, Moment.COMMITTED)
        return ServerStopped(job=job, nth=self._nth(job), at=self._point(job, moments))

    def unanswered(self) -> Unanswered:
        """The exchange says 50004, at most as often as a request is tried."""
        return Unanswered(nth=self.random.randint(1, REQUESTS), times=self.random.randint(1, TIMES_MAX))

    def _killed(self) -> Fault:
        job = self._any_job()
        return Killed(job=job, nth=self._nth(job), at=self._point(job, tuple(Moment)))

    def _disconnected(self) -> Fault:
        job = self._any_job()
        moments = (Moment.STATEMENT, Moment.COMMITTING, Moment.UNANSWERED)
        return Disconnected(job=job, nth=self._nth(job), at=self._point(job, moments))

    def _at_once(self) -> Fault:
        job = self.random.choice((*TASKS, *TASKS, Job.ACT, Job.SWEEP, Job.RELAY))
        moments = (*(Moment.STATEMENT,) * 3, Moment.COMMITTING, Moment.COMMITTED)
        rival = self.random.choice((*Rival, Rival.ACT, Rival.ACT, Rival.NEXT))
        return AtOnce(job=job, nth=self._nth(job), at=self._point(job, moments), rival=rival)

    def _twice(self) -> Fault:
        job = self.random.choice(TASKS)
        return DeliveredTwice(job=job, nth=self._nth(job))

    def _late(self) -> Fault:
        job = self.random.choice(TASKS)
        return DeliveredLate(job=job, nth=self._nth(job), acts=self.random.randint(1, 6))

    def _out_of_order(self) -> Fault:
        job = self.random.choice(TASKS)
        return OutOfOrder(job=job, nth=self._nth(job))

    def _redis_emptied(self) -> Fault:
        job = self.random.choice((Job.SHARD, Job.RELAY, Job.WINDOW))
        return RedisEmptied(job=job, nth=self._nth(job))

    def _clock_stepped(self) -> Fault:
        job = self.random.choice((Job.ACT, *TASKS))
        return ClockStepped(job=job, nth=self._nth(job), seconds=self.random.choice(CLOCK_SECONDS))

    def _any_job(self) -> Job:
        return self.random.choice((*TASKS, *TASKS, Job.ACT, Job.ACT, Job.SWEEP, Job.RELAY))

    def _nth(self, job: Job) -> int:
        """The early jobs more often: those are there in every world."""
        return min(self.random.randint(1, JOBS[job]), self.random.randint(1, JOBS[job]))

    def _point(self, job: Job, moments: Sequence[Moment]) -> Point:
        """Where a shard reads facts and fills (its third transaction, inside its second) is where most can go wrong."""
        transaction = self.random.randint(1, TRANSACTIONS[job])
        if job is Job.SHARD and self.random.random() < 0.4:
            transaction = self.random.choice((2, 3))
        moment = self.random.choice(moments)
        statement = min(self.random.randint(1, STATEMENTS_MAX), self.random.randint(1, STATEMENTS_MAX))
        return Point(transaction, moment, statement if moment is Moment.STATEMENT else 0)
