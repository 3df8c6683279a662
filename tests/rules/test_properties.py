"""What holds of every settlement, whatever the facts and the fills."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Context, Decimal, localcontext
from typing import TypeVar

import numpy as np
import pyarrow as pa
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from settlement.rules.money import LEDGER_AMOUNT
from settlement.rules.settle import Outcome, settle
from settlement.rules.split import Split, parts, totals
from tests.rules.drawn_fills import BATCHES
from tests.rules.drawn_names import SHARES
from tests.rules.drawn_worlds import WORLDS
from tests.rules.outcomes import facts_in, lines_of
from tests.rules.reference import Line, Row, World
from tests.rules.world import fills_of

EXACT = Context(prec=200)
Key = TypeVar("Key")

# A world takes long to draw, to settle and to shrink.
worlds_only = settings(max_examples=settings().max_examples // 4, phases=[Phase.reuse, Phase.generate])


def outcome_of(batch: list[Row], world: World) -> Outcome:
    return settle(fills_of([dict(fill) for fill in batch]), facts_in(world))


@worlds_only
@given(world=WORLDS, batch=BATCHES, data=st.data())
def test_neither_the_order_of_the_fills_nor_how_they_are_batched_matters(
    world: World, batch: list[Row], data: st.DataObject
) -> None:
    together = lines_of(outcome_of(batch, world))
    order = data.draw(st.permutations(range(len(batch))))
    cut = data.draw(st.integers(0, len(batch)))
    apart: dict[int, Line] = {}
    for positions in (order[:cut], order[cut:]):
        apart |= zip(positions, lines_of(outcome_of([batch[position] for position in positions], world)), strict=True)
    assert [apart[position] for position in range(len(batch))] == together


@worlds_only
@given(world=WORLDS, batch=BATCHES)
def test_settling_again_gives_the_same_and_its_sums_are_those_of_its_lines(world: World, batch: list[Row]) -> None:
    outcome, again = outcome_of(batch, world), outcome_of(batch, world)
    lines = lines_of(outcome)
    assert lines_of(again) == lines
    assert len(set(outcome.bases)) == len(outcome.bases)

    owed = sums((payee, amount) for line in lines for payee, amount in line.shares.items())
    assert sums((payee, amount) for (_, payee), amount in outcome.payee_totals().items()) == owed
    commissions = sums(
        (code, line.commission_usdt or Decimal(0)) for code, line in zip(outcome.basis.tolist(), lines, strict=True)
    )
    counted = outcome.counts()
    assert {code: count for code, (count, _) in counted.items()} == Counter(outcome.basis.tolist())
    assert {code: commission for code, (_, commission) in counted.items()} == commissions
    assert all(basis.split is None or basis.root == basis.split.payees[0] for basis in outcome.bases)
    assert sum(owed.values()) == sum(commissions.values())


def sums(amounts: Iterable[tuple[Key, Decimal]]) -> dict[Key, Decimal]:
    result: dict[Key, Decimal] = {}
    for key, amount in amounts:
        result[key] = result.get(key, Decimal(0)) + amount
    return result


def test_no_fills_settle_to_nothing() -> None:
    outcome = outcome_of([], World())
    assert len(outcome.basis) == 0
    assert outcome.amounts.num_rows == 0
    assert outcome.payee_totals() == {}


LEDGER_AMOUNTS = st.integers(0, 10**26).map(lambda units: EXACT.scaleb(Decimal(units), -12))
SPLITS = st.lists(SHARES.map(Decimal), max_size=6).map(
    lambda shares: Split(tuple(f"payee {number}" for number in range(len(shares) + 1)), (Decimal(1), *shares))
)


@given(commission=LEDGER_AMOUNTS, split=SPLITS)
def test_the_parts_of_a_commission_sum_to_it_and_none_is_negative_or_zero(commission: Decimal, split: Split) -> None:
    shared = parts(commission, split)
    with localcontext(EXACT):
        assert sum(shared.values()) == commission
    assert all(amount > 0 for amount in shared.values())
    assert all(amount.as_tuple().exponent >= -12 for amount in shared.values())


@given(
    lines=st.lists(st.tuples(LEDGER_AMOUNTS, st.integers(-1, 2)), max_size=30), splits=st.tuples(SPLITS, SPLITS, SPLITS)
)
def test_the_totals_of_many_splits_are_the_sums_of_their_parts(
    lines: list[tuple[Decimal, int]], splits: tuple[Split, ...]
) -> None:
    expected: dict[tuple[int, str], Decimal] = {}
    for commission, code in lines:
        for payee, amount in parts(commission, splits[code]).items() if code >= 0 else ():
            expected[code, payee] = expected.get((code, payee), Decimal(0)) + amount
    amounts = pa.array([commission if code >= 0 else None for commission, code in lines], LEDGER_AMOUNT)
    assert totals(amounts, np.array([code for _, code in lines], dtype=np.int64), list(splits)) == expected
