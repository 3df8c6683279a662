"""What goes wrong in a real feed: discounts, liquidations, rows sent twice, rows that contradict, rows that are broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from settlement.sample.columns import replace
from settlement.sample.decimal_text import decimal_text

if TYPE_CHECKING:
    from settlement.sample.draws import Draws
    from settlement.sample.trades import Fills

SYSTEM_SUB_TYPES = ("100", "101", "104", "112", "125", "212", "324", "376")
REBATED_PERCENT = 20

# Column and value of the rows that cannot be taken in, each for another reason.
BROKEN = (
    ("price", "84x12.5"),
    ("fee", "NaN"),
    ("size", "-1.5"),
    ("size", "1e-3x"),
    ("instrument_type", "PERPETUAL"),
    ("executed_at", "2031-03-02T10:00:00Z"),
    ("executed_at", "yesterday"),
    ("side", "hold"),
    ("liquidity", "both"),
    ("fee", "-0.0000000000000000001"),
    ("fee_rebate", "-0.5"),
    ("account", ""),
)


def discount(draws: Draws, table: pa.Table, fills: Fills, *, who: Any) -> pa.Table:
    """Some fills of `who` name a discount, some were given a part of the fee back."""
    kind = draws.below(3, len(fills.fee))
    named = who & (kind == 0)
    given_back = who & (kind == 1) & (fills.fee < 0)
    table = replace(table, "fee_discount", pa.repeat(pa.scalar("OKB"), len(kind)), where=named)
    rebate = decimal_text(np.where(given_back, -fills.fee * REBATED_PERCENT, 0), fills.fee_scale + 2)
    return replace(table, "fee_rebate", rebate, where=given_back)


def liquidate(draws: Draws, table: pa.Table, *, per_mille: int) -> pa.Table:
    """A few fills were the venue's doing: a system sub-type, no tag, no channel."""
    count = table.num_rows
    system = draws.chance(per_mille, count)
    kinds = pa.array(SYSTEM_SUB_TYPES).take(pa.array(draws.below(len(SYSTEM_SUB_TYPES), count)))
    nothing = pa.repeat(pa.scalar(""), count)
    table = replace(table, "sub_type", kinds, where=system)
    table = replace(table, "tag", nothing, where=system)
    return replace(table, "channel", nothing, where=system)


def contradict(table: pa.Table) -> pa.Table:
    """The same keys again, with another fee."""
    return replace(table, "fee", pa.repeat(pa.scalar("-9.87654321"), table.num_rows), where=[True] * table.num_rows)


def break_rows(table: pa.Table) -> pa.Table:
    """One row per entry of BROKEN, each spoiled in its own way; `table` has at least as many rows."""
    numbers = np.arange(len(BROKEN))
    table = table.slice(0, len(BROKEN))
    for number, (column, value) in enumerate(BROKEN):
        spoiled = pa.repeat(pa.scalar(value), len(BROKEN))
        table = replace(table, column, spoiled, where=numbers == number)
    return table


def readable_times(table: pa.Table) -> pa.Table:
    """Epoch milliseconds as RFC 3339."""
    instants = pc.cast(pc.cast(table["executed_at"], pa.int64()), pa.timestamp("ms"))
    written = pc.strftime(instants, format="%Y-%m-%dT%H:%M:%SZ")
    return table.set_column(table.column_names.index("executed_at"), "executed_at", written)
