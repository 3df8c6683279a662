"""The monthly cap: how much commission one client account can bring its tree.

1. The terms may name an amount a month and the VIP levels that it limits (settlement/rules/limits.py).
2. Counted is, per root, account and calendar month of execution (UTC), all commission, limited or not, in the order of
   execution: by executed_at, then by the bytes of bill_id. So it does not matter in which order the fills arrived.
3. A limited line earns min(what it would earn, max(0, cap - earned before it)). The line that gets a part carries the flag
   CAP_REMAINDER; one that gets nothing is excluded as CAP_REACHED, the last check of all. A line whose commission rounds
   to zero takes nothing from the cap and stays earned.
4. The cap that counts is the one in force at execution: within a month it may change, begin and end.

While the cap of an account stands still, which is a stretch, a line of it leaves cap - (earned before the stretch + what
the lines of the stretch before it would earn) to the next one, down to zero. So a stretch is one prefix sum, and only from
stretch to stretch is there a loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from settlement.rules.basis import Basis
from settlement.rules.batch import Batch
from settlement.rules.facts import Facts
from settlement.rules.in_force import KEY_SEPARATOR, NONE, Coded, Codes, coded, joined
from settlement.rules.limits import Limits, limits
from settlement.rules.money import EXACT, LEDGER_AMOUNT
from settlement.rules.rating import commission
from settlement.rules.reasons import Reason
from settlement.rules.running_sums import SUM, sums_before
from settlement.rules.settle import Outcome, together

CAP_REMAINDER = "CAP_REMAINDER"
ZERO = Decimal(0)

Client = tuple[str, str, str]
"""(root, venue, account): whose commission of a month is counted together."""


def capped(fills: pd.DataFrame, outcome: Outcome, facts: Facts, *, earned: Mapping[Client, Decimal]) -> Outcome:
    """What the cap leaves of an outcome.

    `fills` has at least venue, account, bill_id and executed_at; they are all lines that their accounts have in the period
    that they lie in, which is within one calendar month. `earned` is what was earned in that month before, in USDT, for
    clients that earned anything. `outcome` is what the lines would earn without a cap.
    """
    rows = np.flatnonzero(np.array([basis.split is not None for basis in outcome.bases], dtype=bool)[outcome.basis])
    if not len(rows):
        return outcome
    batch = Batch(fills.iloc[rows])
    roots = coded(pd.Series([basis.root for basis in outcome.bases], dtype=object))
    root = Coded(roots.codes[outcome.basis[rows]], roots.names)
    client, limit = joined(root, batch.accounts), limits(batch, facts, roots=root)
    if (limit.code == NONE).all():
        return outcome
    order = _order_of_execution(batch, client)
    would_earn = outcome.amounts["commission_usdt"].combine_chunks().take(pa.array(rows[order]))
    earns = _earned(would_earn, client=client, limit=limit, order=order, earned=earned)
    return _with(outcome, rows[order], before=would_earn, after=earns)


def uncapped(outcome: Outcome) -> Outcome:
    """What earned lines would earn without a cap: the flag goes, and the commission is that of their net fee and rate."""
    cut = np.array([CAP_REMAINDER in basis.flags for basis in outcome.bases], dtype=bool)[outcome.basis]
    if not cut.any():
        return outcome
    rates = [basis.rate or ZERO for basis in outcome.bases]
    rows = pa.array(np.flatnonzero(cut))
    whole = commission(outcome.amounts["net_fee_usdt"].combine_chunks().take(rows), rates, outcome.basis[cut])
    bases = [replace(basis, flags=_without(basis.flags)) for basis in outcome.bases]
    amounts = _replaced(outcome.amounts, np.flatnonzero(cut), commission_usdt=whole)
    return together([Outcome(basis=outcome.basis, bases=bases, amounts=amounts)])


def _order_of_execution(batch: Batch, client: Coded) -> Codes:
    columns = {"client": client.codes, "executed_at": batch.times, "bill_id": pa.array(batch.fills["bill_id"])}
    order = pc.sort_indices(pa.table(columns), sort_keys=[(name, "ascending") for name in columns])
    return np.asarray(order.to_numpy().astype(np.int64))


def _earned(
    would_earn: pa.Array, *, client: Coded, limit: Limits, order: Codes, earned: Mapping[Client, Decimal]
) -> pa.Array:
    """What each line earns, in the order of execution."""
    clients, limit_codes = client.codes[order], limit.code[order]
    changes = (clients[1:] != clients[:-1]) | (limit_codes[1:] != limit_codes[:-1])
    begins = np.concatenate([[True], changes])
    stretch = np.cumsum(begins) - 1
    before = sums_before(would_earn, begins=begins)
    first = np.flatnonzero(begins)
    last = pa.array(np.concatenate([first[1:] - 1, [len(order) - 1]]))
    totals = pc.add(before.take(last), would_earn.take(last)).to_pylist()
    names = (client.names[code] for code in clients[first])
    amounts = [None if code == NONE else limit.amounts[code] for code in limit_codes[first]]
    room = pa.array(_room(zip(names, amounts, totals, strict=True), earned), SUM).take(pa.array(stretch))
    left = pc.max_element_wise(pc.subtract(room, before).cast(SUM), pa.scalar(ZERO, SUM), skip_nulls=False)
    return pc.min_element_wise(left, would_earn.cast(SUM)).cast(LEDGER_AMOUNT)


def _room(
    stretches: Iterable[tuple[str, Decimal | None, Decimal]], earned: Mapping[Client, Decimal]
) -> list[Decimal | None]:
    """What the cap leaves at the start of each stretch (client, cap, what its lines would earn), None where there is none."""
    so_far: dict[str, Decimal] = {}
    rooms: list[Decimal | None] = []
    for name, cap, total in stretches:
        root, venue, account = name.split(KEY_SEPARATOR)
        before = so_far.get(name, earned.get((root, venue, account), ZERO))
        room = None if cap is None else max(ZERO, EXACT.subtract(cap, before))
        so_far[name] = EXACT.add(before, total if room is None else min(total, room))
        rooms.append(room)
    return rooms


def _with(outcome: Outcome, rows: Codes, *, before: pa.Array, after: pa.Array) -> Outcome:
    """The outcome with what the lines at `rows` earn `after` the cap."""
    less = np.asarray(pc.less(after, before))
    nothing = less & np.asarray(pc.equal(after, pa.scalar(ZERO, after.type)))
    partly = less & ~nothing
    basis, count = outcome.basis.copy(), len(outcome.bases)
    basis[rows[partly]] += count
    basis[rows[nothing]] += 2 * count
    codes, used = pd.factorize(basis)
    kinds = (lambda one: one, _remainder, _reached)
    bases = [kinds[code // count](outcome.bases[code % count]) for code in used.tolist()]
    amounts = _replaced(outcome.amounts, rows, nothing=rows[nothing], commission_usdt=after)
    return together([Outcome(basis=codes.astype(np.int64), bases=bases, amounts=amounts)])


def _remainder(basis: Basis) -> Basis:
    return replace(basis, flags=";".join(filter(None, (basis.flags, CAP_REMAINDER))))


def _reached(basis: Basis) -> Basis:
    return replace(basis, reason=Reason.CAP_REACHED, tier=None, rate=None, terms_id=None, split=None)


def _without(flags: str) -> str:
    return ";".join(flag for flag in flags.split(";") if flag != CAP_REMAINDER)


def _replaced(amounts: pa.Table, rows: Codes, *, nothing: Codes | None = None, **columns: pa.Array) -> pa.Table:
    """The amounts with other values at `rows`, in the order of `rows`, and none at all at `nothing`."""
    empty = np.zeros(amounts.num_rows, dtype=bool)
    if nothing is not None:
        empty[nothing] = True
    result = {}
    for name in amounts.column_names:
        position, column = np.arange(amounts.num_rows), amounts[name].combine_chunks()
        if name in columns:
            position[rows] = amounts.num_rows + np.arange(len(rows))
            column = pa.concat_arrays([column, columns[name].cast(column.type)])
        result[name] = column.take(pa.array(position, mask=empty))
    return pa.table(result)
