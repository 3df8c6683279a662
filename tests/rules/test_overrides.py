"""What a root has of its own: its rate instead of its tier's, and the floor that the terms' rate never falls below."""

from __future__ import annotations

import pytest

from settlement.rules.overrides import value_of
from tests.rules.examples import TERMS, settles_as, terms, world
from tests.rules.outcomes import facts_in
from tests.rules.reference import World

SWAP = {"instrument_type": "SWAP", "instrument": "BTC-USDT-SWAP"}
CONTRACT = """
    instrument_type, instrument,    contract_type, contract_value, contract_multiplier, contract_value_currency, settle_currency
    SWAP,            BTC-USDT-SWAP, linear,        0.01,           1,                   BTC,                     USDT
"""


def test_the_roots_own_rate_counts_instead_of_its_tiers_for_everybody_below_it() -> None:
    settles_as(
        """
        tag   | tier, rate, commission_usdt, shares
        ALPHA | T1,   0.4,  0.4,             alpha=0.4
        ONE   | T1,   0.4,  0.4,             alpha=0.24 alpha-1=0.16
        BETA  | T1,   0.25, 0.25,            beta=0.25
        """,
        world(
            overrides="""
                broker_id, kind, product, liquidity, value
                alpha,     rate, all,     all,       0.4
                alpha-1,   rate, all,     all,       0.9
            """
        ),
    )


def test_the_narrowest_of_those_in_force_counts_its_product_before_its_liquidity() -> None:
    settles_as(
        """
        instrument_type, instrument,    liquidity, executed_at          | rate
        SPOT,            BTC-USDT,      maker,     2026-09-14T08:00:00Z | 0.2
        SPOT,            BTC-USDT,      taker,     2026-09-14T08:00:00Z | 0.1
        SWAP,            BTC-USDT-SWAP, maker,     2026-09-14T08:00:00Z | 0.3
        SWAP,            BTC-USDT-SWAP, taker,     2026-09-14T08:00:00Z | 0.4
        SWAP,            BTC-USDT-SWAP, taker,     2026-09-14T08:30:00Z | 0.3
        SWAP,            BTC-USDT-SWAP, maker,     2026-09-14T08:45:00Z | 0.2
        SWAP,            BTC-USDT-SWAP, taker,     2026-09-14T08:45:00Z | 0.1
        """,
        world(
            instruments=CONTRACT,
            overrides="""
                broker_id, kind, product, liquidity, value, effective_to
                alpha,     rate, all,     all,       0.1,
                alpha,     rate, all,     maker,     0.2,
                alpha,     rate, futures, all,       0.3,   2026-09-14T08:45:00Z
                alpha,     rate, futures, taker,     0.4,   2026-09-14T08:30:00Z
            """,
        ),
    )


def test_an_own_rate_holds_for_affiliated_clients_too() -> None:
    own = world(
        instruments=CONTRACT,
        clients="account, broker_id, affiliated\n1, alpha, true",
        overrides="broker_id, kind, product, liquidity, value\nalpha, rate, futures, all, 0.22",
    )
    settles_as("account | rate\n1 | 0.22\n2 | 0.22", own, **SWAP)


def test_the_terms_rate_never_falls_below_the_floor_but_an_own_rate_may() -> None:
    settles_as(
        """
        executed_at                 | rate
        2026-09-14T07:59:59.999999Z | 0.25
        2026-09-14T08:00:00Z        | 0.26
        2026-09-14T08:10:00Z        | 0.25
        2026-09-14T08:20:00Z        | 0
        2026-09-14T08:30:00Z        | 0.27
        """,
        world(
            overrides="""
                broker_id, kind,  product, liquidity, value, effective_from,       effective_to
                alpha,     floor, all,     all,       0.26,  2026-09-14T08:00:00Z, 2026-09-14T08:10:00Z
                alpha,     floor, all,     all,       0.24,  2026-09-14T08:10:00Z,
                alpha,     floor, all,     all,       0.27,  2026-09-14T08:20:00Z,
                alpha,     rate,  spot,    all,       0,     2026-09-14T08:20:00Z, 2026-09-14T08:30:00Z
            """
        ),
    )


def test_an_own_rate_outlives_the_terms_and_the_tier_it_was_agreed_under() -> None:
    second = terms(terms_id=2, effective_from=TERMS.effective_from.replace(month=9, day=14, hour=8), entry_tier="T2")
    settles_as(
        """
        executed_at                 | terms_id, tier, rate
        2026-09-14T07:59:59.999999Z | 1,        T1,   0.5
        2026-09-14T08:00:00Z        | 2,        T2,   0.5
        """,
        world(TERMS, second, overrides="broker_id, kind, product, liquidity, value\nalpha, rate, all, all, 0.5"),
    )


def test_it_is_the_root_at_execution_that_counts() -> None:
    moved = world(
        brokers="""
            broker_id, parent_id, share, status, effective_from
            alpha,     ,          ,      active, 2026-01-01T00:00:00Z
            beta,      ,          ,      active, 2026-01-01T00:00:00Z
            alpha-1,   alpha,     0.4,   active, 2026-01-01T00:00:00Z
            alpha-1,   beta,      0.5,   active, 2026-09-14T08:30:00Z
            alpha-1,   ,          ,      active, 2026-09-14T08:45:00Z
        """,
        overrides="""
            broker_id, kind, product, liquidity, value
            beta,      rate, all,     all,       0.6
            alpha-1,   rate, all,     all,       0.7
        """,
    )
    settles_as(
        """
        executed_at          | rate
        2026-09-14T08:00:00Z | 0.25
        2026-09-14T08:30:00Z | 0.6
        2026-09-14T08:45:00Z | 0.7
        """,
        moved,
        tag="ONE",
    )


def test_an_override_changes_what_a_fill_earns_never_whether_it_does() -> None:
    own = "broker_id, kind, product, liquidity, value\nalpha, rate, all, all, 0.5\nbeta, rate, all, all, 0.5"
    settles_as(
        """
        instrument_type, instrument, tag   | status,   reason
        EVENTS,          RAIN,       ALPHA | excluded, PRODUCT_NOT_COVERED
        SPOT,            BTC-USDT,   BETA  | pending,  TIER_UNKNOWN
        """,
        world(overrides=own, tiers="broker_id, tier\nbeta, T9"),
    )


@pytest.mark.parametrize("written", ["0", "1", "0.3", "500", "0.000001", "12345678901234567890.123456789012"])
def test_a_value_is_read_as_it_was_written_however_long(written: str) -> None:
    row = {"broker_id": "alpha", "kind": "cap", "product": "all", "liquidity": "all", "value": written}
    facts = facts_in(World(overrides=[{**row, "effective_from": "2026-01-01T00:00:00Z"}]))
    assert str(value_of(facts, 0)) == written
    assert value_of(facts, -1) is None


def test_caps_and_smallest_payouts_do_not_touch_the_rate() -> None:
    settles_as(
        "fee | rate\n-1 | 0.25",
        world(
            overrides="""
                broker_id, kind,           product, liquidity, value
                alpha,     cap,            all,     all,       0.5
                alpha,     minimum_payout, all,     all,       0.5
            """
        ),
    )
