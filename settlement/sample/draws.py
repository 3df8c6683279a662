"""Random draws that come out the same on every machine.

numpy keeps the raw stream of a bit generator stable for ever, but not the methods of its Generator, and transcendental
functions differ in the last bit between processors. So only raw 64-bit numbers and integer arithmetic are used here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Booleans = NDArray[np.bool_]


class Draws:
    """A stream of integers from `seed`; the same calls in the same order give the same numbers."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def below(self, bound: int, count: int) -> Integers:
        """`count` integers in [0, bound)."""
        drawn: Integers = (self._bits.random_raw(count) % np.uint64(bound)).astype(np.int64)
        return drawn

    def chance(self, per_mille: int, count: int) -> Booleans:
        """True `per_mille` times in a thousand."""
        return self.below(1000, count) < per_mille

    def pick(self, weights: Sequence[int], count: int) -> Integers:
        """Indexes into `weights`, each as often as its weight says."""
        ends = np.cumsum(np.asarray(weights, dtype=np.int64))
        return np.searchsorted(ends, self.below(int(ends[-1]), count), side="right").astype(np.int64)
