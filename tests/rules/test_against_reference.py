"""settle() gives what section 4 of the design says, value for value, in worlds that Hypothesis draws.

Hypothesis draws but does not shrink (a world has a hundred rows, and every try settles them all): a difference is
narrowed here to one fill and to the rows of the world without which there would be none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from hypothesis import Phase, event, given, settings

from settlement.rules.reasons import Reason
from tests.rules.drawn_fills import BATCHES
from tests.rules.drawn_worlds import WORLDS
from tests.rules.outcomes import TABLES, settled
from tests.rules.reference import Line, Row, World, settle_one

seen: Counter[str] = Counter()


@settings(max_examples=settings().max_examples * 5 // 4, phases=[Phase.reuse, Phase.generate])
@given(world=WORLDS, batch=BATCHES)
def compare(world: World, batch: list[Row]) -> None:
    expected = [settle_one(fill, world) for fill in batch]
    seen.update(line.reason for line in expected)
    for reason in sorted({line.reason for line in expected}):
        event(reason or "earned")
    if rules_say(batch, world) != expected:
        raise AssertionError(explained(batch, world))


def test_every_line_is_what_the_reference_says_and_every_reason_is_met_often() -> None:
    seen.clear()
    compare()
    # The cap looks at all lines of a month: test_cap.py.
    assert set(seen) == {reason.text for reason in Reason} - {Reason.CAP_REACHED.text}
    assert min(seen.values()) >= 3, seen
    assert seen[Reason.EARNED.text] >= 100, seen


def test_a_difference_is_narrowed_to_the_rows_that_matter() -> None:
    world = World(codes=[{"code": "A"}, {"code": "B"}, {"code": "C"}], tiers=[{"tier": "T1"}])
    assert narrowed(world, lambda world: {"code": "B"} in world.codes) == World(codes=[{"code": "B"}], tiers=[])


def explained(batch: Sequence[Row], world: World) -> str:
    alone = [fill for fill in batch if differs(fill, world)]
    if not alone:
        return f"each fill alone is as the reference says, but not all together: {batch} in {world}"
    small = narrowed(world, lambda smaller: differs(alone[0], smaller))
    facts = [f"{name}: {row}" for name in ("terms", *TABLES) for row in getattr(small, name)]
    verdicts = [f"rules:     {rules_say(alone[:1], small)}", f"reference: {[settle_one(alone[0], small)]}"]
    return "\n".join([f"{len(alone)} of {len(batch)} fills differ, such as {alone[0]}", *facts, *verdicts])


def differs(fill: Row, world: World) -> bool:
    return rules_say([fill], world) != [settle_one(fill, world)]


def rules_say(batch: Sequence[Row], world: World) -> list[Line] | str:
    # What the rules raise is a verdict too: narrowing goes on from it.
    try:
        return settled(batch, world)
    except Exception as fault:  # noqa: BLE001 - whatever it is, it differs from the reference and is shown
        return f"{type(fault).__name__}: {fault}"


def narrowed(world: World, still: Callable[[World], bool]) -> World:
    """`world` less every row, one after the other, without which `still` holds."""
    for name in ("terms", *TABLES):
        for row in getattr(world, name):
            rest = [other for other in getattr(world, name) if other is not row]
            smaller = replace(world, **{name: tuple(rest) if name == "terms" else rest})
            if still(smaller):
                world = smaller
    return world
