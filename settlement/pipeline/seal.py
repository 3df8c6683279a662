"""The seal of a window: count, sums and a digest of the fills that it was settled from.

The digest is a sum over the fills of a number made of all their columns, so it does not depend on their order, their
batches or their shards: the seals of the shards add up to that of the window. It finds what was changed, lost or added by accident or by hand in the fills
after the window was settled; the ledger's hash chain is what guards the money.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.frames import FILL
from settlement.rules.money import EXACT

_WORD = 8
_NULL = 0x2545F4914F6CDD1D
_MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_MASK = (1 << 64) - 1

Words = npt.NDArray[np.uint64]


@dataclass
class Seal:
    """What has been read so far. `fees` is the sum of the fees as charged, per currency."""

    fills: int = 0
    fees: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    digest: int = 0

    def add(self, fills: pa.Table) -> None:
        """Takes in a batch with the columns of schemas.frames.FILL."""
        if not fills.num_rows:
            return
        self.fills += fills.num_rows
        summed = fills.group_by("fee_currency").aggregate([("fee", "sum")])
        for currency, fee in zip(summed["fee_currency"].to_pylist(), summed["fee_sum"].to_pylist(), strict=True):
            self.fees[currency] = EXACT.add(self.fees[currency], fee)
        self.digest = (self.digest + _digest(fills)) & _MASK

    def merge(self, other: Mapping[str, Any]) -> None:
        """Takes in the seal of a shard, as `as_json` gave it."""
        self.fills += int(other["fills"])
        for currency, fee in other["fees"].items():
            self.fees[currency] = EXACT.add(self.fees[currency], Decimal(fee))
        self.digest = (self.digest + int(other["digest"], 16)) & _MASK

    def as_json(self) -> dict[str, Any]:
        """The seal as it is stored."""
        fees = {currency: format(fee, "f") for currency, fee in sorted(self.fees.items())}
        return {"fills": self.fills, "fees": fees, "digest": f"{self.digest:016x}"}


def sum_of(seals: Iterable[Mapping[str, Any]]) -> Seal:
    """One seal over all of `seals`."""
    total = Seal()
    for seal in seals:
        total.merge(seal)
    return total


def _digest(fills: pa.Table) -> int:
    with np.errstate(over="ignore"):
        rows = np.zeros(fills.num_rows, dtype=np.uint64)
        for column, weight in zip(FILL, _weights(len(FILL), base=_MIX[1]), strict=True):
            rows += _words(fills[column.name].combine_chunks(), repeats=column.name != "bill_id") * weight
        return int(_mixed(rows).sum(dtype=np.uint64))


def _words(column: pa.Array, *, repeats: bool) -> Words:
    """A 64-bit number of each value that depends on nothing but the value; `repeats`: few distinct ones are likely."""
    if not column.null_count:
        return _words_of_values(column, repeats=repeats)
    words = np.full(len(column), _NULL, dtype=np.uint64)
    if column.null_count < len(column):
        words[pc.is_valid(column).to_numpy(zero_copy_only=False)] = _words_of_values(
            column.drop_null(), repeats=repeats
        )
    return words


def _words_of_values(column: pa.Array, *, repeats: bool) -> Words:
    if pa.types.is_decimal(column.type):
        return _words_of_decimal(column)
    if pa.types.is_timestamp(column.type):
        return np.asarray(column.cast(pa.int64()).to_numpy(zero_copy_only=False).view(np.uint64))
    if not repeats:
        return _words_of_text(column)
    encoded = column.dictionary_encode()
    words: Words = _words_of_text(encoded.dictionary)[encoded.indices.to_numpy()]
    return words


def _words_of_decimal(column: pa.Array) -> Words:
    raw = np.frombuffer(column.buffers()[1], dtype=np.uint64)
    return _weighed(raw.reshape(-1, 2)[column.offset : column.offset + len(column)])


def _words_of_text(column: pa.Array) -> Words:
    plain = pc.string_is_ascii(column)
    if pc.all(plain).as_py():
        return _words_of_ascii(column)
    # Text that is not ASCII is rare, and its length in bytes is not its length in characters: one by one.
    words = np.array([hash_text(value) for value in column.to_pylist()], dtype=np.uint64)
    words[plain.to_numpy(zero_copy_only=False)] = _words_of_ascii(column.filter(plain))
    return words


def _words_of_ascii(column: pa.Array) -> Words:
    """Eight bytes at a time; the padding weighs nothing, so what else is in the batch does not matter."""
    lengths: Words = pc.binary_length(column).to_numpy(zero_copy_only=False).astype(np.uint64)
    count = -(-int(lengths.max(initial=0)) // _WORD)
    if not count:
        return lengths
    padded = pc.utf8_rpad(column, count * _WORD, padding="\0")
    data = np.frombuffer(padded.buffers()[-1], dtype=np.uint64, count=len(column) * count)
    return lengths + _weighed(data.reshape(-1, count))


def hash_text(value: str) -> int:
    """A 64-bit number of a text, by its bytes."""
    data = value.encode()
    result = len(data)
    for byte in data:
        result = ((result ^ byte) * _MIX[0]) & _MASK
    return result


def _weighed(words: Words) -> Words:
    """One word out of each row of `words`: their sum, each by the weight of its position."""
    result = np.zeros(len(words), dtype=np.uint64)
    for position, weight in enumerate(_weights(words.shape[1], base=_MIX[0])):
        result += words[:, position] * weight
    return result


def _weights(count: int, *, base: int) -> list[np.uint64]:
    """Distinct odd numbers: powers of an odd one."""
    return [np.uint64(pow(base, position + 1, _MASK + 1)) for position in range(count)]


def _mixed(words: Words) -> Words:
    words = words + np.uint64(_MIX[0])
    words = (words ^ (words >> np.uint64(30))) * np.uint64(_MIX[1])
    words = (words ^ (words >> np.uint64(27))) * np.uint64(_MIX[2])
    return words ^ (words >> np.uint64(31))
