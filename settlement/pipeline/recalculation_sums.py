"""What one window of a recalculation comes to: its differences, summed up from the revisions of its batches.

Per root and payee what would be booked, per pair of outcomes the lines that move, the lines that move most, the keys that
the shards will read, and the activity that reviews stand on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from settlement.pipeline.activity import Activity
from settlement.pipeline.plan import keys_of
from settlement.pipeline.revision import Revision
from settlement.rules.basis import Basis
from settlement.rules.in_force import NONE
from settlement.rules.money import EXACT, difference

TOP_LINES = 20
ZERO = Decimal(0)

Move = tuple[str, str, str, str, str]
"""(root, from status, from reason, to status, to reason); no from: the fill had no line."""


@dataclass
class WindowSums:
    """The differences of one window on their way."""

    roots: set[str] = field(default_factory=set)
    _activity: Activity = field(default_factory=Activity)
    _payees: dict[tuple[str, str], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    _moves: dict[Move, tuple[int, Decimal]] = field(default_factory=dict)
    _keys: list[pd.DataFrame] = field(default_factory=list)
    _top: pa.Table | None = None

    def add(self, revision: Revision) -> None:
        """Takes in what changes of one batch."""
        if not revision.fills.num_rows:
            return
        keys = keys_of(revision)
        self._keys.append(keys)
        self.roots |= set(keys["root"])
        self._activity.add(revision.fills, revision.after)
        self._activity.take_away(revision.fills.filter(pa.array(revision.had_line)), revision.before)
        for outcome, sign in ((revision.after, 1), (revision.before, -1)):
            for key, amount in outcome.payee_totals().items():
                self._payees[key] = EXACT.add(self._payees[key], sign * amount)
        change = _change(revision)
        self._add_moves(revision, change)
        top = _lines(revision, change)
        self._top = _most(top if self._top is None else pa.concat_tables([self._top, top]))

    def parts(self) -> dict[str, pa.Table]:
        """The tables that hold the window's part of a plan, without the plan and the window."""
        keys = pd.concat(self._keys).drop_duplicates(ignore_index=True) if self._keys else pd.DataFrame()
        return {
            "recalculation_payee": self._payee_table(),
            "recalculation_move": self._move_table(),
            "recalculation_line": self._top if self._top is not None else pa.table({}),
            "recalculation_key": pa.Table.from_pandas(keys, preserve_index=False),
            "recalculation_activity": self._activity.table(),
        }

    def _add_moves(self, revision: Revision, change: pa.Array) -> None:
        columns = {"before": revision.before_codes(), "after": revision.after.basis, "change": change}
        grouped = pa.table(columns).group_by(["before", "after"]).aggregate([("change", "count"), ("change", "sum")])
        for row in grouped.to_pylist():
            after = revision.after.bases[row["after"]]
            before = None if row["before"] == NONE else revision.before.bases[row["before"]]
            move = (after.root, *_outcome_of(before), *_outcome_of(after))
            lines, commission = self._moves.get(move, (0, ZERO))
            self._moves[move] = (lines + row["change_count"], EXACT.add(commission, row["change_sum"]))

    def _payee_table(self) -> pa.Table:
        rows = [(root, payee, str(amount)) for (root, payee), amount in sorted(self._payees.items()) if amount]
        return _table(("root", "payee", "amount_usdt"), rows)

    def _move_table(self) -> pa.Table:
        names = ("root", "from_status", "from_reason", "to_status", "to_reason", "lines", "commission_usdt")
        rows = [(*move, str(lines), str(amount)) for move, (lines, amount) in sorted(self._moves.items())]
        return _table(names, rows)


def _table(names: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [() for _ in names]
    return pa.table({name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)})


def _outcome_of(basis: Basis | None) -> tuple[str, str]:
    return ("", "") if basis is None else (basis.reason.status, basis.reason.text)


def _aligned(revision: Revision, column: str) -> pa.Array:
    """A column of the lines before, in the rows of the revision: null where there was no line."""
    rows = np.cumsum(revision.had_line) - 1
    return revision.before.amounts[column].combine_chunks().take(pa.array(rows, mask=~revision.had_line))


def _change(revision: Revision) -> pa.Array:
    """What each line's commission changes by, in USDT."""
    after = revision.after.amounts["commission_usdt"].combine_chunks()
    before = _aligned(revision, "commission_usdt")
    return difference(
        pc.fill_null(after, pa.scalar(ZERO, after.type)), pc.fill_null(before, pa.scalar(ZERO, before.type))
    )


def _lines(revision: Revision, change: pa.Array) -> pa.Table:
    before_bases = [*revision.before.bases, None]
    before, after = revision.before_codes(), revision.after.basis
    return _most(
        pa.table(
            {
                **{name: revision.fills[name] for name in ("venue", "account", "bill_id")},
                **_side("from", before_bases, before, _aligned(revision, "commission_usdt")),
                **_side("to", list(revision.after.bases), after, revision.after.amounts["commission_usdt"]),
                "change_usdt": change,
            }
        )
    )


def _side(name: str, bases: list[Basis | None], codes: np.ndarray, commission: pa.Array) -> dict[str, pa.Array]:
    rows = pa.array(codes % len(bases))
    outcomes = [_outcome_of(basis) for basis in bases]
    return {
        f"{name}_status": pa.array([status for status, _ in outcomes]).take(rows),
        f"{name}_reason": pa.array([reason for _, reason in outcomes]).take(rows),
        f"{name}_broker": pa.array([basis.broker_id if basis else None for basis in bases], pa.string()).take(rows),
        f"{name}_commission_usdt": commission,
    }


def _most(lines: pa.Table) -> pa.Table:
    """The lines that change most; of equal ones the first by name, so that a plan made again is the same."""
    order = [("size", "descending"), ("venue", "ascending"), ("account", "ascending"), ("bill_id", "ascending")]
    sized = lines.append_column("size", pc.abs(lines["change_usdt"]))
    return lines.take(pc.select_k_unstable(sized, k=min(TOP_LINES, lines.num_rows), sort_keys=order))
