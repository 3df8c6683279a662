"""Running sums of money, exact and as whole columns.

Arrow has no running sum of decimals. A decimal is an integer of 128 bits; its four words of 32 bits are summed each apart
as 64-bit integers, which 2^31 rows cannot fill, and then carried over into the words of a decimal of 256 bits.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from settlement.rules.money import LEDGER_DECIMALS

_WORD_BITS, _WORD_MASK = 32, (1 << 32) - 1
_WORDS, _WORDS_OF_SUM = 4, 8
# A type with room to add to: 2^31 amounts of 38 digits have 48.
SUM: Final = pa.decimal256(60, LEDGER_DECIMALS)


def sums_before(amounts: pa.Array, *, begins: npt.NDArray[np.bool_]) -> pa.Array:
    """For each row the sum of those before it, from the last row on at which a stretch `begins`: of the type SUM.

    `amounts` are decimal128(38, 12), none of them negative or null; the first row begins a stretch.
    """
    words = np.frombuffer(amounts.buffers()[1], dtype="<u4").reshape(-1, _WORDS)
    words = words[amounts.offset : amounts.offset + len(amounts)].astype(np.int64)
    before = np.cumsum(words, axis=0) - words
    before -= before[np.flatnonzero(begins)[np.cumsum(begins) - 1]]
    return _decimals(before)


def _decimals(words: npt.NDArray[np.int64]) -> pa.Array:
    carried = np.zeros((len(words), _WORDS_OF_SUM), dtype="<u4")
    carry = np.zeros(len(words), dtype=np.int64)
    for position in range(_WORDS_OF_SUM):
        carry += words[:, position] if position < _WORDS else 0
        carried[:, position] = carry & _WORD_MASK
        carry >>= _WORD_BITS
    exact = pa.Array.from_buffers(
        pa.decimal256(76, LEDGER_DECIMALS), len(words), [None, pa.py_buffer(carried.tobytes())]
    )
    return exact.cast(SUM)
