"""settle() gives what section 4 of the design says, value for value, in worlds that Hypothesis draws.

Hypothesis draws but does not shrink (a world has hundreds of rows, and every try settles them all): a difference is
narrowed here to its one fill and to the rows of the world without which there would be none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from hypothesis import Phase, event, given, settings

from settlement.rules.reasons import Reason
from tests.rules.drawn import BATCHES, WORLDS
from tests.rules.outcomes import TABLES, settled, settled_one
from tests.rules.reference import Line, Row, World, settle_one

seen: Counter[str] = Counter()


@settings(max_examples=3 * settings().max_examples, phases=[Phase.reuse, Phase.generate])
@given(world=WORLDS, batch=BATCHES)
def compare(world: World, batch: list[Row]) -> None:
    expected = [settle_one(fill, world) for fill in batch]
    seen.update(line.reason for line in expected)
    for reason in {line.reason for line in expected}:
        event(reason or "earned")
    different = [fill for fill, line, wanted in zip(batch, settled(batch, world), expected, strict=True) if line != wanted]
    if different:
        raise AssertionError(explained(different[0], world))


def test_every_line_is_what_the_reference_says_and_every_reason_is_met_often() -> None:
    seen.clear()
    compare()
    assert set(seen) == {reason.text for reason in Reason}
    assert min(seen.values()) >= 10, seen
    assert seen[Reason.EARNED.text] >= 200, seen


def test_a_difference_is_narrowed_to_its_fill_and_the_rows_that_matter() -> None:
    def is_lucky(fill: Row, world: World) -> bool:
        return any(row["code"] == fill["tag"] for row in world.codes)

    codes = [{"code": code} for code in ("A", "B", "C")]
    assert list(narrowed({"tag": "B"}, World(codes=codes), is_lucky).codes) == [{"code": "B"}]


def explained(fill: Row, world: World) -> str:
    small = narrowed(fill, world, lambda fill, world: _rules_say(fill, world) != settle_one(fill, world))
    tables = [f"{name}: {dict(row)}" for name in TABLES for row in getattr(small, name)]
    terms = [f"terms: {version}" for version in small.terms]
    verdicts = [f"rules:     {_rules_say(fill, small)}", f"reference: {settle_one(fill, small)}"]
    return "\n".join(["the rules and the reference differ", f"fill: {dict(fill)}", *tables, *terms, *verdicts])


def narrowed(fill: Row, world: World, differs: object) -> World:
    """The world without any row that could go while `differs(fill, world)` stays true."""
    assert callable(differs)
    for smaller in _each_without_a_row(world):
        if differs(fill, smaller):
            return narrowed(fill, smaller, differs)
    return world


def _each_without_a_row(world: World) -> Iterator[World]:
    for name in ("terms", *TABLES):
        rows = getattr(world, name)
        for position in range(len(rows)):
            yield replace(world, **{name: rows[:position] + rows[position + 1 :]})


def _rules_say(fill: Row, world: World) -> Line | str:
    # What the rules raise is their verdict, too: narrowing must go on from it.
    try:
        return settled_one(fill, world)
    except Exception as fault:  # noqa: BLE001 - whatever it is, it is shown
        return f"{type(fault).__name__}: {fault}"
