"""Times and decimals that arrive as text, checked a column at a time.

A time is RFC 3339 (`2026-09-14T08:00:01.234Z`, any offset, at most 6 decimals of a second, beyond them zeros) or epoch
milliseconds.
A decimal is plain (`-0.00012`) or in exponent notation (`1.2e-4`), with every digit kept: never NaN, never infinite,
no spaces, no separators. The text itself is handed on after the check, so that no digit is ever rewritten.
"""

from __future__ import annotations

from datetime import date
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from schemas.frames import TIMESTAMP

StringColumn: TypeAlias = "pa.Array | pa.ChunkedArray"

_YEAR = r"(?:19\d\d|[2-8]\d{3})"
_DATE = rf"{_YEAR}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_HOUR_MINUTE = r"(?:[01]\d|2[0-3]):[0-5]\d"
RFC3339 = rf"^{_DATE}[Tt]{_HOUR_MINUTE}:[0-5]\d(?:\.\d{{1,6}})?(?:[Zz]|[+-]{_HOUR_MINUTE})$"
# Finer than microseconds, which is all that is kept; with zeros beyond them it says the same.
_BEYOND_MICROSECONDS = r"(?P<kept>\.\d{6})0+(?P<zone>[Zz]|[+-]\d\d:\d\d)$"
TOO_FINE = rf"^{_DATE}[Tt]{_HOUR_MINUTE}:[0-5]\d\.\d{{7,}}(?:[Zz]|[+-]{_HOUR_MINUTE})$"
EPOCH_MILLISECONDS = r"^[1-9]\d{11,13}$"
_EXPONENT = r"^[+-]?(?P<whole>\d{0,40})(?:\.(?P<fraction>\d{0,40}))?[eE](?P<exponent>[+-]?\d{1,3})$"


def parse_times(values: StringColumn) -> tuple[Any, Any]:
    """The times of a string column as `(timestamps, ok)`: timestamp[us, UTC], null where `ok` is false.

    Accepts RFC 3339 of the years 1900 to 8999 and epoch milliseconds from 10^11 to 10^14; a null is not ok. Both
    results have the length of `values` and its kind (array or chunked array).
    """
    written = _mask(values, RFC3339)
    if pc.all(written).as_py() is not False:
        return _parse_written(values, written)
    if pc.any(_mask(values, TOO_FINE)).as_py():
        values = pc.replace_substring_regex(values, _BEYOND_MICROSECONDS, r"\1\2")
        written = _mask(values, RFC3339)
    counted = _mask(values, EPOCH_MILLISECONDS)
    none = pa.scalar(None, pa.string())
    milliseconds = pc.cast(pc.if_else(counted, values, none), pa.int64())
    from_epoch = pc.cast(pc.cast(milliseconds, pa.timestamp("ms", tz="UTC")), TIMESTAMP)
    if not pc.any(written).as_py():
        return from_epoch, counted
    times, written = _parse_written(pc.if_else(written, values, none), written)
    return pc.coalesce(times, from_epoch), pc.or_(written, counted)


def _parse_written(values: StringColumn, written: Any) -> tuple[Any, Any]:
    """Casts what has the form of RFC 3339; a day that its month does not have is found only when the cast says so."""
    upper = pc.ascii_upper(values)
    try:
        return pc.cast(upper, TIMESTAMP), written
    except pa.ArrowInvalid:
        exists = pc.and_(written, _day_exists(pc.utf8_slice_codeunits(upper, 0, 10)))
        return pc.cast(pc.if_else(exists, upper, pa.scalar(None, pa.string())), TIMESTAMP), exists


def _day_exists(days: StringColumn) -> Any:
    known = pc.unique(days).drop_null()
    existing = [day for day in known.to_pylist() if _is_date(day)]
    return pc.is_in(days, value_set=pa.array(existing, pa.string()))


def _is_date(day: str) -> bool:
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True


def decimal_ok(values: StringColumn, *, max_decimals: int = 18, max_integer_digits: int = 20) -> Any:
    """Where a string column holds decimals that fit, as a boolean column without nulls.

    At most `max_integer_digits` digits before the point and `max_decimals` after it, as written; in exponent notation
    the same once it is written out (`1.5e-17` has 18). A null is not ok.
    """
    fraction_only = rf"|\.\d{{1,{max_decimals}}}" if max_decimals else ""
    digits = rf"\d{{1,{max_integer_digits}}}(?:\.\d{{0,{max_decimals}}})?"
    plain = _mask(values, rf"^[+-]?(?:{digits}{fraction_only})$")
    if pc.all(plain).as_py() is not False:
        return plain
    with_exponent = _mask(values, r"^[^eE]*[eE][^eE]*$")
    if not pc.any(with_exponent).as_py():
        return plain
    fits = _exponent_fits(values, max_decimals=max_decimals, max_integer_digits=max_integer_digits)
    return pc.or_(plain, fits)


def _exponent_fits(values: StringColumn, *, max_decimals: int, max_integer_digits: int) -> Any:
    parts = pc.extract_regex(values, _EXPONENT)
    whole = pc.binary_length(pc.struct_field(parts, "whole"))
    fraction = pc.binary_length(pc.struct_field(parts, "fraction"))
    sign_free = pc.utf8_ltrim(pc.struct_field(parts, "exponent"), "+")
    exponent = pc.cast(pc.if_else(pc.equal(sign_free, ""), "0", sign_free), pa.int32())
    has_digits = pc.greater(pc.add(whole, fraction), 0)
    decimals_fit = pc.less_equal(pc.subtract(fraction, exponent), max_decimals)
    integer_digits_fit = pc.less_equal(pc.add(whole, exponent), max_integer_digits)
    fits = pc.and_(has_digits, pc.and_(decimals_fit, integer_digits_fit))
    return pc.fill_null(fits, False)


def _mask(values: StringColumn, pattern: str) -> Any:
    return pc.fill_null(pc.match_substring_regex(values, pattern), False)
