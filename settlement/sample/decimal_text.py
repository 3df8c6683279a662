"""Scaled integers as decimal text, by the column: 1250 with scale 3 is "1.25". No digit ever passes through a float."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from settlement.sample.draws import Integers


def decimal_text(values: Integers, scales: Integers | int) -> Any:
    """`values` / 10**`scales` as an Arrow string array, without trailing zeros; a scale is between 0 and 18."""
    if isinstance(scales, int):
        return _one_scale(values, scales)
    order = np.argsort(scales, kind="stable")
    pieces = [_one_scale(values[rows], int(scales[rows[0]])) for rows in _runs(order, scales)]
    position = np.empty(len(order), dtype=np.int64)
    position[order] = np.arange(len(order))
    return pa.concat_arrays(pieces or [pa.array([], pa.string())]).take(pa.array(position))


def _runs(order: Integers, scales: Integers) -> list[Integers]:
    """The rows of each scale."""
    if not len(order):
        return []
    return np.split(order, np.flatnonzero(np.diff(scales[order])) + 1)


def _one_scale(values: Integers, scale: int) -> Any:
    magnitude = np.abs(values)
    sign = pc.if_else(pa.array(values < 0), "-", "")
    whole = pc.cast(pa.array(magnitude // 10**scale), pa.string())
    if scale == 0:
        return pc.binary_join_element_wise(sign, whole, "")
    fraction = pc.utf8_lpad(pc.cast(pa.array(magnitude % 10**scale), pa.string()), scale, "0")
    written = pc.binary_join_element_wise(sign, whole, ".", fraction, "")
    return pc.ascii_rtrim(pc.ascii_rtrim(written, "0"), ".")
