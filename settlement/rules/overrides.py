"""Overrides: what a root broker has of its own, whatever the terms say to all.

1. A `rate` holds for the root instead of the rate of its tier. A `floor` is what the terms' rate never falls below for it;
   its own rate is what it is, floor or not.
2. Each is written for one product or for all, and for one liquidity or for all; it holds for affiliated clients and for
   others. Of those in force at execution the narrowest counts: its product and liquidity, before its product, before its
   liquidity, before all. Once it has ended, the next wider one that is in force takes its place.
3. An override changes what a fill earns, never whether it does: a product that the terms do not rate stays excluded, and
   a fill whose root has a tier that the terms do not know stays pending.
4. Overrides of the kinds `cap` (settlement/rules/cap.py) and `minimum_payout` do not touch the rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd

from settlement.rules.batch import Batch
from settlement.rules.facts import ALL, Facts
from settlement.rules.in_force import NONE, Coded, Codes, coded, joined, take
from settlement.rules.money import EXACT

RATE, FLOOR, CAP = "rate", "floor", "cap"


@dataclass(frozen=True)
class OwnRates:
    """Per fill the rows of facts.overrides that are its root's own rate and floor, -1 for none."""

    rate: Codes
    floor: Codes


def own_rates(batch: Batch, facts: Facts, *, roots: Codes, names: list[str]) -> OwnRates:
    """What each fill's root (a code into `names`) has of its own at its time."""
    keys = coded(pd.Series(names, dtype=object))
    root = Coded(np.asarray(take(keys.codes, roots), dtype=np.int64), keys.names)
    return OwnRates(rate=_narrowest(RATE, batch, facts, root), floor=_narrowest(FLOOR, batch, facts, root))


def own_caps(roots: Coded, times: Codes, facts: Facts) -> Codes:
    """Per root and time the row of facts.overrides that is its own cap, -1 for none."""
    if not facts.overrides["kind"].isin([CAP]).any():
        return np.full(len(times), NONE, dtype=np.int64)
    of_kind, everything = _constant(CAP, rows=len(times)), _constant(ALL, rows=len(times))
    return facts.in_force("overrides").rows_at(joined(roots, of_kind, everything, everything), times)


def applied(terms_rate: Decimal, *, own: Decimal | None, floor: Decimal | None) -> Decimal:
    """The rate that counts."""
    if own is not None:
        return own
    return terms_rate if floor is None else max(terms_rate, floor)


def value_of(facts: Facts, row: int) -> Decimal | None:
    """The value of a row of facts.overrides as it would be written (0.3, 500), None for -1."""
    if row == NONE:
        return None
    return EXACT.add(EXACT.normalize(facts.overrides["value"].iloc[row]), Decimal(0))


def _narrowest(kind: str, batch: Batch, facts: Facts, root: Coded) -> Codes:
    found = np.full(len(batch), NONE, dtype=np.int64)
    if not facts.overrides["kind"].isin([kind]).any():
        return found
    of_kind, everything = _constant(kind, rows=len(batch)), _constant(ALL, rows=len(batch))
    product, liquidity = batch.products, batch.text("liquidity")
    in_force = facts.in_force("overrides")
    for scope in ((everything, everything), (everything, liquidity), (product, everything), (product, liquidity)):
        row = in_force.rows_at(joined(root, of_kind, *scope), batch.times)
        found = np.where(row == NONE, found, row)
    return found


def _constant(text: str, *, rows: int) -> Coded:
    return Coded(np.zeros(rows, dtype=np.int64), pd.Index([text], dtype=object))
