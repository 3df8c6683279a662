"""The chart of accounts: every account that may exist, and the side on which it grows.

1. The operator has four accounts: what commission costs, what the treasury holds in USDT, what the venue still owes,
   and what was given up.
2. A payee (a broker or a client with a rebate) has three: what may be paid (`payable`), what a payout instruction has
   taken (`in_flight`), and what is kept back with a reason (`held`).
3. Operator accounts are assets and expenses and grow by debit; payee accounts are owed and grow by credit.
4. An account is declared before it is used: declaring a payee declares its three accounts.
"""

from __future__ import annotations

from enum import StrEnum


class Direction(StrEnum):
    """The side of a leg."""

    DEBIT = "debit"
    CREDIT = "credit"


class PayeeKind(StrEnum):
    """Who is owed: a broker, or a client through a rebate share."""

    BROKER = "broker"
    CLIENT = "client"


COMMISSION_EXPENSE = "operator:commission_expense"
TREASURY_USDT = "operator:treasury_usdt"
RECEIVABLE_FROM_VENUE = "operator:receivable_from_venue"
WRITE_OFF = "operator:write_off"

OPERATOR_ACCOUNTS = (COMMISSION_EXPENSE, TREASURY_USDT, RECEIVABLE_FROM_VENUE, WRITE_OFF)
CLIENT_PREFIX = "client:"


def payable(payee: str) -> str:
    """The account of what is owed to `payee` and not yet instructed."""
    return f"payee:{payee}:payable"


def in_flight(payee: str) -> str:
    """The account of what payout instructions to `payee` have taken and nobody has confirmed."""
    return f"payee:{payee}:in_flight"


def held(payee: str) -> str:
    """The account of what is kept back from `payee` with a reason."""
    return f"payee:{payee}:held"


def payee_kind(payee: str) -> PayeeKind:
    """Clients are named `client:VENUE:ACCOUNT`, every other payee is a broker."""
    return PayeeKind.CLIENT if payee.startswith(CLIENT_PREFIX) else PayeeKind.BROKER


def payee_of(account: str) -> str | None:
    """The payee that `account` belongs to; None for an operator's account."""
    if account in OPERATOR_ACCOUNTS:
        return None
    return account.removeprefix("payee:").rpartition(":")[0]


def normal_side(account: str) -> Direction:
    """The side on which the balance of `account` grows."""
    return Direction.DEBIT if account in OPERATOR_ACCOUNTS else Direction.CREDIT
