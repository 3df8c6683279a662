"""The machine finds what it is made to find; `make simulate-mutants` searches from the first seed on."""

from __future__ import annotations

import pytest

from tests.simulation.arena import Arena, cloned
from tests.simulation.mutants import MUTANTS, search
from tests.simulation.processes import be_small
from tests.simulation.simulate import simulating

FIRST_SEEDS = {"locks": 120}
"""Where a search from 0 would take minutes. When worlds are drawn otherwise, `make simulate-mutants` tells where to begin."""
SEEDS = 60


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_fault_that_is_built_into_the_product_is_found(template: str, redis_url: str, name: str) -> None:
    be_small()
    first = FIRST_SEEDS.get(name, 0)
    with cloned(template) as url, simulating(Arena(url), redis_url) as simulator:
        assert search(simulator, name, range(first, first + SEEDS)) is not None
