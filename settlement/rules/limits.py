"""Limits: which lines does a monthly cap limit, and at what?

1. The terms may name an amount a month and the VIP levels that it limits. A line is limited if the client's level in force
   at execution is one of those of the terms in force.
2. The amount is the root's own in force (an override `cap`), if it has one, else that of the terms. A root's own cap limits
   nobody whom the terms do not limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import numpy as np
import pandas as pd

from settlement.rules.batch import Batch
from settlement.rules.facts import Facts
from settlement.rules.in_force import NONE, Coded, Codes, coded, joined, microseconds, take
from settlement.rules.overrides import own_caps, value_of
from settlement.rules.rating import terms_in_force

Account = tuple[str, str]
"""(venue, account)."""


@dataclass(frozen=True)
class Limits:
    """Per fill a code into `amounts` (USDT a month), -1 where nothing limits it."""

    code: Codes
    amounts: list[Decimal]


def has_cap(facts: Facts) -> bool:
    """Whether any version of the terms has a cap: without one nothing is ever limited."""
    return any(version.cap for version in facts.terms)


def limited_accounts(facts: Facts, *, start: datetime, end: datetime) -> frozenset[Account]:
    """The accounts that have a limited VIP level at any time in `[start, end)`."""
    untils = [*(version.effective_from for version in facts.terms[1:]), end]
    in_period = [
        version
        for version, until in zip(facts.terms, untils, strict=False)
        if version.effective_from < end and until > start
    ]
    levels = {level for version in in_period if version.cap for level in version.cap.vip_levels}
    if not levels:
        return frozenset()
    begins, ends = microseconds(pd.Series([start, end], dtype="timestamp[us, tz=UTC][pyarrow]"))
    rows = facts.vip_levels
    starts, accounts = microseconds(rows["effective_from"]), joined(coded(rows["venue"]), coded(rows["account"]))
    every = Coded(np.arange(len(accounts.names), dtype=np.int64), accounts.names)
    at_start = facts.in_force("vip_levels").rows_at(every, np.full(len(accounts.names), begins))
    in_force = np.concatenate([at_start[at_start != NONE], np.flatnonzero((starts > begins) & (starts < ends))])
    chosen = rows.iloc[in_force[np.isin(rows["level"].to_numpy(dtype=np.int64)[in_force], list(levels))]]
    return frozenset(zip(chosen["venue"], chosen["account"], strict=True))


def limits(batch: Batch, facts: Facts, *, roots: Coded) -> Limits:
    """What limits each fill (venue, account, executed_at) in the tree of its root."""
    terms = terms_in_force(batch.times, facts.terms)
    row = facts.in_force("vip_levels").rows_at(batch.accounts, batch.times)
    level = take(facts.vip_levels["level"].to_numpy(dtype=np.int64), row)
    code = np.full(len(batch), NONE, dtype=np.int64)
    amounts: list[Decimal] = []
    own = own_caps(roots, batch.times, facts)
    for position, version in enumerate(facts.terms):
        if version.cap is not None:
            code[(terms == position) & np.isin(level, list(version.cap.vip_levels))] = len(amounts)
            amounts.append(version.cap.monthly_usdt)
    for own_row in np.unique(own[(own != NONE) & (code != NONE)]):
        code[(own == own_row) & (code != NONE)] = len(amounts)
        amounts.append(value_of(facts, own_row) or Decimal(0))
    return Limits(code=code, amounts=amounts)
