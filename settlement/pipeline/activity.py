"""What a run changes of its clients' earning activity, per client, broker and product.

That is the lines that earn, their volume and their commission. Lines that come are added, lines that are replaced are
taken away, so the sum over all runs is the activity as it stands.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from settlement.rules.settle import Outcome

KEY = ("root", "venue", "account", "broker_id", "product")
SUMS = ("earned_lines", "volume_usdt", "commission_usdt")


@dataclass
class Activity:
    """Sums on their way."""

    _parts: list[pa.Table] = field(default_factory=list)

    def add(self, fills: pa.Table, outcome: Outcome) -> None:
        """Takes in lines that come: their fills (venue, account) and what came of them."""
        part = _earning(fills, outcome)
        if part.num_rows:
            self._parts.append(part)

    def take_away(self, fills: pa.Table, outcome: Outcome) -> None:
        """Takes away lines that are replaced."""
        part = _earning(fills, outcome)
        if part.num_rows:
            negated = {name: pc.negate(part[name]) for name in SUMS}
            self._parts.append(pa.table({**{name: part[name] for name in KEY}, **negated}))

    def table(self) -> pa.Table:
        """One row per root, client, broker and product with what changed; what came to nothing is left out."""
        if not self._parts:
            return pa.table({name: pa.array([], pa.string()) for name in (*KEY, *SUMS)})
        summed = _sum(pa.concat_tables(self._parts))
        moved = pc.or_kleene(pc.not_equal(summed["earned_lines"], 0), _not_zero(summed["volume_usdt"]))
        return summed.filter(pc.or_kleene(moved, _not_zero(summed["commission_usdt"])))


def _earning(fills: pa.Table, outcome: Outcome) -> pa.Table:
    rows = pa.array(np.array([basis.split is not None for basis in outcome.bases], dtype=bool)[outcome.basis])
    amounts = outcome.amounts.filter(rows)
    per_basis = pa.table(
        {
            "basis": pa.array(outcome.basis).filter(rows),
            **{name: fills[name].filter(rows) for name in ("venue", "account")},
            "earned_lines": pa.repeat(1, amounts.num_rows),
            "volume_usdt": amounts["notional_usdt"],
            "commission_usdt": amounts["commission_usdt"],
        }
    )
    grouped = per_basis.group_by(["basis", "venue", "account"]).aggregate([(name, "sum") for name in SUMS])
    named = {
        name: pa.array([getattr(basis, name) for basis in outcome.bases], pa.string()).take(grouped["basis"])
        for name in ("root", "broker_id", "product")
    }
    return pa.table(
        {
            **{name: named[name] if name in named else grouped[name] for name in KEY},
            **{name: grouped[f"{name}_sum"] for name in SUMS},
        }
    )


def _sum(parts: pa.Table) -> pa.Table:
    grouped = parts.group_by(list(KEY)).aggregate([(name, "sum") for name in SUMS])
    return pa.table({**{name: grouped[name] for name in KEY}, **{name: grouped[f"{name}_sum"] for name in SUMS}})


def _not_zero(amounts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.not_equal(amounts, pa.scalar(0, pa.int64()).cast(amounts.type))
