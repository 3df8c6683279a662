"""Random draws and decimal text: exact, and the same everywhere."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from settlement.sample.decimal_text import decimal_text
from settlement.sample.draws import Draws


def test_a_seed_gives_the_same_numbers_on_every_machine() -> None:
    assert Draws(1).below(1000, 6).tolist() == [127, 86, 885, 778, 689, 904]


def test_draws_go_on_where_they_stopped() -> None:
    one, other = Draws(7), Draws(7)
    assert np.concatenate([one.below(50, 3), one.below(50, 4)]).tolist() == other.below(50, 7).tolist()


def test_picks_follow_their_weights() -> None:
    picked = Draws(3).pick((0, 900, 100), 10_000)
    counts = np.bincount(picked, minlength=3)
    assert counts[0] == 0
    assert 8_800 < counts[1] < 9_200


@given(
    st.lists(
        st.tuples(st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1), st.integers(min_value=0, max_value=18)),
        max_size=20,
    )
)
def test_decimal_text_is_the_value_with_plain_digits_and_no_trailing_zeros(rows: list[tuple[int, int]]) -> None:
    values = np.array([value for value, _ in rows], dtype=np.int64)
    scales = np.array([scale for _, scale in rows], dtype=np.int64)
    written = decimal_text(values, scales).to_pylist()
    assert [Decimal(text) for text in written] == [Decimal(value).scaleb(-scale) for value, scale in rows]
    assert all("E" not in text and not ("." in text and text[-1] in "0.") for text in written)
