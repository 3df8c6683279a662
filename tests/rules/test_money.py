"""Products of decimal columns equal Python's exact decimals with one rounding, up to the widest amounts."""

from __future__ import annotations

from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from functools import reduce
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from settlement.rules import money
from settlement.rules.money import AMOUNT, LEDGER_AMOUNT, difference, fit, floor_ledger, product

EXACT = Context(prec=500)
ROUNDINGS = {"half_to_even": ROUND_HALF_EVEN, "down": ROUND_FLOOR}
WIDEST = Decimal("99999999999999999999.999999999999999999")
LARGEST_LEDGER_AMOUNT = EXACT.subtract(Decimal(10) ** 26, money.LEDGER_QUANTUM)

Column = list[Decimal | None]


def units(limit: int) -> st.SearchStrategy[int]:
    """Whole numbers up to a limit: small ones, round ones, ones just below a power of ten, any."""
    powers = st.integers(0, len(str(limit)) - 1).map(lambda digits: 10**digits)
    return st.one_of(
        st.integers(0, min(limit, 1000)), powers, powers.map(lambda power: power - 1), st.integers(0, limit)
    )


AMOUNTS = units(10**38 - 1).map(lambda number: EXACT.scaleb(Decimal(number), -18))
FACTORS = units(10**24).map(lambda number: EXACT.scaleb(Decimal(number), -18))


@st.composite
def columns(draw: st.DrawFn) -> list[Column]:
    """Two to five columns of one length, the first as wide as can be, some of the values missing."""
    rows = draw(st.integers(1, 6))
    kinds = [AMOUNTS, *[FACTORS] * draw(st.integers(1, 4))]
    return [draw(st.lists(st.one_of(kind, kind, st.none()), min_size=rows, max_size=rows)) for kind in kinds]


def exact_product(factors: tuple[Decimal | None, ...], rounding: str) -> Decimal | None:
    known = [factor for factor in factors if factor is not None]
    if len(known) < len(factors):
        return None
    return reduce(EXACT.multiply, known).quantize(money.LEDGER_QUANTUM, rounding=ROUNDINGS[rounding], context=EXACT)


@given(columns=columns(), rounding=st.sampled_from(sorted(ROUNDINGS)))
@example(columns=[[Decimal("0.0000000000005")], [Decimal(1)]], rounding="half_to_even")
@example(columns=[[Decimal("0.0000000000015")], [Decimal(1)]], rounding="half_to_even")
@example(columns=[[WIDEST], [Decimal("99999.9")], [WIDEST], [Decimal("0.000000000000000001")]], rounding="down")
def test_a_product_is_exact_until_its_one_rounding(columns: list[Column], rounding: str) -> None:
    expected = [exact_product(factors, rounding) for factors in zip(*columns, strict=True)]
    arrays = [pa.array(column, AMOUNT) for column in columns]
    if any(value is not None and value > LARGEST_LEDGER_AMOUNT for value in expected):
        with pytest.raises(pa.ArrowInvalid):
            product(*arrays, rounding=rounding)
        return
    result = product(*arrays, rounding=rounding)
    assert result.type == LEDGER_AMOUNT
    assert result.to_pylist() == expected


@given(columns=columns(), rounding=st.sampled_from(sorted(ROUNDINGS)))
def test_products_by_integers_are_the_same(columns: list[Column], rounding: str) -> None:
    small = [[value if value is None else value % 1000 for value in column] for column in columns]
    arrays = [pa.array(column, AMOUNT) for column in small]
    assert product(*arrays, rounding=rounding).equals(money._product_by_integers(arrays, rounding=rounding))


def test_negative_amounts_round_half_even_too() -> None:
    amounts = pa.array([Decimal("-0.0000000000005"), Decimal("-0.0000000000015")], AMOUNT)
    ones = pa.array([Decimal(1), Decimal(1)], AMOUNT)
    assert product(amounts, ones, rounding="half_to_even").to_pylist() == [Decimal(0), Decimal("-0.000000000002")]


HALF = units(10**37).map(lambda number: EXACT.scaleb(Decimal(number), -18))
SIGNED = st.one_of(HALF, HALF.map(EXACT.minus))


@given(pairs=st.lists(st.tuples(st.none() | SIGNED, st.none() | SIGNED), max_size=6))
def test_a_difference_is_exact(pairs: list[tuple[Decimal | None, Decimal | None]]) -> None:
    left, right = (pa.array([pair[side] for pair in pairs], AMOUNT) for side in (0, 1))
    expected = [None if one is None or other is None else EXACT.subtract(one, other) for one, other in pairs]
    assert difference(left, right).to_pylist() == expected


@pytest.mark.parametrize("column_type", [AMOUNT, LEDGER_AMOUNT, pa.decimal256(76, 36)], ids=str)
@given(data=st.data())
def test_fitting_keeps_every_value(column_type: Any, data: st.DataObject) -> None:
    number = units(10**column_type.precision - 1).map(lambda digits: EXACT.scaleb(Decimal(digits), -column_type.scale))
    values = data.draw(st.lists(st.none() | number | number.map(EXACT.minus), max_size=6))
    assert fit(pa.array(values, column_type)).to_pylist() == values


@given(amount=AMOUNTS)
def test_one_amount_is_cut_to_twelve_decimals(amount: Decimal) -> None:
    cut = floor_ledger(amount)
    assert cut <= amount < EXACT.add(cut, money.LEDGER_QUANTUM)
    assert cut.as_tuple().exponent == -12
