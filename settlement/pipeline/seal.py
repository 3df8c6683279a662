"""The seal of a window: count, sums and a digest of the fills that it was settled from.

The digest is a sum over the fills, so it does not depend on their order, their batches or their shards: the seals of
the shards add up to that of the window. It finds what was changed, lost or added by accident or by hand in the fills
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

_WORD = 8
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
            self.fees[currency] += fee
        self.digest = (self.digest + _digest(fills)) & _MASK

    def merge(self, other: Mapping[str, Any]) -> None:
        """Takes in the seal of a shard, as `as_json` gave it."""
        self.fills += int(other["fills"])
        for currency, fee in other["fees"].items():
            self.fees[currency] += Decimal(fee)
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
        for name in ("venue", "account", "bill_id"):
            rows = _mixed(rows + _text_words(fills[name].combine_chunks()))
        for name in ("price", "size", "fee"):
            rows = _mixed(rows + _folded(_words_of_decimal(fills[name].combine_chunks())))
        executed_at = fills["executed_at"].combine_chunks().cast(pa.int64()).to_numpy(zero_copy_only=False)
        rows = _mixed(rows + executed_at.astype(np.uint64))
        return int(rows.sum(dtype=np.uint64))


def _text_words(column: pa.Array) -> Words:
    longest = pc.max(pc.binary_length(column)).as_py() or 0
    width = max(_WORD, -(-longest // _WORD) * _WORD)
    padded = pc.binary_join_element_wise(pc.utf8_lpad(column, width, padding=" "), "", "") if longest else column
    if not longest or pc.max(pc.binary_length(padded)).as_py() != width:
        # Text that is not ASCII: its length in bytes varies even when padded.
        return np.array([hash_text(value) for value in column.to_pylist()], dtype=np.uint64)
    data = np.frombuffer(padded.buffers()[-1], dtype=np.uint64, count=len(padded) * width // _WORD)
    return _folded(data.reshape(len(padded), width // _WORD))


def hash_text(value: str) -> int:
    """A 64-bit number of a text, by its bytes."""
    result = 0
    for byte in value.encode():
        result = ((result ^ byte) * _MIX[0]) & _MASK
    return result


def _words_of_decimal(column: pa.Array) -> Words:
    raw = np.frombuffer(column.buffers()[1], dtype=np.uint64)
    return raw.reshape(-1, 2)[column.offset : column.offset + len(column)]


def _folded(words: Words) -> Words:
    result = np.zeros(len(words), dtype=np.uint64)
    for position in range(words.shape[1]):
        result = _mixed(result + words[:, position])
    return result


def _mixed(words: Words) -> Words:
    words = words + np.uint64(_MIX[0])
    words = (words ^ (words >> np.uint64(30))) * np.uint64(_MIX[1])
    words = (words ^ (words >> np.uint64(27))) * np.uint64(_MIX[2])
    return words ^ (words >> np.uint64(31))
