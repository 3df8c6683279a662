"""OKX `public/instruments` envelopes as recorded, parsed into the product's own columns.

Everything numeric is a string and "" means null. Unknown keys are ignored; a row without a key that its type needs, or
with a value that is not what it should be, is put aside. Linear or inverse comes from `ctType`, never from the id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from schemas.text_columns import decimal_ok
from settlement.errors import InputRefused
from settlement.program.csv_columns import BadRow
from settlement.program.instruments import Instruments

VENUE = "okx"

# The product's column, and OKX's key for it.
_KEYS = {
    "instrument": "instId",
    "instrument_type": "instType",
    "contract_type": "ctType",
    "contract_value": "ctVal",
    "contract_multiplier": "ctMult",
    "contract_value_currency": "ctValCcy",
    "settle_currency": "settleCcy",
    "base_currency": "baseCcy",
    "quote_currency": "quoteCcy",
}
_PAIR = ("baseCcy", "quoteCcy")
_CONTRACT = ("ctType", "ctVal", "ctMult", "ctValCcy", "settleCcy")

# Per type, the keys that must be there and must hold a value; an option's ctType and an event's ctValCcy may be "".
_NEEDED = {
    "SPOT": _PAIR,
    "MARGIN": _PAIR,
    "SWAP": _CONTRACT,
    "FUTURES": _CONTRACT,
    "OPTION": ("ctVal", "ctMult", "ctValCcy", "settleCcy"),
    "EVENTS": ("ctVal", "ctMult", "settleCcy"),
}
_CONTRACT_TYPES = ("", "linear", "inverse")
_RAW_CHARACTERS_LIMIT = 4000


def parse_instruments(document: bytes, *, source: str) -> Instruments:
    """The instruments of an envelope; raises `InputRefused` if it is not one, or names an instrument twice.

    Rows are numbered from 1 in the order of `data`.
    """
    rows = _rows(document, source=source)
    faults = [_fault(row) for row in rows]
    _refuse_repeated(rows, faults, source=source)
    bad_rows = [
        BadRow(file=source, row_number=number, reason=fault, raw=_raw(row))
        for number, (row, fault) in enumerate(zip(rows, faults, strict=True), start=1)
        if fault
    ]
    good = [(number, row) for number, (row, fault) in enumerate(zip(rows, faults, strict=True), start=1) if not fault]
    columns: dict[str, Any] = {"row_number": pa.array([number for number, _ in good], pa.int64())}
    columns["venue"] = pa.array([VENUE] * len(good), pa.string())
    for column, key in _KEYS.items():
        columns[column] = pa.array([row.get(key) or None for _, row in good], pa.string())
    return Instruments(source=source, rows=pa.table(columns), bad_rows=tuple(bad_rows), read=len(rows))


def _rows(document: bytes, *, source: str) -> list[Any]:
    if not document.strip():
        raise InputRefused("the file is empty", where=source, mend="record the envelope again")
    try:
        envelope = orjson.loads(document)
    except orjson.JSONDecodeError as fault:
        where = f"{source} line {fault.lineno}"
        raise InputRefused(
            f"not JSON: {fault.msg}", where=where, mend="record it again: it is cut off or damaged"
        ) from fault
    if not isinstance(envelope, dict) or not isinstance(envelope.get("data"), list):
        mend = 'give an OKX public/instruments envelope: {"code": "0", "data": [...]}'
        raise InputRefused("no list under data", where=source, mend=mend)
    code = str(envelope.get("code", "0"))
    if code != "0":
        raise InputRefused(f"OKX answered code {code}: {envelope.get('msg', '')}", where=source, mend="record it again")
    rows: list[Any] = envelope["data"]
    return rows


def _fault(row: Any) -> str:
    """Why a row cannot be taken in; "" if it can."""
    if not isinstance(row, dict):
        return "the row is not an object"
    for key in _KEYS.values():
        if not isinstance(row.get(key, ""), str):
            return f'{key} {row[key]} is not a string: OKX writes every value as a string, such as "0.01"'
    for key in ("instId", "instType"):
        if not row.get(key):
            return f"{key} is missing"
    if row["instType"] not in _NEEDED:
        return f'instType "{row["instType"]}" is not one of {", ".join(_NEEDED)}'
    missing = [key for key in _NEEDED[row["instType"]] if not row.get(key)]
    if missing:
        return f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing"
    return _value_fault(row)


def _value_fault(row: Mapping[str, str]) -> str:
    if row.get("ctType", "") not in _CONTRACT_TYPES:
        return f'ctType "{row["ctType"]}" is not linear or inverse'
    for key in ("ctVal", "ctMult"):
        written = row.get(key, "")
        if written and not _is_positive(written):
            return f'{key} "{written}" is not a decimal above 0 with at most 18 decimals'
    if any("\x00" in row.get(key, "") for key in _KEYS.values()):
        return "the row holds a NUL character"
    return ""


def _is_positive(written: str) -> bool:
    fits = bool(decimal_ok(pa.array([written]))[0].as_py())
    mantissa = written.lower().partition("e")[0]
    return fits and not written.startswith("-") and mantissa.strip("+0.") != ""


def _refuse_repeated(rows: Sequence[Any], faults: Sequence[str], *, source: str) -> None:
    first: dict[tuple[str, str], int] = {}
    for number, (row, fault) in enumerate(zip(rows, faults, strict=True), start=1):
        if fault:
            continue
        key = (row["instType"], row["instId"])
        if key in first:
            what = f"{' '.join(key)} stands in row {first[key]} too"
            raise InputRefused(what, where=f"{source} row {number}", mend="keep one of the two rows")
        first[key] = number


def _raw(row: Any) -> str:
    return orjson.dumps(row).decode().replace("\\u0000", "")[:_RAW_CHARACTERS_LIMIT]
