"""Paying on the schedule: balances that have matured since their window was settled.

A settlement instructs what is mature at its end. What the terms' hold_hours kept back then, or what was below the
minimum then, is instructed here: one transaction a chain, under the terms and the payees' own minimums in force now.
"""

from __future__ import annotations

from datetime import datetime

from settlement.payouts.planning import Payout
from settlement.store.database import Database
from settlement.store.payouts import instruct, owed_by_chain, payout_addresses, payout_terms


def plan_payouts(database: Database, now: datetime) -> list[Payout]:
    """Instructs every mature balance that is large enough; returns the new instructions. Safe to run twice."""
    with database.transaction() as connection:
        terms = payout_terms(connection, now)
        if terms is None:
            return []
        owed = owed_by_chain(connection, minimum=terms.minimum, at=now)
    instructed: list[Payout] = []
    for chain in sorted(owed):
        with database.transaction() as connection:
            instructed += instruct(
                connection,
                chain=chain,
                payees=owed[chain],
                terms=terms,
                run_id=None,
                window_start=None,
                now=now,
                rails=payout_addresses(connection, owed[chain], now),
            )
    return instructed
