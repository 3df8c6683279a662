"""Shrinking finds the fewest items that fail, and can be written down and read again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulation.shrink import read, shrunk, written

NUMBERS = st.frozensets(st.integers(1, 200), min_size=1)


@given(needed=st.frozensets(st.integers(1, 60), min_size=1, max_size=5))
def test_what_is_needed_for_a_failure_is_all_that_is_left(needed: frozenset[int]) -> None:
    assert shrunk(range(1, 61), lambda kept: needed <= kept) == needed


@given(st.integers(1, 6))
def test_nothing_that_is_left_can_be_left_out_alone(fewest: int) -> None:
    left = shrunk(range(40), lambda kept: len(kept) >= fewest)
    assert len(left) == fewest


def test_few_runs_are_enough_for_one_item_of_many() -> None:
    tried: list[frozenset[int]] = []
    assert shrunk(range(128), lambda kept: tried.append(kept) or 77 in kept) == {77}  # type: ignore[func-returns-value]
    assert len(tried) <= 20


@given(NUMBERS)
def test_numbers_are_read_as_they_were_written(numbers: frozenset[int]) -> None:
    assert read(written(numbers)) == numbers


def test_neighbours_are_written_as_a_range() -> None:
    assert written([7, 1, 2, 3, 9, 8]) == "1-3,7-9"
    assert written([5]) == "5"


@pytest.mark.parametrize("text", ["", "a", "1,,2"])
def test_what_is_no_list_of_numbers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        read(text)
