"""What is in force at an instant: the columns find what a search row by row finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from schemas.frames import TIMESTAMP
from settlement.rules.in_force import NONE, InForce, coded, joined

INSTANTS = st.integers(0, 9)
NAMES = st.sampled_from(["a", "b", "ab", ""])


@st.composite
def dated_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows in any order, no two with the same key and start; ends are missing, or after the start."""
    starts = draw(st.lists(st.tuples(NAMES, NAMES, INSTANTS), unique=True, max_size=12))
    return [
        {"one": one, "two": two, "start": start, "end": draw(st.none() | st.integers(start + 1, 12))}
        for one, two, start in starts
    ]


def row_in_force(rows: list[dict[str, Any]], key: tuple[str, str], time: int) -> int:
    begun = [
        (row["start"], number)
        for number, row in enumerate(rows)
        if (row["one"], row["two"]) == key and row["start"] <= time
    ]
    if not begun or "" in key:
        return NONE
    latest = max(begun)[1]
    end = rows[latest]["end"]
    return NONE if end is not None and time >= end else latest


def text(values: list[str]) -> pd.Series[Any]:
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.array([value or None for value in values], pa.string())))


def times(values: list[int | None]) -> pd.Series[Any]:
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(values, TIMESTAMP)))


@given(
    rows=dated_rows(),
    wanted=st.lists(st.tuples(st.sampled_from(["a", "b", "ab", "", "c"]), NAMES, INSTANTS), max_size=12),
    at_once=st.booleans(),
)
def test_the_row_in_force_is_the_latest_begun_if_it_has_not_ended(
    rows: list[dict[str, Any]],
    wanted: list[tuple[str, str, int]],
    at_once: bool,  # noqa: FBT001 - pytest and Hypothesis pass arguments by name
) -> None:
    if at_once:
        wanted = [(one, two, wanted[0][2]) for one, two, _ in wanted]
    table = InForce(
        pd.DataFrame(
            {
                "one": text([row["one"] for row in rows]),
                "two": text([row["two"] for row in rows]),
                "effective_from": times([row["start"] for row in rows]),
                "effective_to": times([row["end"] for row in rows]),
            }
        ),
        key=["one", "two"],
    )
    keys = joined(coded(text([one for one, _, _ in wanted])), coded(text([two for _, two, _ in wanted])))
    found = table.rows_at(keys, np.array([time for _, _, time in wanted], dtype=np.int64))
    assert found.tolist() == [row_in_force(rows, (one, two), time) for one, two, time in wanted]


@given(rows=dated_rows(), wanted=st.lists(st.tuples(NAMES, INSTANTS), min_size=1, max_size=12))
def test_a_single_key_is_looked_up_alike_and_rows_without_an_end_last_for_ever(
    rows: list[dict[str, Any]], wanted: list[tuple[str, int]]
) -> None:
    endless = list({(row["one"], row["start"]): {**row, "two": "x", "end": None} for row in rows}.values())
    frame = {"one": text([row["one"] for row in endless]), "ts": times([row["start"] for row in endless])}
    table = InForce(pd.DataFrame(frame), key=["one"], start="ts")
    found = table.rows_at(
        coded(text([one for one, _ in wanted])), np.array([time for _, time in wanted], dtype=np.int64)
    )
    assert found.tolist() == [row_in_force(endless, (one, "x"), time) for one, time in wanted]
