from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.payouts.planning import PayoutStatus, floor_to_quantum, plan_payouts
from settlement.rules.facts import PayoutTerms

TERMS = PayoutTerms(minimum=Decimal(10), quantum=Decimal("0.000001"), auto_approve_limit=Decimal(1000), hold_hours=0)

# mature, instructed, status
CASES = [
    ("9.999999999999", None, None),
    ("10", "10", "approved"),
    ("10.000000999999", "10", "approved"),
    ("10.000001", "10.000001", "approved"),
    ("1000", "1000", "approved"),
    ("1000.0000009", "1000", "approved"),
    ("1000.000001", "1000.000001", "waiting"),
    ("0", None, None),
    ("-50", None, None),
    ("1234567890123456789.123456789012", "1234567890123456789.123456", "waiting"),
]


@pytest.mark.parametrize(("mature", "amount", "status"), CASES)
def test_a_balance_becomes_one_instruction_or_none(mature: str, amount: str | None, status: str | None) -> None:
    planned = plan_payouts({"beta": Decimal(mature)}, terms=TERMS)
    expected = [] if amount is None or status is None else [(Decimal(amount), PayoutStatus(status))]
    assert [(payout.amount, payout.status) for payout in planned] == expected


def test_the_floored_amount_is_what_the_minimum_is_compared_with() -> None:
    terms = PayoutTerms(minimum=Decimal("10.5"), quantum=Decimal(1), auto_approve_limit=Decimal(1000), hold_hours=0)
    assert plan_payouts({"beta": Decimal("10.9")}, terms=terms) == []
    assert [payout.amount for payout in plan_payouts({"beta": Decimal("11.9")}, terms=terms)] == [Decimal(11)]


def test_a_payees_own_minimum_counts_instead_of_the_terms_whether_higher_or_lower() -> None:
    mature = {name: Decimal(12) for name in ("alpha", "beta", "gamma")}
    planned = plan_payouts(mature, terms=TERMS, minimums={"alpha": Decimal("12.01"), "beta": Decimal(12)})
    assert [payout.payee for payout in planned] == ["beta", "gamma"]
    assert [
        payout.amount for payout in plan_payouts({"beta": Decimal(1)}, terms=TERMS, minimums={"beta": Decimal(0)})
    ] == [1]


def test_nothing_is_never_instructed_even_without_a_minimum() -> None:
    terms = PayoutTerms(minimum=Decimal(0), quantum=Decimal("0.01"), auto_approve_limit=Decimal(0), hold_hours=0)
    assert plan_payouts({"beta": Decimal(0), "gamma": Decimal("0.009")}, terms=terms) == []


def test_payees_come_in_the_order_of_their_names() -> None:
    planned = plan_payouts({name: Decimal(20) for name in ("gamma", "alpha", "beta")}, terms=TERMS)
    assert [payout.payee for payout in planned] == ["alpha", "beta", "gamma"]


@given(
    st.decimals(min_value="0", max_value="1e15", places=12),
    st.sampled_from([Decimal("0.000000000001"), Decimal("0.000001"), Decimal("0.01"), Decimal("0.05"), Decimal(5)]),
)
def test_the_floor_is_the_greatest_multiple_that_is_not_above(amount: Decimal, quantum: Decimal) -> None:
    floored = floor_to_quantum(amount, quantum)
    assert floored <= amount < floored + quantum
    assert floored % quantum == 0
