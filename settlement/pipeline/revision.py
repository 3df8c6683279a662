"""What would change: fills whose lines differ from what the rules say, with both sides.

1. A line is its basis and its amounts with their prices. It changes if any of these does.
2. A fill without a line changes in any case: nothing stood for it.
3. Only what changes goes on from here: the lines that are to stand, and those that they replace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from schemas.frames import FILL
from settlement.rules.basis import Basis
from settlement.rules.facts import Facts
from settlement.rules.in_force import NONE, Codes
from settlement.rules.reasons import Status
from settlement.rules.settle import Outcome, settle
from settlement.store.bases import StoredBases

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Revision:
    """Fills (columns of STANDING_FILL) that change. `before` has the rows of those that had a line (`had_line`), in order."""

    fills: pa.Table
    after: Outcome
    before: Outcome
    had_line: Mask

    def only(self, rows: Mask) -> Revision:
        """The revision of some of the fills."""
        return Revision(
            fills=self.fills.filter(pa.array(rows)),
            after=self.after.only(rows),
            before=self.before.only(rows[self.had_line]),
            had_line=self.had_line[rows],
        )

    def changed(self) -> Revision:
        """The fills that have no line, or whose line comes out otherwise."""
        rows = ~self.had_line
        rows[self.had_line] = _differ(self.before, self.after.only(self.had_line))
        return self.only(rows)

    def settled(self) -> Revision:
        """The fills whose line earns or is excluded: what waits for a fact, or has no line yet, is not settled."""
        return self.only(self.is_settled())

    def is_settled(self) -> Mask:
        """Which fills have a line that earns or is excluded."""
        rows = self.had_line.copy()
        settled = [basis.reason.status != Status.PENDING for basis in self.before.bases]
        rows[self.had_line] = has_basis(self.before, settled)
        return rows

    def coming_to(self, root: str) -> Revision:
        """The fills whose new line is of this root."""
        return self.only(has_basis(self.after, [basis.root == root for basis in self.after.bases]))

    def leaving(self, root: str) -> tuple[pa.Table, Outcome]:
        """The lines of this root that are replaced, by lines of whichever root, and their fills."""
        fills, before = self.replaced()
        rows = has_basis(before, [basis.root == root for basis in before.bases])
        return fills.filter(pa.array(rows)), before.only(rows)

    def replaced(self) -> tuple[pa.Table, Outcome]:
        """All lines that are replaced, and their fills."""
        return self.fills.filter(pa.array(self.had_line)), self.before

    def before_codes(self) -> Codes:
        """Per fill a code into `before.bases`, -1 where there was no line."""
        codes = np.full(len(self.had_line), NONE, dtype=np.int64)
        codes[self.had_line] = self.before.basis
        return codes

    def roots(self) -> pd.DataFrame:
        """The roots of each fill: that of its line, and that of the line before (null where there was none)."""
        before = np.array([basis.root for basis in self.before.bases] + [None], dtype=object)
        after = np.array([basis.root for basis in self.after.bases], dtype=object)
        return pd.DataFrame({"after": after[self.after.basis], "before": before[self.before_codes()]})


@dataclass(frozen=True)
class Scope:
    """Which lines a recalculation is about: those of these brokers, or of these trees, before or after; None is all."""

    brokers: frozenset[str] | None = None
    roots: frozenset[str] | None = None

    def of(self, revision: Revision) -> Revision:
        """The part of the revision that is in scope."""
        if self.brokers is None and self.roots is None:
            return revision
        return revision.only(self.covers(revision))

    def covers(self, revision: Revision) -> Mask:
        """Which lines of the revision are in scope."""
        rows = has_basis(revision.after, [self._covers(basis) for basis in revision.after.bases])
        rows[revision.had_line] |= has_basis(revision.before, [self._covers(basis) for basis in revision.before.bases])
        return rows

    def _covers(self, basis: Basis) -> bool:
        of_broker = self.brokers is None or basis.broker_id in self.brokers
        return of_broker and (self.roots is None or basis.root in self.roots)


def revision_of(batch: pa.Table, facts: Facts, *, stored: StoredBases) -> Revision:
    """The fills of a batch (columns of STANDING_FILL) that come out otherwise than their lines say."""
    return both_sides(batch, facts, stored=stored).changed()


def both_sides(batch: pa.Table, facts: Facts, *, stored: StoredBases) -> Revision:
    """Every fill of a batch (columns of STANDING_FILL): what the rules make of it, beside the line that stands for it."""
    had_line = np.asarray(batch["previous_revision"].is_valid())
    before = _standing(batch.filter(pa.array(had_line)), stored)
    return Revision(fills=batch, after=outcome_of(batch, facts), before=before, had_line=had_line)


def outcome_of(batch: pa.Table, facts: Facts) -> Outcome:
    """What the rules make of a batch as it was read (columns of FILL, and others)."""
    return settle(batch.select(FILL.names).to_pandas(types_mapper=pd.ArrowDtype), facts)


def _standing(batch: pa.Table, stored: StoredBases) -> Outcome:
    """The lines that stand, in the form in which the rules give them."""
    codes, basis_ids = pd.factorize(batch["previous_basis"].to_numpy())
    names = ("net_fee_usdt", "commission_usdt", "notional_usdt", "price_id", "notional_price_id")
    amounts = pa.table({name: batch[f"previous_{name}"] for name in names})
    return Outcome(basis=codes.astype(np.int64), bases=stored.of(map(int, basis_ids)), amounts=amounts)


def _differ(before: Outcome, after: Outcome) -> Mask:
    number = {basis: code for code, basis in enumerate(dict.fromkeys([*before.bases, *after.bases]))}
    differ: Mask = _numbered(before, number) != _numbered(after, number)
    for name in before.amounts.column_names:
        left, right = before.amounts[name], after.amounts[name].cast(before.amounts[name].type)
        differ |= np.asarray(pc.fill_null(pc.not_equal(left, right), fill_value=False))
        differ |= np.asarray(left.is_null()) != np.asarray(right.is_null())
    return differ


def _numbered(outcome: Outcome, number: dict[Basis, int]) -> Codes:
    return np.array([number[basis] for basis in outcome.bases], dtype=np.int64)[outcome.basis]


def has_basis(outcome: Outcome, bases: Sequence[bool]) -> Mask:
    """Which lines have one of the bases that are marked."""
    return np.array(bases, dtype=bool)[outcome.basis]
