from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.ledger import entries
from settlement.ledger.chart import Direction, PayeeKind, normal_side, payee_kind, payee_of
from settlement.ledger.entries import Entry, Leg, content_digest

WINDOW = datetime(2026, 9, 14, 6, tzinfo=UTC)
LATER = datetime(2026, 9, 14, 8, 5, tzinfo=UTC)
AMOUNT = Decimal("12.5")

# act, debit, credit
ACTS = {
    "earned": (
        entries.earned(run_id=1, root="alpha", payee="beta", amount=AMOUNT, window_start=WINDOW),
        *("operator:commission_expense", "payee:beta:payable"),
    ),
    "correction upwards": (
        entries.correction(
            run_id=2, root="alpha", payee="beta", amount=AMOUNT, window_start=WINDOW, inputs_digest="d1"
        ),
        *("operator:commission_expense", "payee:beta:payable"),
    ),
    "correction downwards": (
        entries.correction(
            run_id=2, root="alpha", payee="beta", amount=-AMOUNT, window_start=WINDOW, inputs_digest="d1"
        ),
        *("payee:beta:payable", "operator:commission_expense"),
    ),
    "instructed": (
        entries.payout_instructed(payout_key="p", payee="beta", amount=AMOUNT, effective_at=LATER, run_id=1),
        *("payee:beta:payable", "payee:beta:in_flight"),
    ),
    "confirmed": (
        entries.payout_confirmed(payout_key="p", payee="beta", amount=AMOUNT, effective_at=LATER),
        *("payee:beta:in_flight", "operator:treasury_usdt"),
    ),
    "failed": (
        entries.payout_failed(payout_key="p", payee="beta", amount=AMOUNT, effective_at=LATER),
        *("payee:beta:in_flight", "payee:beta:payable"),
    ),
    "cancelled": (
        entries.payout_cancelled(payout_key="p", payee="beta", amount=AMOUNT, effective_at=LATER),
        *("payee:beta:in_flight", "payee:beta:payable"),
    ),
    "held": (
        entries.held(hold_key="h", payee="beta", amount=AMOUNT, effective_at=LATER),
        *("payee:beta:payable", "payee:beta:held"),
    ),
    "released": (
        entries.released(hold_key="h", payee="beta", amount=AMOUNT, effective_at=LATER),
        *("payee:beta:held", "payee:beta:payable"),
    ),
}


@pytest.mark.parametrize("act", ACTS)
def test_each_act_moves_its_amount_from_one_account_to_another(act: str) -> None:
    entry, debit, credit = ACTS[act]
    assert entry.legs == (Leg(debit, Direction.DEBIT, AMOUNT), Leg(credit, Direction.CREDIT, AMOUNT))


def test_two_payees_and_two_roots_of_one_run_never_share_a_key() -> None:
    keys = {
        entries.earned(run_id=1, root=root, payee=payee, amount=AMOUNT, window_start=WINDOW).idempotency_key
        for root in ("alpha", "beta")
        for payee in ("beta", "gamma")
    }
    assert len(keys) == 4


def test_a_correction_from_other_inputs_has_another_key() -> None:
    first, second = (
        entries.correction(
            run_id=2, root="alpha", payee="beta", amount=AMOUNT, window_start=WINDOW, inputs_digest=digest
        )
        for digest in ("d1", "d2")
    )
    assert first.idempotency_key != second.idempotency_key


@pytest.mark.parametrize(
    "amount", ["0", "-1", "NaN", "sNaN", "Infinity", "-Infinity", "1.0000000000001", "0.0000000000009"]
)
def test_a_leg_refuses_what_is_no_ledger_amount(amount: str) -> None:
    with pytest.raises(ValueError, match=r"amount"):
        Leg("payee:beta:payable", Direction.CREDIT, Decimal(amount))


@pytest.mark.parametrize(
    "amount", ["0.000000000001", "1.50000000000000000", "123456789012345678901234567890.123456789012"]
)
def test_a_leg_takes_twelve_decimals_of_any_size(amount: str) -> None:
    assert Leg("payee:beta:payable", Direction.CREDIT, Decimal(amount)).amount == Decimal(amount)


def test_a_key_is_one_line() -> None:
    with pytest.raises(ValueError, match="one line"):
        entries.held(hold_key="a\nb", payee="beta", amount=AMOUNT, effective_at=LATER)


def test_the_digest_tells_content_not_its_spelling() -> None:
    def digest(amount: str, moment: datetime) -> bytes:
        return content_digest(entries.held(hold_key="h", payee="beta", amount=Decimal(amount), effective_at=moment))

    elsewhere = LATER.astimezone(timezone(timedelta(hours=8)))
    assert digest("1.5", LATER) == digest("1.500000000000", LATER) == digest("1.5", elsewhere)
    assert digest("1.5", LATER) != digest("1.6", LATER)
    assert digest("1.5", LATER) != digest("1.5", LATER + timedelta(microseconds=1))


@given(st.decimals(min_value="0.000000000001", max_value="1e20", places=12))
def test_a_correction_and_its_reverse_cancel_out(amount: Decimal) -> None:
    forth, back = (
        entries.correction(run_id=2, root="alpha", payee="beta", amount=signed, window_start=WINDOW, inputs_digest="d")
        for signed in (amount, amount.copy_negate())
    )
    assert _effect(forth, "payee:beta:payable") == amount
    assert _effect(back, "payee:beta:payable") == amount.copy_negate()


def test_the_chart_knows_whose_an_account_is() -> None:
    assert payee_of("payee:client:okx:77:in_flight") == "client:okx:77"
    assert payee_of("operator:treasury_usdt") is None
    assert payee_kind("client:okx:77") is PayeeKind.CLIENT
    assert payee_kind("beta") is PayeeKind.BROKER
    assert normal_side("operator:treasury_usdt") is Direction.DEBIT
    assert normal_side("payee:beta:payable") is Direction.CREDIT


def _effect(entry: Entry, account: str) -> Decimal:
    (leg,) = (leg for leg in entry.legs if leg.account == account)
    return leg.amount if leg.direction is Direction.CREDIT else leg.amount.copy_negate()
