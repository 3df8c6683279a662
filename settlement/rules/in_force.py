"""What is in force at an instant.

1. Facts are effective-dated rows under a key.
2. In force at t is, of the rows for the key, the one with the latest effective_from <= t, if it has not ended
   (t < effective_to). An ended row is not replaced by an older one that has no end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Codes = npt.NDArray[np.int64]

NONE = -1
_FOREVER = np.iinfo(np.int64).max
KEY_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Coded:
    """A text column as integer codes into its distinct names; -1 is null."""

    codes: Codes
    names: pd.Index[str]

    def codes_in(self, names: pd.Index[str]) -> Codes:
        """The position of each row's value in `names`, -1 where it is null or not among them."""
        return np.asarray(take(positions(self.names, names), self.codes), dtype=np.int64)

    def matches(self, allowed: Any) -> npt.NDArray[np.bool_]:
        """True where the row's value is one of `allowed`."""
        found: npt.NDArray[np.bool_] = (
            take(np.asarray(self.names.isin(list(allowed))).astype(np.int64), self.codes) == 1
        )
        return found


def coded(column: pd.Series[Any]) -> Coded:
    """Encodes a text column; empty text counts as null."""
    array = pa.array(column, type=pa.string(), from_pandas=True)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    encoded = array.dictionary_encode()
    codes = pc.fill_null(encoded.indices, NONE).to_numpy(zero_copy_only=False).astype(np.int64)
    values = pd.Index(encoded.dictionary.to_pylist(), dtype=object)
    empty = np.flatnonzero(values == "")
    if len(empty):
        codes[codes == empty[0]] = NONE
    return Coded(codes, values)


def joined(*parts: Coded) -> Coded:
    """Several columns as one composite key; null where any part is null."""
    codes, known = parts[0].codes, parts[0].codes >= 0
    for part in parts[1:]:
        codes = codes * max(1, len(part.names)) + part.codes
        known = known & (part.codes >= 0)
    rows, distinct = pd.factorize(np.where(known, codes, NONE))
    decoded: list[Any] = []
    remaining = distinct.copy()
    for part in reversed(parts):
        size = max(1, len(part.names))
        decoded.insert(0, remaining % size)
        remaining = remaining // size
    names = [
        KEY_SEPARATOR.join(str(part.names[code[position]]) for part, code in zip(parts, decoded, strict=True))
        if distinct[position] >= 0
        else ""
        for position in range(len(distinct))
    ]
    return Coded(np.where(known, rows, NONE).astype(np.int64), pd.Index(names, dtype=object))


def microseconds(column: pd.Series[Any]) -> Codes:
    """A timestamp column as int64 microseconds since 1970 UTC; null is the end of time."""
    array = pa.array(column, type=pa.timestamp("us", tz="UTC"), from_pandas=True)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    result: Codes = pc.fill_null(array.cast(pa.int64()), _FOREVER).to_numpy(zero_copy_only=False).astype(np.int64)
    return result


def positions(wanted: Any, names: pd.Index[str]) -> Codes:
    """The position of each of `wanted` in `names`, -1 where it is not among them."""
    return np.asarray(names.get_indexer(pd.Index(wanted, dtype=object)), dtype=np.int64)


def take(table: Any, positions: Codes, *, missing: Any = NONE) -> Any:
    """table[positions] as a numpy array, `missing` where the position is -1."""
    values = np.asarray(table)
    if len(values) == 0:
        return np.full(len(positions), missing, dtype=values.dtype if values.dtype != object else object)
    return np.where(positions >= 0, values[positions], missing)


class InForce:
    """The rows of one effective-dated table, looked up by key and time, many at once."""

    def __init__(self, table: pd.DataFrame, *, key: list[str], start: str = "effective_from") -> None:
        keys = joined(*(coded(table[name]) for name in key)) if len(key) > 1 else coded(table[key[0]])
        starts = microseconds(table[start])
        ends = microseconds(table["effective_to"]) if "effective_to" in table else np.full(len(table), _FOREVER)
        order = np.lexsort((starts, keys.codes))
        order = order[keys.codes[order] >= 0]
        self._names = keys.names
        self._row: Codes = order.astype(np.int64)
        self._key, self._start, self._end = keys.codes[order], starts[order], ends[order]
        finite = self._end[self._end != _FOREVER]
        self.instants: Codes = np.unique(np.concatenate([self._start, finite]))

    def rows_at(self, keys: Coded, times: Codes) -> Codes:
        """The position in the table of the row in force for each key at each time, -1 where there is none."""
        if not len(times) or not len(self._row):
            return np.full(len(times), NONE, dtype=np.int64)
        first, last = times.min(), times.max()
        if not np.any((self.instants > first) & (self.instants <= last)):
            # Nothing changes while these rows happen: look up each distinct key once.
            distinct = self._search(positions(keys.names, self._names), np.full(len(keys.names), first))
            return np.asarray(take(distinct, keys.codes), dtype=np.int64)
        return self._search(keys.codes_in(self._names), times)

    def _search(self, wanted: Codes, times: Codes) -> Codes:
        starts = np.unique(self._start)
        width = len(starts) + 1
        table = self._key * width + np.searchsorted(starts, self._start, side="right")
        found = np.searchsorted(table, wanted * width + np.searchsorted(starts, times, side="right"), side="right") - 1
        candidate = np.maximum(found, 0)
        in_force = (found >= 0) & (wanted >= 0) & (self._key[candidate] == wanted) & (times < self._end[candidate])
        return np.where(in_force, self._row[candidate], NONE)
