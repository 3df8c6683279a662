"""Worlds with faults come out as they do without: as many seeds as fit, in two parts that run beside each other.

`make simulate SEEDS=1000` runs more of them, and `make simulate SEED=...` replays one and shrinks it if it fails.
"""

from __future__ import annotations

import gc
import time
from dataclasses import replace

import pytest

from tests.simulation.acts import FIRST_WINDOW, HOUR, Ingest, PayOnSchedule, SettleDue, World
from tests.simulation.arena import Arena, cloned, own_server
from tests.simulation.faults import draw_faults, draw_restarts
from tests.simulation.processes import PROCESSES, be_small, share_of
from tests.simulation.simulate import simulating, world_of
from tests.simulation.worlds import draw_world

SECONDS = 90
SEEDS_MIN = 8
"""Of each part, however slow the machine."""
SEEDS_MAX = 100_000


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(PROCESSES))
def test_whatever_goes_wrong_the_outcome_is_the_same(template: str, redis_url: str, part: int) -> None:
    be_small()
    ends_at = time.monotonic() + SECONDS
    with cloned(template) as url, simulating(Arena(url), redis_url) as simulator:
        for number, seed in enumerate(share_of(range(SEEDS_MAX), part)):
            if number >= SEEDS_MIN and time.monotonic() > ends_at:
                break
            findings = simulator.findings(world_of(seed))
            assert not findings, f"replay and shrink it by: make simulate SEED={seed}\n" + "\n".join(findings)
        assert simulator.hit.total() > number


# A connection whose server is gone is dropped as it stands, when it is collected: here, not in another test.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(600)
def test_a_server_that_is_stopped_and_started_again_changes_nothing(redis_url: str) -> None:
    with own_server() as arena, simulating(arena, redis_url) as simulator:
        assert simulator.findings(replace(world_of(0), faults=draw_restarts(0))) == []
        assert simulator.hit["ServerStopped"] > 0
    gc.collect()


def test_a_seed_always_draws_the_same_world_and_the_same_faults() -> None:
    assert draw_world(5) == draw_world(5)
    assert draw_world(5) != draw_world(6)
    assert draw_faults(5) == draw_faults(5)
    assert draw_faults(5) != draw_faults(6)


def test_what_is_kept_of_a_world_means_the_same_as_before() -> None:
    row = {"venue": "okx", "account": "1"}
    acts = (SettleDue(), Ingest(file="a.csv", rows=({**row, "bill_id": "1"}, {**row, "bill_id": "2"})), PayOnSchedule())
    world = World(acts=acts, windows=(FIRST_WINDOW, FIRST_WINDOW + HOUR), faults=draw_faults(1))
    numbers = {number for first, _, of_rows in world.items() for number in (first, *of_rows)}
    assert numbers == set(range(1, len(numbers) + 1))
    assert world.keeping(frozenset(numbers)) == world
    assert world.keeping(frozenset({2, 4})).acts == (Ingest(file="a.csv", rows=({**row, "bill_id": "2"},)),)
    assert world.keeping(frozenset({3, 4})).acts == ()
    assert world.keeping(frozenset({6})).faults == world.faults[:1]
