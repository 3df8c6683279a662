"""Which rows are fills, and why the others are not.

The checks run in this order, each over a whole column; the first that a row fails is its reason.

 1 a required value is there (liquidity may be missing on a venue's own trades, such as liquidations)
 2 no control character stands in any text
 3 instrument_type, side, liquidity and channel are known words; an unknown or empty channel is "not known"
 4 an amount is a finite decimal of at most 20 digits before the point and 18 after it
 5 size is above zero, price and fee_rebate are not below it
 6 fee and fee_rebate have at most 15 digits before the point, price and size together at most 20: what is worth more is
   a mistake, and would not fit an amount of 26 digits and 12 decimals once it is valued
 7 a time is RFC 3339 or epoch milliseconds, not before 2010 and not more than 60 seconds ahead of the clock
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.frames import FILL_TEXT, TIMESTAMP
from schemas.text_columns import TOO_FINE, decimal_ok, parse_times
from settlement.pipeline.fill_blocks import BAD_ROWS, RAW_CHARACTERS_MAX, Block
from settlement.rules.products import PRODUCT_OF, SYSTEM_SUB_TYPES

Mask: TypeAlias = npt.NDArray[np.bool_]

TIMES: Final = ("executed_at", "recorded_at")
AMOUNTS: Final = ("price", "size", "fee", "fee_rate", "fee_rebate", "index_price")
NEEDED: Final = (
    "venue",
    "account",
    "bill_id",
    "instrument",
    "instrument_type",
    "side",
    "price",
    "size",
    "fee",
    "fee_currency",
    "executed_at",
)
WORDS: Final = {
    "instrument_type": tuple(PRODUCT_OF),
    "side": ("buy", "sell"),
    "liquidity": ("maker", "taker"),
    "channel": ("api", "web", "app"),
}
FEE_DIGITS_MAX: Final = 15
WORTH_DIGITS_MAX: Final = 20
MANY_DIGITS: Final = 1_000
EARLIEST: Final = datetime(2010, 1, 1, tzinfo=UTC)
CLOCK_SKEW_MAX: Final = timedelta(seconds=60)
SHOWN_CHARACTERS_MAX: Final = 60

_NONE = pa.scalar(None, pa.string())
_CONTROL_CHARACTER = r"[\x00-\x1f\x7f]"
_FIRST_PRINTABLE, _DELETE = 0x20, 0x7F
_EXPONENTS = b"eE"


def validate(block: Block, *, now: datetime) -> Block:
    """`block` with exactly the columns and types of FILL_TEXT, and with every row that is no fill moved to `bad`."""
    columns = {name: _column(block.table, name) for name in FILL_TEXT.names}
    columns["channel"] = _unknown_is_null(columns["channel"])
    columns["liquidity"] = _unknown_is_null(columns["liquidity"])
    findings = _Findings(block.table.num_rows)
    _check_presence(findings, columns)
    _check_characters(findings, columns)
    _check_words(findings, columns)
    _check_amounts(findings, columns)
    times = {name: _check_time(findings, columns[name], name, now=now) for name in TIMES}
    table = pa.table([times.get(name, columns[name]) for name in FILL_TEXT.names], schema=FILL_TEXT)
    if findings.good.all():
        return Block(table=table, row_numbers=block.row_numbers, bad=block.bad)
    good = pa.array(findings.good)
    found = findings.table(columns, block.row_numbers)
    return Block(
        table=table.filter(good),
        row_numbers=block.row_numbers.filter(good),
        bad=pa.concat_tables([block.bad, found]).sort_by("row_number"),
    )


@dataclass
class _Findings:
    """The rows that failed, each with its first reason."""

    rows: int
    good: Mask = field(init=False)
    indices: list[npt.NDArray[np.intp]] = field(default_factory=list)
    reasons: list[pa.Array] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.good = np.ones(self.rows, dtype=np.bool_)

    def add(self, failed: Any, *reason: Any) -> None:
        """Rows where `failed` (Arrow booleans) is true get the texts and columns of `reason`, joined, as their reason."""
        if not pc.any(failed).as_py():
            return
        hit = pc.fill_null(failed, False).to_numpy(zero_copy_only=False) & self.good
        where = np.flatnonzero(hit)
        if not where.size:
            return
        self.good &= ~hit
        parts = [part if isinstance(part, str) else _shown(part.take(pa.array(where))) for part in reason]
        texts = pc.binary_join_element_wise(*parts, "")
        self.indices.append(where)
        self.reasons.append(
            texts if isinstance(texts, pa.Array) else pa.array([texts.as_py()] * where.size, pa.string())
        )

    def table(self, columns: dict[str, Any], row_numbers: pa.Array) -> pa.Table:
        """What was found, as BAD_ROWS."""
        where = pa.array(np.concatenate(self.indices))
        values = {name: _storable(pc.cast(column.take(where), pa.string())) for name, column in columns.items()}
        named = [pc.binary_join_element_wise(f"{name}=", column, " ", "") for name, column in values.items()]
        row = pc.binary_join_element_wise(*named, "", null_handling="replace", null_replacement="")
        raw = pc.utf8_slice_codeunits(pc.utf8_rtrim_whitespace(row), 0, RAW_CHARACTERS_MAX)
        return pa.table([row_numbers.take(where), pa.concat_arrays(self.reasons), raw], schema=BAD_ROWS)


def _check_presence(findings: _Findings, columns: dict[str, Any]) -> None:
    for name in NEEDED:
        if columns[name].null_count:
            findings.add(pc.is_null(columns[name]), f"{name} is empty: every fill needs one")
    if columns["liquidity"].null_count:
        missing = pc.and_(pc.is_null(columns["liquidity"]), pc.invert(_system_trade(columns)))
        findings.add(missing, "liquidity is empty: write maker or taker; only a venue's system trades may leave it out")


def _system_trade(columns: dict[str, Any]) -> Any:
    result: Any = pa.array(np.zeros(len(columns["venue"]), dtype=np.bool_))
    for venue, sub_types in SYSTEM_SUB_TYPES.items():
        of_venue = pc.equal(columns["venue"], venue)
        system = pc.is_in(columns["sub_type"], value_set=pa.array(sorted(sub_types)))
        result = pc.or_(result, pc.fill_null(pc.and_(of_venue, system), False))
    return result


def _check_characters(findings: _Findings, columns: dict[str, Any]) -> None:
    for name, column in columns.items():
        if pa.types.is_string(column.type) and _may_have_control_character(column):
            failed = pc.match_substring_regex(column, _CONTROL_CHARACTER)
            findings.add(failed, f"{name} has a control character in '", column, "': remove it")


def _may_have_control_character(column: pa.Array) -> bool:
    codes = _bytes_of(column)
    return bool((codes < _FIRST_PRINTABLE).any() or (codes == _DELETE).any())


def _check_words(findings: _Findings, columns: dict[str, Any]) -> None:
    for name, words in WORDS.items():
        column = columns[name]
        failed = pc.and_(pc.is_valid(column), pc.invert(pc.is_in(column, value_set=pa.array(words))))
        findings.add(failed, f"{name} is unknown: '", column, f"'; write one of {', '.join(words)}")


def _check_amounts(findings: _Findings, columns: dict[str, Any]) -> None:
    for name in AMOUNTS:
        column = columns[name]
        if column.null_count == len(column):
            continue
        _check_decimal(findings, column, name)
        if name == "size":
            failed = pc.or_(pc.starts_with(column, "-"), _is_zero(column))
            findings.add(failed, "size is '", column, "': it must be above zero")
        if name in {"price", "fee_rebate"}:
            failed = pc.starts_with(column, "-")
            if pc.any(failed).as_py():
                failed = pc.and_(failed, pc.invert(_is_zero(column)))
            findings.add(failed, f"{name} is '", column, "': it cannot be below zero")
    _check_worth(findings, columns)


def _check_worth(findings: _Findings, columns: dict[str, Any]) -> None:
    price, size = columns["price"], columns["size"]
    for name in ("fee", "fee_rebate"):
        if _digits_at_most(columns[name]) > FEE_DIGITS_MAX:
            failed = pc.greater(_integer_digits(columns[name]), FEE_DIGITS_MAX)
            findings.add(failed, f"{name} is '", columns[name], "': nobody pays that much; correct it")
    if _digits_at_most(price) + _digits_at_most(size) > WORTH_DIGITS_MAX:
        failed = pc.greater(pc.add(_integer_digits(price), _integer_digits(size)), WORTH_DIGITS_MAX)
        findings.add(failed, "price x size is '", price, "' x '", size, "': nothing is worth that much; correct it")


def _digits_at_most(column: Any) -> int:
    """No value has more digits before the point than this: a quick look that counts signs and leading zeros too."""
    if column.null_count == len(column):
        return 0
    if any((_bytes_of(column) == exponent).any() for exponent in _EXPONENTS):
        return MANY_DIGITS
    point = pc.find_substring(column, ".")
    return int(pc.max(pc.if_else(pc.less(point, 0), pc.binary_length(column), point)).as_py())


def _integer_digits(column: Any) -> Any:
    """How many digits stand before the point; an exponent counts as so many digits more."""
    plain = pc.replace_substring_regex(column, r"^[+-]?0*", "")
    point = pc.find_substring_regex(plain, r"[.eE]")
    digits = pc.if_else(pc.less(point, 0), pc.utf8_length(plain), point)
    exponent = pc.struct_field(pc.extract_regex(column, r"[eE]\+?(?P<up>\d{1,4})$"), "up")
    return pc.add(digits, pc.fill_null(pc.cast(exponent, pa.int32()), 0))


def _bytes_of(column: Any) -> npt.NDArray[np.uint8]:
    return np.frombuffer(column.buffers()[2] or b"", dtype=np.uint8)


def _check_decimal(findings: _Findings, column: Any, name: str) -> None:
    fits = decimal_ok(column)
    if pc.all(fits).as_py():
        return
    failed = pc.and_(pc.is_valid(column), pc.invert(fits))
    endless = pc.match_substring_regex(column, r"(?i)^\s*[+-]?(?:nan|inf|infinity)\s*$")
    findings.add(pc.and_(failed, endless), f"{name} is '", column, "': an amount must be a finite decimal")
    too_fine = pc.match_substring_regex(column, r"^[+-]?\d*\.\d{19,}$")
    findings.add(pc.and_(failed, too_fine), f"{name} has more than 18 decimals: '", column, "'; round it at its source")
    too_big = pc.match_substring_regex(column, r"^[+-]?\d{21,}(?:\.\d*)?$")
    findings.add(
        pc.and_(failed, too_big), f"{name} has more than 20 digits before the point: '", column, "'; correct it"
    )
    findings.add(
        failed, f"{name} is not a decimal: '", column, "'; write plain digits such as 0.25, at most 18 decimals"
    )


def _is_zero(column: Any) -> Any:
    return pc.match_substring_regex(column, r"^[+-]?[0.]*(?:[eE].*)?$")


def _check_time(findings: _Findings, column: Any, name: str, *, now: datetime) -> Any:
    if column.null_count == len(column):
        return pc.cast(column, TIMESTAMP)
    if pa.types.is_timestamp(column.type):
        times = column
    else:
        times, ok = parse_times(column)
        if not pc.all(ok).as_py():
            _report_bad_times(findings, column, pc.and_(pc.is_valid(column), pc.invert(ok)), name)
    if name == "executed_at":
        early = pc.less(times, pa.scalar(EARLIEST, TIMESTAMP))
        findings.add(early, f"{name} is before 2010: '", column, "'; epoch times are milliseconds, not seconds")
        late = pc.greater(times, pa.scalar(now + CLOCK_SKEW_MAX, TIMESTAMP))
        findings.add(
            late, f"{name} is in the future: '", column, f"', and it is {now:%Y-%m-%dT%H:%M:%SZ}; correct the time"
        )
    return times


def _report_bad_times(findings: _Findings, column: Any, failed: Any, name: str) -> None:
    seconds = pc.match_substring_regex(column, r"^\d{1,11}$")
    findings.add(
        pc.and_(failed, seconds), f"{name} is before 2010: '", column, "'; epoch times are milliseconds, not seconds"
    )
    finer = pc.match_substring_regex(column, TOO_FINE)
    findings.add(
        pc.and_(failed, finer), f"{name} is finer than a microsecond: '", column, "'; write at most 6 decimals"
    )
    mend = "'; write RFC 3339 (2026-09-14T08:00:00Z) or epoch milliseconds"
    findings.add(failed, f"{name} is not a time: '", column, mend)


def _column(table: pa.Table, name: str) -> pa.Array:
    if name not in table.column_names:
        return pa.nulls(table.num_rows, pa.string())
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _unknown_is_null(column: pa.Array) -> pa.Array:
    unknown = pc.equal(column, "unknown")
    return pc.if_else(unknown, _NONE, column) if pc.any(unknown).as_py() else column


def _shown(values: Any) -> Any:
    return _storable(pc.utf8_slice_codeunits(pc.cast(values, pa.string()), 0, SHOWN_CHARACTERS_MAX))


def _storable(values: Any) -> Any:
    return pc.replace_substring(values, "\x00", "\\0")
