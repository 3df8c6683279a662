"""A broker is never its own ancestor, nor too deep in the tree, at any instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from settlement.program.broker_tree import DEPTH_LIMIT, BrokerRow, find_cycle, find_too_deep

START = datetime(2026, 1, 1, tzinfo=UTC)


def row(broker: str, parent: str | None, begins: int, ends: int | None = None) -> BrokerRow:
    return BrokerRow(
        broker_id=broker,
        parent_id=parent,
        effective_from=START + timedelta(hours=begins),
        effective_to=None if ends is None else START + timedelta(hours=ends),
    )


def test_a_tree_has_no_cycle() -> None:
    assert find_cycle([row("a", None, 0), row("b", "a", 0), row("c", "b", 0), row("d", "b", 5)]) is None


def test_a_cycle_is_named_with_the_instant_it_begins() -> None:
    cycle = find_cycle([row("a", None, 0), row("b", "a", 0), row("c", "b", 0), row("a", "c", 7)])
    assert cycle is not None
    assert cycle.at == START + timedelta(hours=7)
    assert cycle.brokers == ("a", "c", "b")


def test_a_broker_is_not_its_own_parent() -> None:
    cycle = find_cycle([row("a", "a", 0)])
    assert cycle is not None
    assert cycle.brokers == ("a",)


def test_two_that_swap_places_at_one_instant_form_no_cycle() -> None:
    assert find_cycle([row("a", None, 0), row("b", "a", 0), row("a", "b", 5), row("b", None, 5)]) is None


def test_an_ended_row_has_no_parent_any_more() -> None:
    assert find_cycle([row("b", "a", 0, 5), row("a", "b", 5)]) is None
    assert find_cycle([row("b", "a", 0, 6), row("a", "b", 5)]) is not None


ROWS = st.lists(
    st.builds(
        lambda broker, parent, begins, length: row(broker, parent, begins, None if length is None else begins + length),
        st.sampled_from("abcd"),
        st.none() | st.sampled_from("abcd"),
        st.integers(0, 6),
        st.none() | st.integers(1, 6),
    ),
    max_size=10,
    unique_by=lambda each: (each.broker_id, each.effective_from),
)


@given(ROWS)
def test_it_agrees_with_looking_at_every_hour(rows: list[BrokerRow]) -> None:
    hours = [START + timedelta(hours=hour) for hour in range(14)]
    first = next((hour for hour in hours if has_cycle(rows, hour)), None)
    found = find_cycle(rows)
    assert (found.at if found else None) == first


def has_cycle(rows: list[BrokerRow], at: datetime) -> bool:
    parents = {broker: parent_at(rows, broker, at) for broker in "abcd"}
    for broker, parent in parents.items():
        above = parent
        for _ in range(len(parents)):
            if above == broker:
                return True
            above = parents[above] if above else None
    return False


def parent_at(rows: list[BrokerRow], broker: str, at: datetime) -> str | None:
    begun = [each for each in rows if each.broker_id == broker and each.effective_from <= at]
    if not begun:
        return None
    latest = max(begun, key=lambda each: each.effective_from)
    return None if latest.effective_to and latest.effective_to <= at else latest.parent_id


def chain(levels: int, *, begins: int = 0) -> list[BrokerRow]:
    """Brokers b1, b2, ..., each under the one before."""
    return [row(f"b{level}", f"b{level - 1}" if level > 1 else None, begins) for level in range(1, levels + 1)]


def test_a_tree_may_have_as_many_levels_as_the_limit_says_and_no_more() -> None:
    assert find_too_deep(chain(DEPTH_LIMIT)) is None
    deep = find_too_deep(chain(DEPTH_LIMIT + 1))
    assert deep is not None
    assert deep.at == START
    assert deep.brokers == tuple(f"b{level}" for level in range(DEPTH_LIMIT + 1, 0, -1))


def test_what_stands_below_a_broker_moves_with_it() -> None:
    deep = find_too_deep([*chain(4), row("x", None, 0), row("y", "x", 0), row("x", "b3", 7)], limit=4)
    assert deep is not None
    assert (deep.at, deep.brokers) == (START + timedelta(hours=7), ("y", "x", "b3", "b2", "b1"))


def test_what_was_below_a_broker_that_has_moved_away_is_not_counted() -> None:
    assert find_too_deep([*chain(4), row("b3", None, 5), row("b1", "x", 6), row("x", None, 0)], limit=4) is None


@given(ROWS.filter(lambda rows: find_cycle(rows) is None), st.integers(1, 3))
def test_depth_agrees_with_looking_at_every_hour(rows: list[BrokerRow], limit: int) -> None:
    hours = [START + timedelta(hours=hour) for hour in range(14)]
    first = next((hour for hour in hours if depth(rows, hour) > limit), None)
    found = find_too_deep(rows, limit=limit)
    assert (found.at if found else None) == first
    assert found is None or len(found.brokers) == limit + 1


def depth(rows: list[BrokerRow], at: datetime) -> int:
    """The number of levels of the tree at an instant."""
    parents = {broker: parent_at(rows, broker, at) for broker in "abcd"}
    paths = []
    for broker in parents:
        path = [broker]
        while above := parents.get(path[-1]):
            path.append(above)
        paths.append(len(path))
    return max(paths)
