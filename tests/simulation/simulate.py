"""One seed: its world without faults and with them, and what is wrong with the second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache

from redis import Redis

from tests.simulation.acts import World
from tests.simulation.arena import Arena
from tests.simulation.checks import wrong
from tests.simulation.exchange import Venue
from tests.simulation.faults import draw_faults
from tests.simulation.jobs import FoundError
from tests.simulation.outcome import Outcome, differences, outcome_of
from tests.simulation.play import Play
from tests.simulation.worlds import draw_world

SCHEDULES_OF_A_WORLD = 4
"""So many seeds in a row share a world, each with faults of its own: it has to be run without faults but once."""
WORD = len("refused")
WORLDS_PER_EXCHANGE = 12
"""Every so many worlds, the first fills come over HTTP."""


def world_of(seed: int) -> World:
    """The world and the faults of a seed."""
    number = seed // SCHEDULES_OF_A_WORLD
    from_exchange = number % WORLDS_PER_EXCHANGE == WORLDS_PER_EXCHANGE - 1
    return replace(_bare_world(number, from_exchange), faults=draw_faults(seed, from_exchange=from_exchange))


@lru_cache(maxsize=4)
def _bare_world(number: int, from_exchange: bool) -> World:  # noqa: FBT001 - a cache takes it by position
    return draw_world(number, from_exchange=from_exchange)


@dataclass(frozen=True, kw_only=True)
class _Run:
    outcome: Outcome
    told: dict[int, str]
    early: tuple[int, int] | None
    entangled: bool

    def unlike(self, calm: _Run, *, exactly: bool) -> list[str]:
        """How this run differs from one without faults."""
        if exactly:
            told = [(number, calm.told[number], now) for number, now in self.told.items()]
            outcomes = calm.outcome.exact, self.outcome.exact
        else:
            # Which line a refusal names first may depend on who came when.
            told = [(number, calm.told[number][:WORD], now[:WORD]) for number, now in self.told.items()]
            outcomes = calm.outcome.merged, self.outcome.merged
        said = [f"act {number + 1} was {before}, is {now}" for number, before, now in told if before != now]
        return said + differences(*outcomes)


@dataclass(kw_only=True)
class Simulator:
    """Runs worlds in an arena. The last one that was run without faults is remembered; `hit` counts faults that struck."""

    arena: Arena
    redis: Redis
    venue: Venue
    hit: Counter[str] = field(default_factory=Counter)
    _calm: tuple[World, _Run] | None = None

    def findings(self, world: World) -> list[str]:
        """What is wrong with the world's run: an error, something that does not hold, or another outcome."""
        try:
            calm = self._without_faults(replace(world, faults=()))
        except FoundError as error:
            return [f"without any fault: {error}"]
        try:
            found = self._run(world)
            return self._unlike_any(world, calm, found)
        except FoundError as error:
            return [str(error)]

    def _unlike_any(self, world: World, calm: _Run, found: _Run) -> list[str]:
        """A change beside the settling of another act is as good as one after it, or one before it; never in between."""
        said = found.unlike(calm, exactly=not (world.entangled or found.entangled))
        if not said or found.early is None:
            return said
        number, before = found.early
        order = [each for each in range(len(world.acts)) if each != number]
        order.insert(order.index(before), number)
        earlier = self._run(replace(world, faults=(), acts=tuple(world.acts[each] for each in order)))
        told = {order[place]: how for place, how in earlier.told.items()}
        other = found.unlike(replace(earlier, told=told), exactly=False)
        return [*said, "nor is it as if it had come before:", *other] if other else []

    def _without_faults(self, world: World) -> _Run:
        if self._calm is None or self._calm[0] != world:
            self._calm = (world, self._run(world))
        return self._calm[1]

    def _run(self, world: World) -> _Run:
        play = Play(arena=self.arena, redis=self.redis, venue=self.venue, world=world)
        try:
            play.run()
        finally:
            self.hit += play.hit
        if found := wrong(self.arena.database, self.arena.owner, acted=play.acted):
            raise FoundError("\n".join(found))
        return _Run(outcome=outcome_of(self.arena.database), told=play.told, early=play.early, entangled=play.entangled)


@contextmanager
def simulating(arena: Arena, redis_url: str) -> Iterator[Simulator]:
    """A simulator in this arena, with the exchange listening."""
    venue = Venue(redis_url)
    with Redis.from_url(redis_url) as redis, venue.listening():
        yield Simulator(arena=arena, redis=redis, venue=venue)
    arena.close()
