"""A block of fills as the sandbox keeps it: columns to choose rows by, and every row as JSON text already.

Rows stand by account, instrument type and billId, so the rows of one account and type are one slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from settlement.sample.draws import Integers


@dataclass(kw_only=True)
class Block:
    """`groups` says where the rows of (account, instrument type) begin and end."""

    bill_id: Integers
    order_id: Integers
    recorded_ms: Integers
    offsets: Integers
    text: memoryview
    groups: dict[tuple[str, str], tuple[int, int]]
    algo_tags: dict[int, str] = field(default_factory=dict)
    _types: dict[str, list[str]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Notes the instrument types of each account."""
        for account, kind in self.groups:
            self._types.setdefault(account, []).append(kind)

    @property
    def bytes_held(self) -> int:
        """About how much memory the block takes."""
        return self.text.nbytes + 4 * self.offsets.nbytes

    def row(self, number: int) -> memoryview:
        """One row's JSON text."""
        return self.text[self.offsets[number] : self.offsets[number + 1]]

    def types_of(self, account: str) -> list[str]:
        """The instrument types that the account has rows of."""
        return self._types.get(account, [])


def make_block(  # noqa: PLR0913 - the columns
    *,
    accounts: Sequence[str],
    account: Integers,
    types: Sequence[str],
    kind: Integers,
    bill_id: Integers,
    order_id: Integers,
    recorded_ms: Integers,
    text: pa.Array,
    algo_tags: dict[int, str] | None = None,
) -> Block:
    """Sorts the rows and finds the groups; `account` indexes `accounts`, `kind` the instrument types."""
    order = np.lexsort((bill_id, kind, account))
    sorted_text = text.cast(pa.large_string()).take(pa.array(order))
    _, offsets, data = sorted_text.buffers()
    key = (account * len(types) + kind)[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1)) if len(key) else np.zeros(0, dtype=np.int64)
    ends = np.append(starts[1:], len(key))
    groups = {
        (accounts[key[lo] // len(types)], types[key[lo] % len(types)]): (int(lo), int(hi))
        for lo, hi in zip(starts, ends, strict=True)
        if hi > lo
    }
    return Block(
        bill_id=bill_id[order],
        order_id=order_id[order],
        recorded_ms=recorded_ms[order],
        offsets=np.frombuffer(offsets, dtype=np.int64)[: len(key) + 1] if len(key) else np.zeros(1, dtype=np.int64),
        text=_view(data),
        groups=groups,
        algo_tags=algo_tags or {},
    )


def _view(data: Any) -> memoryview:
    return memoryview(data) if data is not None else memoryview(b"")
