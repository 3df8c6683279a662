"""A batch of fills as the rules look at it: each column encoded once, however many rules ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa

from settlement.rules.in_force import Coded, Codes, coded, joined, microseconds
from settlement.rules.money import AMOUNT
from settlement.rules.products import PRODUCT_OF


@dataclass(frozen=True)
class Batch:
    """`fills` has the columns of schemas.frames.FILL."""

    fills: pd.DataFrame

    def __len__(self) -> int:
        return len(self.fills)

    @cached_property
    def times(self) -> Codes:
        """executed_at in microseconds since 1970."""
        return microseconds(self.fills["executed_at"])

    @cached_property
    def accounts(self) -> Coded:
        """(venue, account) as one key."""
        return joined(self.text("venue"), self.text("account"))

    @cached_property
    def products(self) -> Coded:
        """The product of each fill."""
        types = self.text("instrument_type")
        return Coded(types.codes, pd.Index([PRODUCT_OF[str(name)] for name in types.names], dtype=object))

    def text(self, name: str) -> Coded:
        """A text column; empty counts as null."""
        cache: dict[str, Coded] = self.__dict__.setdefault("_text", {})
        if name not in cache:
            cache[name] = coded(self.fills[name])
        return cache[name]

    def amount(self, name: str) -> pa.Array:
        """A decimal column as one decimal128(38, 18) array."""
        return array_of(self.fills[name], AMOUNT)


def array_of(column: pd.Series[Any], column_type: pa.DataType) -> Any:
    """A column as one Arrow array of `column_type`."""
    array = pa.array(column, type=column_type, from_pandas=True)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
