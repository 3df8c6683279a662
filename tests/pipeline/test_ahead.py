"""Working ahead gives the same items in the same order, never more than one of them early."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.pipeline.ahead import ahead


@given(items=st.lists(st.none() | st.integers(), max_size=20))
def test_items_come_in_order_none_among_them_too(items: list[int | None]) -> None:
    assert list(ahead(items)) == items


def test_the_next_item_is_begun_while_one_is_used_and_no_other() -> None:
    made: list[int] = []
    begun = threading.Semaphore(0)

    def items() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            begun.release()
            yield number

    for number in ahead(items()):
        last = min(number + 1, 4)
        while len(made) <= last:
            assert begun.acquire(timeout=10)
        assert made == list(range(last + 1))


def test_an_error_is_raised_where_its_item_would_have_come() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("the third cannot be made")

    seen: list[int] = []
    with pytest.raises(ValueError, match="the third cannot be made"):
        seen.extend(ahead(items()))
    assert seen == [1, 2]


def test_items_are_made_in_another_thread() -> None:
    def items() -> Iterator[str]:
        for _ in range(3):
            yield threading.current_thread().name

    assert all(name.startswith("ahead") for name in ahead(items()))


def test_leaving_early_stops_the_work_and_its_thread() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            yield number

    working = ahead(items())
    assert next(working) == 0
    working.close()  # type: ignore[attr-defined] - ahead is a generator
    assert len(made) <= 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_nothing_comes_out_of_nothing() -> None:
    assert list(ahead([])) == []
