"""`make simulate`: runs seeds, replays one and shrinks it, or shows that the machine finds what it is made to find.

Exit code 1 if anything was found; with --mutants, if something was not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tests.simulation import shrink
from tests.simulation.acts import World
from tests.simulation.arena import Arena, cloned, own_server
from tests.simulation.faults import draw_restarts
from tests.simulation.mutants import MUTANTS, search
from tests.simulation.processes import redis_url_of, run_seeds, servers
from tests.simulation.simulate import Simulator, simulating, world_of

MUTANT_SEEDS_MAX = 300
FINDINGS_SHOWN = 10
SEEDS_PER_WORD = 100
SEEDS_PER_RESTART = 250
"""Every so many seeds, one is run once more, on a server that is stopped again and again."""


def main() -> int:
    """What the command line asks for."""
    asked = _asked()
    with servers() as template:
        if asked.mutants is not None:
            return sum(not _found(template, name) for name in asked.mutants or MUTANTS)
        if asked.seed is not None:
            return _replay(template, asked)
        return _run(template, range(asked.first, asked.first + asked.seeds))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="run this one only, and shrink it if it fails")
    parser.add_argument("--keep", type=shrink.read, help="with only these of its items, such as 1-4,7")
    parser.add_argument("--restart", action="store_true", help="on a server of its own that is stopped meanwhile")
    parser.add_argument("--mutants", nargs="*", choices=MUTANTS, help="whether these (none: all) mutants are found")
    return parser.parse_args()


# ---------------------------------------------------------------- many seeds


def _run(template: str, seeds: range) -> int:
    began = time.monotonic()
    failed: list[int] = []
    hit: Counter[str] = Counter()
    for done, report in enumerate(run_seeds(template, seeds), start=1):
        hit += report.hit
        if done % SEEDS_PER_WORD == 0:
            _say(f"{done} of {len(seeds)} seeds after {time.monotonic() - began:.0f} s, {len(failed)} failed")
        if report.findings:
            failed.append(report.seed)
            _say(f"seed {report.seed} fails:", *report.findings)
    seconds = time.monotonic() - began
    _say(f"{len(seeds)} seeds in {seconds:.0f} s, {len(seeds) / seconds:.2f} a second: {len(failed)} failed")
    _say("what struck: " + ", ".join(f"{name} {count}" for name, count in hit.most_common()))
    failed_restarts = [seed for seed in seeds[::SEEDS_PER_RESTART] if _fails_on_restarts(seed)]
    if failed:
        _replay_one(template, failed[0])
    return 1 if failed or failed_restarts else 0


def _fails_on_restarts(seed: int) -> bool:
    with _stage(None) as simulator:
        findings = simulator.findings(_world(seed, restart=True))
    stopped = simulator.hit["ServerStopped"]
    _say(f"seed {seed}, on a server that was stopped {stopped} times: {'fails' if findings else 'well'}", *findings)
    if findings:
        _say(f"to replay it: make simulate SEED={seed} RESTART=1")
    return bool(findings)


# ---------------------------------------------------------------- one seed


def _replay(template: str, asked: argparse.Namespace) -> int:
    if asked.restart:
        return int(_fails_on_restarts(asked.seed))
    return _replay_one(template, asked.seed, keep=asked.keep)


def _replay_one(template: str, seed: int, *, keep: shrink.Numbers | None = None) -> int:
    world = _world(seed)
    with _stage(template) as simulator:
        findings = simulator.findings(world.keeping(keep) if keep else world)
        _say(f"seed {seed} {'fails:' if findings else 'is well'}", *findings)
        _say(f"to replay it: make simulate SEED={seed}" + (f" KEEP={shrink.written(keep)}" if keep else ""))
        if findings and not keep:
            _shrink(simulator, world, seed)
    return int(bool(findings))


def _shrink(simulator: Simulator, world: World, seed: int) -> None:
    numbers = [number for first, _, of_rows in world.items() for number in (first, *of_rows)]
    tried = 0

    def fails(kept: shrink.Numbers) -> bool:
        nonlocal tried
        tried += 1
        return bool(simulator.findings(world.keeping(kept)))

    kept = shrink.shrunk(numbers, fails)
    _say(f"{len(numbers)} items are shrunk to {len(kept)}, in {tried} runs:")
    left = [number for number, _, _ in world.items() if number in kept]
    for number, (_, item, _) in zip(left, world.keeping(kept).items(), strict=True):
        _say(f"  {number}: {item}")
    _say("which do:", *simulator.findings(world.keeping(kept)))
    _say(f"to replay it: make simulate SEED={seed} KEEP={shrink.written(kept)}")


# ---------------------------------------------------------------- mutants


def _found(template: str, name: str) -> bool:
    began = time.monotonic()
    with _stage(template) as simulator:
        found = search(simulator, name, range(MUTANT_SEEDS_MAX))
    if found is None:
        _say(f"{name}: NOT found within {MUTANT_SEEDS_MAX} seeds")
        return False
    seconds = time.monotonic() - began
    _say(f"{name}: found by seed {found.seed}, the {found.seed + 1}th, in {seconds:.0f} s", *found.findings)
    return True


# ---------------------------------------------------------------- all of them


def _world(seed: int, *, restart: bool = False) -> World:
    world = world_of(seed)
    return replace(world, faults=draw_restarts(seed)) if restart else world


@contextmanager
def _stage(template: str | None) -> Iterator[Simulator]:
    """A simulator in a database of its own, or, without a template, on a server of its own."""
    if template is None:
        with own_server() as arena, simulating(arena, redis_url_of(0)) as simulator:
            yield simulator
        return
    with cloned(template) as url, simulating(Arena(url), redis_url_of(0)) as simulator:
        yield simulator


def _say(headline: str, *findings: str) -> None:
    print(headline, *findings[:FINDINGS_SHOWN], sep="\n  ", flush=True)  # noqa: T201 - what a program of its own has to say


if __name__ == "__main__":
    sys.exit(main())
