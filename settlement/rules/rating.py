"""Rating: which percentage of the net fee is commission?

1. The rate is the ROOT broker's own in force at execution, where it has one; else the terms' rate for the tier of the root,
   but never below the root's floor in force (settlement/rules/overrides.py).
2. The terms' rate is by product, liquidity and, where the terms tell them apart, affiliated (from the client link in force,
   else false).
3. The tier is an override in force, else the latest monthly review, else the terms' entry tier.
4. commission = net_fee_usdt x rate, half-even to 12 decimals; what is rated is the rounded net fee.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa

from settlement.rules.facts import Facts, Terms
from settlement.rules.in_force import NONE, Coded, Codes, coded, microseconds, positions, take
from settlement.rules.money import fit, product


@dataclass(frozen=True)
class Tiers:
    """Per fill: a code into the distinct tier names; and which names the terms in force have."""

    code: Codes
    names: list[str]
    known: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def terms_in_force(times: Codes, versions: tuple[Terms, ...]) -> Codes:
    """The position in `versions` (sorted by effective_from) of the terms in force at each time, -1 for none."""
    starts = microseconds(
        pd.Series([version.effective_from for version in versions], dtype="timestamp[us, tz=UTC][pyarrow]")
    )
    return np.searchsorted(starts, times, side="right") - 1


def tiers_of_roots(roots: Codes, names: list[str], times: Codes, terms: Codes, facts: Facts) -> Tiers:
    """The tier of each fill's root (a code into `names`) at its time."""
    keys = coded(pd.Series(names, dtype=object))
    root_keys = Coded(np.asarray(take(keys.codes, roots), dtype=np.int64), keys.names)
    override = facts.in_force("tiers").rows_at(root_keys, times)
    review = facts.in_force("reviews").rows_at(root_keys, times)
    entry_tiers = [version.entry_tier for version in facts.terms]
    tier_names = pd.Index(
        list(dict.fromkeys([*facts.tiers["tier"], *facts.reviews["tier"], *entry_tiers])), dtype=object
    )
    code = take(positions(entry_tiers, tier_names), terms)
    code = np.where(review == NONE, code, take(positions(facts.reviews["tier"], tier_names), review))
    code = np.where(override == NONE, code, take(positions(facts.tiers["tier"], tier_names), override))
    known = np.zeros(len(times), dtype=bool)
    for position, version in enumerate(facts.terms):
        allowed = positions([tier.name for tier in version.tiers], tier_names)
        known |= (terms == position) & np.isin(code, allowed[allowed >= 0])
    return Tiers(code=np.asarray(code, dtype=np.int64), names=[str(name) for name in tier_names], known=known)


def rate(version: Terms, *, tier: str, product_name: str, liquidity: str, affiliated: bool) -> Decimal:
    """One rate of the terms; KeyError if they have none."""
    for level in version.tiers:
        if level.name == tier:
            return level.rates[product_name, liquidity, affiliated]
    raise KeyError(tier)


def commission(net_fee_usdt: pa.Array, rates: list[Decimal], code: Codes) -> pa.Array:
    """net_fee_usdt x rates[code], decimal128(38, 12)."""
    table = fit(pa.array(rates, pa.decimal128(38, 18)))
    return product(net_fee_usdt, table.take(pa.array(code)), rounding="half_to_even")
