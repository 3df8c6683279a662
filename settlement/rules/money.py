"""Exact money: products of decimals with one rounding at the end, as whole columns.

1. A ledger amount has 12 decimals.
2. A product is exact until its one rounding: half-even in valuation and rating, down (floor, as nothing here is
   negative) in splits and payouts.
3. No float is ever involved. Arrow's decimal256 holds 76 digits; rows whose product would need more are multiplied by
   Python's integers instead, with the same result.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Context, Decimal, Inexact, InvalidOperation
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

LEDGER_DECIMALS = 12
LEDGER_AMOUNT = pa.decimal128(38, LEDGER_DECIMALS)
AMOUNT = pa.decimal128(38, 18)
LEDGER_QUANTUM = Decimal(1).scaleb(-LEDGER_DECIMALS)

# Decimals of any size, added and multiplied without rounding: Python's default keeps 28 digits only.
EXACT = Context(prec=400, traps=[Inexact, InvalidOperation])

_ROUNDING = Context(prec=400)

_NARROW, _WIDEST = 38, 76
_PYTHON_ROUNDING = {"half_to_even": ROUND_HALF_EVEN, "down": ROUND_DOWN}


def product(*factors: Any, rounding: str) -> pa.Array:
    """The exact product of decimal arrays of one length, rounded once to 12 decimals.

    `rounding` is "half_to_even" or "down". Null where any factor is null. Returns decimal128(38, 12) and raises
    pyarrow.ArrowInvalid if a result does not fit.
    """
    columns = [_one_array(factor) for factor in factors]
    fitted = [_fit_integer_part(column) for column in columns]
    if _digits(fitted) > _WIDEST:
        fitted = [_fit_scale(column) for column in fitted]
    if _digits(fitted) > _WIDEST:
        return _product_by_integers(columns, rounding=rounding)
    decimal_type = pa.decimal128 if _digits(fitted) <= _NARROW else pa.decimal256
    result, *others = (column.cast(decimal_type(column.type.precision, column.type.scale)) for column in fitted)
    for factor in others:
        result = pc.multiply(result, factor)
    return _to_ledger(result, rounding=rounding)


def difference(left: pa.Array, right: pa.Array) -> pa.Array:
    """Left - right, exactly, in the type that both have."""
    narrow = [_fit_integer_part(column) for column in (left, right)]
    if max(column.type.precision for column in narrow) >= pa.decimal128(38, 0).precision:
        narrow = [column.cast(pa.decimal256(column.type.precision, column.type.scale)) for column in narrow]
    return pc.subtract(*narrow).cast(left.type)


def floor_ledger(amount: Decimal) -> Decimal:
    """One non-negative amount, cut to 12 decimals."""
    return amount.quantize(LEDGER_QUANTUM, rounding=ROUND_DOWN, context=_ROUNDING)


def fit(column: Any) -> pa.Array:
    """The same values in the narrowest decimal type that holds them: for small tables that are factors later."""
    return _fit_scale(_fit_integer_part(_one_array(column)))


def _one_array(column: Any) -> pa.Array:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array if isinstance(array, pa.Array) else pa.array(array)


def _fit_integer_part(column: pa.Array) -> pa.Array:
    scale = column.type.scale
    bounds = pc.min_max(column).as_py()
    largest = max((abs(bound) for bound in bounds.values() if bound is not None), default=Decimal(0))
    integer_digits = max(1, largest.adjusted() + 1) if largest else 1
    return column.cast(_decimal(min(integer_digits + scale, column.type.precision), scale))


def _fit_scale(column: pa.Array) -> pa.Array:
    low, high = 0, column.type.scale
    while low < high:
        middle = (low + high) // 2
        # Towards zero: what rounds up to one digit more would not fit the column's type.
        if pc.all(pc.equal(pc.round(column, middle, round_mode="towards_zero"), column)).as_py() is False:
            low = middle + 1
        else:
            high = middle
    dropped = column.type.scale - low
    return pc.round(column, low).cast(_decimal(max(1, column.type.precision - dropped), low))


def _decimal(precision: int, scale: int) -> pa.DataType:
    return pa.decimal128(precision, scale) if precision <= AMOUNT.precision else pa.decimal256(precision, scale)


def _digits(columns: list[pa.Array]) -> int:
    # Arrow types a product with one digit more than the factors have together.
    return sum(int(column.type.precision) for column in columns) + len(columns) - 1


def _to_ledger(exact: pa.Array, *, rounding: str) -> pa.Array:
    if exact.type.scale <= LEDGER_DECIMALS:
        return exact.cast(LEDGER_AMOUNT)
    return pc.round(exact, LEDGER_DECIMALS, round_mode=rounding).cast(LEDGER_AMOUNT)


def _product_by_integers(columns: list[pa.Array], *, rounding: str) -> pa.Array:
    results: list[Decimal | None] = []
    for factors in zip(*(column.to_pylist() for column in columns), strict=True):
        if any(factor is None for factor in factors):
            results.append(None)
            continue
        value = Decimal(1)
        for factor in factors:
            value = EXACT.multiply(value, factor)
        results.append(value.quantize(LEDGER_QUANTUM, rounding=_PYTHON_ROUNDING[rounding], context=_ROUNDING))
    return pa.array(results, LEDGER_AMOUNT)
