"""Payouts, in the queue `payout`."""

from __future__ import annotations

from settlement.pipeline import pay
from workers import clock
from workers.app import task
from workers.process import database


@task(name="settlement.plan_payouts")
def plan_payouts() -> int:
    """Instructs what has become payable, for instance because its hold has ended.

    Race: two plans at once, or a plan and a settlement. What is instructed leaves the payable balance in the same
    transaction, under the lock of its chain, so the second finds nothing left to pay.
    """
    return len(pay.plan_payouts(database(), now=clock.now()))
