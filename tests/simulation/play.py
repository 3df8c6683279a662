"""One run of a world: acts one after the other, and after those that let time pass, the work of the workers.

Tasks are the steps that the relay and the sweep hand over, in a queue in memory that stands for Celery's. Every act and
every task is a job, counted by its kind; the schedule of faults says what happens to which. Whoever dies leaves the rest
to the sweep (a task) or tries again (a user); whoever loses his session tries again. Whatever else is raised is a finding.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice, takewhile
from typing import Any
from uuid import UUID

from redis import Redis

from schemas.wire.events import CloudEvent
from settlement.pipeline import recalculation_plan, settle
from settlement.pipeline.relay import relay
from settlement.pipeline.sweep import PlanRecalculation, PullFills, RelayEvents, SettleShard, SettleWindow, Step, sweep
from settlement.store.database import Database
from tests.simulation.acts import (
    Act,
    AtOnce,
    ClockStepped,
    DeliveredLate,
    DeliveredTwice,
    Fault,
    Ingest,
    Job,
    Load,
    OutOfOrder,
    PayOnSchedule,
    Recalculate,
    RedisEmptied,
    Rival,
    SettleByHand,
    SettleDue,
    World,
)
from tests.simulation.arena import Arena
from tests.simulation.exchange import Venue
from tests.simulation.jobs import End, Ended, FoundError, Staff, Work, Worker
from tests.simulation.performing import perform

A_MINUTE_LATER = timedelta(minutes=2)
ROOM = 100
TRIES_MAX = 20
JOBS_MAX = 600
PLAN_SECONDS = 20
ONLY_SETTLE = (SettleDue, SettleByHand, PayOnSchedule)


@dataclass(kw_only=True)
class Play:
    """One run. `told` is what became of each act, `acted` are the events that were handed on.

    An act that came in beside the settling of an earlier one is `early`: (its number, the number of that one).
    """

    arena: Arena
    redis: Redis
    venue: Venue
    world: World
    told: dict[int, str] = field(default_factory=dict)
    acted: set[UUID] = field(default_factory=set)
    hit: Counter[str] = field(default_factory=Counter)
    early: tuple[int, int] | None = None
    entangled: bool = False

    def __post_init__(self) -> None:
        self._staff = Staff(self.arena, hit=self.hit)
        self._queue: deque[Step] = deque()
        self._late: list[tuple[int, Step]] = []
        self._acts = deque(enumerate(self.world.acts))
        self._at = 0
        self._jobs: Counter[Job] = Counter()
        self._off = timedelta(0)
        self._began = datetime.now(UTC)

    def run(self) -> None:
        """From an empty database to the last settled window."""
        self.arena.empty()
        self.redis.flushdb()
        self.venue.show(self.world)
        while self._acts:
            self._at, act = self._acts.popleft()
            self.told[self._at] = self._insist(act)
            if lets_time_pass(act):
                self._work()
        self._late = [(0, step) for _, step in self._late]
        self._work()

    # ---------------------------------------------------------------- users

    def _insist(self, act: Act) -> str:
        """A user tries again until it is done or refused."""
        work = self._of_user(act)
        for _ in range(TRIES_MAX):
            fault = self._breaks_off(self._begin(Job.ACT))
            if isinstance(fault, AtOnce) and may_come_twice(act):
                ended, _ = self._staff.do_at_once(work, work, fault)
            else:
                ended = self._staff.do(work, fault)
            if ended.how is End.DONE:
                return str(ended.value)
        raise FoundError(f"not done after {TRIES_MAX} tries: {act}")

    def _of_user(self, act: Act) -> Work:
        def do(database: Database, _worker: Worker) -> str:
            now = self._hour_of_pay() if isinstance(act, PayOnSchedule) else self._now()
            return perform(act, database, venue=self.venue, now=now)

        return Work(Job.ACT, do)

    def _now(self) -> datetime:
        return datetime.now(UTC) + self._off

    def _hour_of_pay(self) -> datetime:
        """The schedule pays once an hour: all of a run is within one, whenever it is that the run is made."""
        hour = self._began.replace(minute=0, second=0, microsecond=0)
        return min(max(self._now(), hour), hour + timedelta(hours=1, microseconds=-1))

    # ---------------------------------------------------------------- workers

    def _work(self) -> None:
        """Relays, does tasks and sweeps, until there is nothing left to do."""
        self._queue.extend(step for acts, step in self._late if acts <= len(self.told))
        self._late = [(acts, step) for acts, step in self._late if acts > len(self.told)]
        while True:
            relayed = self._routine(Work(Job.RELAY, self._relay))
            if self._queue:
                self._do_all()
                continue
            swept = self._routine(Work(Job.SWEEP, self._sweep))
            if relayed.how is swept.how is End.DONE and not swept.value and not self._queue:
                return

    def _do_all(self) -> None:
        while self._queue:
            self._task(self._queue.popleft())

    def _routine(self, work: Work) -> Ended:
        faults = self._begin(work.job)
        fault = self._breaks_off(faults)
        if isinstance(fault, AtOnce):
            return self._at_once(work, fault)
        return self._staff.do(work, fault)

    def _task(self, step: Step) -> None:
        job = job_of(step)
        faults = self._begin(job)
        for fault in faults:
            match fault:
                case DeliveredTwice():
                    self._queue.append(step)
                case DeliveredLate(acts=acts):
                    self._late.append((len(self.told) + acts, step))
                    return
                case OutOfOrder():
                    self._queue.append(step)
                    step = self._queue.popleft()
                case _:
                    pass
        work = Work(job, partial(self._do, step))
        breaks_off = self._breaks_off(faults)
        ended = self._at_once(work, breaks_off) if isinstance(breaks_off, AtOnce) else self._staff.do(work, breaks_off)
        if ended.how is End.FAILED:
            self._queue.append(step)

    def _do(self, step: Step, database: Database, worker: Worker) -> Any:
        match step:
            case SettleWindow(window_start):
                return settle.open_in_order(database, window_start, now=self._now())
            case SettleShard(run_id, root):
                return settle.settle_shard(database, run_id, root, now=self._now(), cache=worker.cache)
            case PlanRecalculation(plan_id):
                return recalculation_plan.plan_for(database, plan_id, seconds=PLAN_SECONDS, cache=worker.cache)
            case _:
                raise FoundError(f"nobody does {step}")

    def _relay(self, database: Database, _worker: Worker) -> int:
        return relay(database, stream=self.redis, act=self._act_on, now=self._now())

    def _act_on(self, event: CloudEvent) -> None:
        """As workers/handover.py routes."""
        self.acted.add(event.id)
        if event.type == "window.due":
            self._queue.extend(SettleShard(event.data["run_id"], root) for root in event.data["roots"])

    def _sweep(self, database: Database, _worker: Worker) -> bool:
        found: list[Step] = []
        now = max(self._now(), datetime.now(UTC)) + A_MINUTE_LATER
        sweep(database, now=now, hand_over=found.append, room=ROOM)
        # Fills are pulled by acts, and events are relayed before each task.
        wanted = [step for step in found if not isinstance(step, PullFills | RelayEvents)]
        self._queue.extend(wanted)
        return bool(wanted)

    # ---------------------------------------------------------------- faults

    def _begin(self, job: Job) -> Sequence[Fault]:
        """Counts a job, lets happen what happens before it, and returns the rest of its faults."""
        self._jobs[job] += 1
        if self._jobs.total() > JOBS_MAX:
            raise FoundError(f"no rest after {JOBS_MAX} jobs: {dict(self._jobs)}")
        faults = [fault for fault in self._faults() if (fault.job, fault.nth) == (job, self._jobs[job])]
        for fault in faults:
            if not hasattr(fault, "at"):
                self.hit[type(fault).__name__] += 1
            match fault:
                case ClockStepped(seconds=seconds):
                    self._off = timedelta(seconds=seconds)
                case RedisEmptied():
                    self.redis.flushdb()
                    self._queue.clear()
                case _:
                    pass
        return faults

    def _faults(self) -> Iterator[Fault]:
        return (fault for fault in self.world.faults if isinstance(fault, Fault))

    @staticmethod
    def _breaks_off(faults: Sequence[Fault]) -> Fault | None:
        return next((fault for fault in faults if hasattr(fault, "at")), None)

    def _at_once(self, work: Work, fault: AtOnce) -> Ended:
        """The job, and beside it whoever the fault names; there may be nobody."""
        match fault.rival:
            case Rival.SAME:
                return self._staff.do_at_once(work, work, fault)[0]
            case Rival.SWEEP:
                return self._staff.do_at_once(work, Work(Job.SWEEP, self._sweep), fault)[0]
            case Rival.RELAY:
                return self._staff.do_at_once(work, Work(Job.RELAY, self._relay), fault)[0]
            case Rival.NEXT:
                return self._beside_next(work, fault)
            case _:
                return self._beside_act(work, fault)

    def _beside_next(self, work: Work, fault: AtOnce) -> Ended:
        if not self._queue:
            return self._staff.do(work)
        step = self._queue.popleft()
        ended, of_rival = self._staff.do_at_once(work, Work(job_of(step), partial(self._do, step)), fault)
        if of_rival.how is End.FAILED:
            self._queue.append(step)
        return ended

    def _beside_act(self, work: Work, fault: AtOnce) -> Ended:
        """What a user does while settling is under way: from then on only the order of runs may differ."""
        coming = self._next_that_may_come()
        if coming is None:
            return self._staff.do(work)
        number, act = coming
        self._acts.remove(coming)
        self.entangled = True
        if not comes_out_the_same(act):
            self.early = (number, self._at)
        if fault.rival is Rival.ACT_FIRST:
            of_act, ended = self._staff.do_at_once(self._of_user(act), work, fault)
        else:
            ended, of_act = self._staff.do_at_once(work, self._of_user(act), fault)
        self.told[number] = str(of_act.value) if of_act.how is End.DONE else self._insist(act)
        return ended

    def _next_that_may_come(self) -> tuple[int, Act] | None:
        """The next act, or the first behind some that only settle and pay, if it is settled before anything else happens."""
        settling = sum(1 for _ in takewhile(lambda each: isinstance(each[1], ONLY_SETTLE), self._acts))
        match list(islice(self._acts, settling, settling + 2)):
            case [(number, act), (_, SettleDue())] if comes_out_the_same(act) or self._may_change(act):
                return number, act
            case _:
                return None

    def _may_change(self, act: Act) -> bool:
        """Whether it may be let in or refused: once in a run, so that there are two orders to compare with."""
        changes = isinstance(act, Load) and act.correction is None
        return changes and self.early is None and isinstance(self.world.acts[self._at], SettleDue)


def job_of(step: Step) -> Job:
    """What kind of job a step is."""
    match step:
        case SettleShard():
            return Job.SHARD
        case PlanRecalculation():
            return Job.PLAN
        case _:
            return Job.WINDOW


def lets_time_pass(act: Act) -> bool:
    """Whether the workers come to work after it."""
    return isinstance(act, SettleDue) or (isinstance(act, Recalculate) and act.step in {"request", "apply"})


def may_come_twice(act: Act) -> bool:
    """Whether the same act again changes nothing."""
    return not isinstance(act, Recalculate)


def comes_out_the_same(act: Act) -> bool:
    """Whether it commutes with settling: missing facts and late fills come out the same whenever they arrive.

    Not with changes of other facts, though: what is settled before a correction stays as it is.
    """
    return (isinstance(act, Load) and act.missing) or (isinstance(act, Ingest) and act.late)
