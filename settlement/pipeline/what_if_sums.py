"""What a stretch of a what-if comes to, beside what stands: sums per broker, tier and product, per payee, per outcome."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from settlement.pipeline.revision import Revision
from settlement.rules.in_force import Codes
from settlement.rules.money import EXACT
from settlement.rules.reasons import Reason
from settlement.rules.settle import Outcome

ZERO = Decimal(0)
FIGURES = ("lines", "net_fee_usdt", "commission_usdt", "volume_usdt")

_SUM = ("stands", "root", "broker_id", "tier", "product", *FIGURES)
_PAYEE = ("root", "payee", "amount_usdt", "stands_usdt")
_MOVE = ("from_status", "from_reason", "to_status", "to_reason", "lines", "commission_usdt")
# Outcomes as codes: the reasons, and one more for no line at all.
_NO_LINE = len(Reason)
_OUTCOMES = _NO_LINE + 1


@dataclass
class StretchSums:
    """The sums of one stretch on their way."""

    _earned: dict[tuple[str, ...], tuple[Decimal, ...]] = field(
        default_factory=lambda: defaultdict(lambda: (ZERO,) * len(FIGURES))
    )
    _payees: dict[tuple[str, str], tuple[Decimal, ...]] = field(
        default_factory=lambda: defaultdict(lambda: (ZERO, ZERO))
    )
    _moves: dict[int, tuple[Decimal, ...]] = field(default_factory=lambda: defaultdict(lambda: (ZERO, ZERO)))

    def add(self, revision: Revision) -> None:
        """Takes in both sides of a batch."""
        for stands, outcome in enumerate((revision.after, revision.before)):
            for key, figures in _earned(outcome):
                _add(self._earned, ("true" if stands else "false", *key), figures)
            for payee, amount in outcome.payee_totals().items():
                _add(self._payees, payee, (ZERO, amount) if stands else (amount, ZERO))
        for move, change in _moves(revision):
            _add(self._moves, move, change)

    def parts(self) -> dict[str, pa.Table]:
        """The tables that hold the stretch's part of a result, without the what-if and the stretch."""
        moves = {
            (*_outcome(move // _OUTCOMES), *_outcome(move % _OUTCOMES)): sums for move, sums in self._moves.items()
        }
        return {
            "what_if_sum": _table(_SUM, self._earned),
            "what_if_payee": _table(_PAYEE, self._payees),
            "what_if_move": _table(_MOVE, moves),
        }


def _add(sums: dict[Any, tuple[Decimal, ...]], key: Any, figures: Iterable[Decimal]) -> None:
    sums[key] = tuple(EXACT.add(one, other) for one, other in zip(sums[key], figures, strict=True))


def _earned(outcome: Outcome) -> Iterator[tuple[tuple[str, ...], tuple[Decimal, ...]]]:
    """Root, broker, tier and product of each basis that earns, with its FIGURES."""
    names = ("net_fee_usdt", "commission_usdt", "notional_usdt")
    table = pa.table({"basis": outcome.basis, **{name: outcome.amounts[name] for name in names}})
    grouped = table.group_by("basis").aggregate([("basis", "count"), *((name, "sum") for name in names)])
    for row in grouped.to_pylist():
        basis = outcome.bases[row["basis"]]
        if basis.split:
            key = (basis.root, basis.broker_id or "", basis.tier or "", basis.product)
            yield key, (Decimal(row["basis_count"]), *(row[f"{name}_sum"] for name in names))


def _moves(revision: Revision) -> Iterator[tuple[int, tuple[Decimal, Decimal]]]:
    """Each pair of outcomes, from and to: its lines, and what their commission is more than it stands."""
    before = np.full(len(revision.had_line), _NO_LINE, dtype=np.int64)
    before[revision.had_line] = _reasons(revision.before)
    pair = before * _OUTCOMES + _reasons(revision.after)
    for code, lines in enumerate(np.bincount(pair).tolist()):
        if lines:
            yield code, (Decimal(lines), ZERO)
    for code, commission in _commission(pair, revision.after):
        yield code, (ZERO, commission)
    for code, commission in _commission(pair[revision.had_line], revision.before):
        yield code, (ZERO, -commission)


def _reasons(outcome: Outcome) -> Codes:
    return np.array([int(basis.reason) for basis in outcome.bases], dtype=np.int64)[outcome.basis]


def _commission(pair: Codes, outcome: Outcome) -> Iterator[tuple[int, Decimal]]:
    table = pa.table({"pair": pair, "commission": outcome.amounts["commission_usdt"]})
    summed = table.group_by("pair").aggregate([("commission", "sum")])
    for code, commission in zip(summed["pair"].to_pylist(), summed["commission_sum"].to_pylist(), strict=True):
        if commission:
            yield code, commission


def _outcome(code: int) -> tuple[str, str]:
    return ("", "") if code == _NO_LINE else (Reason(code).status, Reason(code).text)


def _table(names: Sequence[str], sums: dict[Any, tuple[Decimal, ...]]) -> pa.Table:
    rows = [(*key, *(format(figure, "f") for figure in figures)) for key, figures in sums.items()]
    columns = zip(*rows, strict=True) if rows else [() for _ in names]
    return pa.table({name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)})
