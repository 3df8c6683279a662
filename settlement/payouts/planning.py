"""Which payout instructions a balance gives rise to.

1. The mature payable of a payee is floored to the terms' quantum; the remainder stays payable.
2. If the floored amount is at least the payee's own minimum, else the terms', and more than nothing, it is one
   instruction.
3. Up to the auto-approve limit it is approved at once; above, it waits for somebody's approval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal, localcontext
from enum import StrEnum

from settlement.rules.facts import PayoutTerms

EXACT_DIGITS = 60


class PayoutStatus(StrEnum):
    """Where an instruction is in its life."""

    WAITING = "waiting"
    APPROVED = "approved"
    SENT = "sent"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class PlannedPayout:
    """An instruction to be made: `amount` in USDT, a multiple of the quantum."""

    payee: str
    amount: Decimal
    status: PayoutStatus


@dataclass(frozen=True, kw_only=True)
class Payout:
    """An instruction as it is recorded. `rail` and `address` are None where the payee has named none."""

    payout_id: int
    payee: str
    chain: str
    amount: Decimal
    status: PayoutStatus
    rail: str | None
    address: str | None
    created_at: datetime
    window_start: datetime | None
    run_id: int | None
    idempotency_key: str


def plan_payouts(
    mature: Mapping[str, Decimal], *, terms: PayoutTerms, minimums: Mapping[str, Decimal] | None = None
) -> list[PlannedPayout]:
    """The instructions for these mature payables (payee -> USDT), in the order of the payees' names.

    `minimums` are those of payees that have one of their own (payee -> USDT).
    """
    own = minimums or {}
    planned = (_plan(payee, mature[payee], terms, minimum=own.get(payee, terms.minimum)) for payee in sorted(mature))
    return [payout for payout in planned if payout is not None]


def floor_to_quantum(amount: Decimal, quantum: Decimal) -> Decimal:
    """The greatest multiple of `quantum` that is not above `amount`, exactly."""
    with localcontext(prec=EXACT_DIGITS):
        multiple = (amount / quantum).to_integral_value(rounding=ROUND_FLOOR)
        return (multiple * quantum).quantize(quantum)


def _plan(payee: str, mature: Decimal, terms: PayoutTerms, *, minimum: Decimal) -> PlannedPayout | None:
    amount = floor_to_quantum(mature, terms.quantum)
    if amount <= 0 or amount < minimum:
        return None
    status = PayoutStatus.APPROVED if amount <= terms.auto_approve_limit else PayoutStatus.WAITING
    return PlannedPayout(payee=payee, amount=amount, status=status)
