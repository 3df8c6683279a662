"""What goes wrong and when, drawn from a seed: a kill every few seconds, and four greater faults spread over the time.

Kills are dealt from a shuffled pack of all kinds, again and again, so each kind comes about as often as the others; the plain
ones come first. A kill in the middle of a certain task waits a moment for one to begin; if none does, another is dealt.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import psutil
from redis import Redis

from tests.torture.stage import BEAT, DOOMED, WORKERS, Stage

SECONDS_BETWEEN = (1.0, 4.0)
PATIENCE_SECONDS = 2.0
SECONDS_OF_TASK = 0.05
TASKS = (
    "settlement.relay",
    "settlement.sweep",
    "settlement.ingest_file",
    "settlement.settle_window",
    "settlement.settle_shard",
    "settlement.plan_recalculation",
    "settlement.apply_recalculation",
)
WORKER, CHILD = "a worker with its processes", "a process of a worker"
REDIS, POSTGRES = "Redis emptied", "PostgreSQL restarted"
# When the greater faults come, in parts of the whole time.
GREATER = ((0.2, POSTGRES), (0.4, REDIS), (0.6, POSTGRES), (0.8, REDIS))


@dataclass
class Faults:
    """Strikes as time goes by; counts what it did."""

    stage: Stage
    redis: Redis
    seed: int
    seconds: float
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._drawn = random.Random(self.seed)  # noqa: S311 - faults, not secrets
        self._began = time.monotonic()
        self._greater = list(GREATER)
        self._pack = [BEAT, CHILD, WORKER]
        self._next = self._began + self._drawn.uniform(*SECONDS_BETWEEN)

    @property
    def greater_done(self) -> bool:
        """Whether all of the greater faults have come."""
        return not self._greater

    def strike_if_due(self) -> None:
        """At most one fault a call."""
        now = time.monotonic()
        if self._greater and now - self._began >= self._greater[0][0] * self.seconds:
            self._do(self._greater.pop(0)[1])
        elif now >= self._next:
            while not self._do(self._deal()):
                pass
            self._next = time.monotonic() + self._drawn.uniform(*SECONDS_BETWEEN)

    def _deal(self) -> str:
        if not self._pack:
            self._pack = [WORKER, CHILD, BEAT, *TASKS]
            self._drawn.shuffle(self._pack)
        return self._pack.pop()

    def _do(self, kind: str) -> bool:
        acts: dict[str, Callable[[], bool]] = {
            WORKER: self._kill_worker,
            BEAT: self._kill_beat,
            CHILD: self._kill_child,
            REDIS: self._empty_redis,
            POSTGRES: self._restart_postgres,
        }
        done = acts[kind]() if kind in acts else self._kill_at(kind)
        if done:
            self.done[kind if kind in acts else f"a process at {kind}"] += 1
        return done

    def _kill_worker(self) -> bool:
        self.stage.kill(self._drawn.choice(WORKERS))
        return True

    def _kill_beat(self) -> bool:
        self.stage.kill(BEAT)
        return True

    def _kill_child(self) -> bool:
        children = self.stage.children()
        return bool(children) and _kill(self._drawn.choice(children))

    def _kill_at(self, task: str) -> bool:
        """Has the next process that begins this task killed, in the middle of it or right after it."""
        key = DOOMED.format(task=task)
        self.redis.set(key, str(self._drawn.uniform(0, SECONDS_OF_TASK)))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.redis.exists(key) and time.monotonic() < deadline:
            time.sleep(0.01)
        return not self.redis.delete(key)

    def _empty_redis(self) -> bool:
        self.redis.flushall()
        return True

    def _restart_postgres(self) -> bool:
        self.stage.restart_postgres()
        return True


def _kill(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        process.kill()
        return True
    return False
