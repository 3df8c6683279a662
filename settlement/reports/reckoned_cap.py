"""What a monthly cap leaves of one line, by the lines that stand before it in its month and tree."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd
from sqlalchemy import text

from settlement.rules.batch import Batch
from settlement.rules.in_force import NONE, coded
from settlement.rules.limits import limits
from settlement.rules.overrides import own_caps
from settlement.store.caps import earned_before

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from settlement.rules.cap import Client
    from settlement.rules.facts import Facts
    from settlement.rules.settle import Outcome

# In the line's own window; what was earned in the windows before it is summed up already.
EARNED_IN_WINDOW = """
SELECT coalesce(sum(l.commission_usdt), 0) FROM current_line l
JOIN basis b USING (basis_id)
JOIN fill f ON f.venue = l.venue AND f.account = l.account AND f.bill_id = l.bill_id
 AND f.executed_at >= l.window_start AND f.executed_at < l.window_start + interval '1 hour'
WHERE l.window_start = :window_start AND l.venue = :venue AND l.account = :account AND b.root = :root
  AND b.status = 'earned' AND (f.executed_at, f.bill_id) < (:executed_at, :bill_id)
"""


@dataclass(frozen=True, kw_only=True)
class ReckonedCap:
    """The cap in force for one line: amounts in USDT. `own_row` is its row of facts.overrides, -1 if it is the terms'."""

    client: Client
    monthly: Decimal
    own_row: int
    earned_before: Decimal
    would_earn: Decimal

    @property
    def left(self) -> Decimal:
        """What is left of the cap for the line."""
        return max(self.monthly - self.earned_before, Decimal(0))


def reckon_cap(
    connection: Connection, fill: pd.DataFrame, outcome: Outcome, facts: Facts, *, window_start: datetime
) -> ReckonedCap | None:
    """The cap of one fill whose outcome without it is known; None if it would not earn, or nothing limits it."""
    would_earn, basis = outcome.amounts["commission_usdt"][0].as_py(), outcome.bases[0]
    if would_earn is None:
        return None
    batch, root = Batch(fill), coded(pd.Series([basis.root], dtype=object))
    limit = limits(batch, facts, roots=root)
    if limit.code[0] == NONE:
        return None
    values: dict[str, Any] = {
        "window_start": window_start,
        "root": basis.root,
        **{name: fill[name].iloc[0] for name in ("venue", "account", "bill_id", "executed_at")},
    }
    client = (basis.root, values["venue"], values["account"])
    earlier = earned_before(connection, window_start, [client[1:]]).get(client, Decimal(0))
    in_window = connection.execute(text(EARNED_IN_WINDOW), values).scalar_one()
    return ReckonedCap(
        client=client,
        monthly=limit.amounts[limit.code[0]],
        own_row=int(own_caps(root, batch.times, facts)[0]),
        earned_before=earlier + in_window,
        would_earn=would_earn,
    )
