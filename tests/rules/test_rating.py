"""Which part of the net fee is commission: the rate of the root's tier, by product, liquidity and affiliation."""

from __future__ import annotations

from decimal import Decimal

from tests.rules.examples import TERMS, settles_as, terms, world

SWAP = {"instrument_type": "SWAP", "instrument": "BTC-USDT-SWAP"}
CONTRACT = """
    instrument_type, instrument,    contract_type, contract_value, contract_multiplier, contract_value_currency, settle_currency
    SWAP,            BTC-USDT-SWAP, linear,        0.01,           1,                   BTC,                     USDT
    OPTION,          BTC-C,         ,              1,              0.01,                USDT,                    BTC
"""


def test_the_rate_is_by_product_and_liquidity() -> None:
    settles_as(
        """
        instrument_type, instrument,    liquidity | rate, commission_usdt
        SPOT,            BTC-USDT,      maker     | 0.25, 0.25
        MARGIN,          BTC-USDT,      taker     | 0.25, 0.25
        SWAP,            BTC-USDT-SWAP, maker     | 0.2,  0.2
        SWAP,            BTC-USDT-SWAP, taker     | 0.23, 0.23
        OPTION,          BTC-C,         taker     | 0.1,  0.1
        """,
        world(instruments=CONTRACT),
    )


def test_affiliated_comes_from_the_link_in_force_whichever_broker_it_names_else_it_is_false() -> None:
    links = world(
        instruments=CONTRACT,
        clients="""
            account, broker_id, affiliated, effective_from
            1,       alpha,     true,       2026-01-01T00:00:00Z
            1,       beta,      true,       2026-09-14T08:30:00Z
            1,       alpha,     false,      2026-09-14T08:45:00Z
        """,
    )
    settles_as(
        """
        executed_at,          account, liquidity | rate
        2026-09-14T08:00:00Z, 1,       taker     | 0.075
        2026-09-14T08:00:00Z, 1,       maker     | 0.05
        2026-09-14T08:30:00Z, 1,       taker     | 0.075
        2026-09-14T08:45:00Z, 1,       taker     | 0.23
        2026-09-14T08:45:00Z, 2,       taker     | 0.23
        """,
        links,
        **SWAP,
    )
    settles_as("executed_at | rate\n2026-09-14T08:00:00Z | 0.25", links)


def test_the_tier_is_that_of_the_root_not_of_the_broker_attributed() -> None:
    settles_as(
        """
        tag   | tier, rate
        ALPHA | T2,   0.3
        ONE   | T2,   0.3
        X     | T2,   0.3
        BETA  | T1,   0.25
        """,
        world(tiers="broker_id, tier\nalpha, T2\nalpha-1, T1"),
    )


def test_an_override_in_force_beats_reviews_until_it_ends_and_a_review_beats_the_entry_tier() -> None:
    tiers = world(
        terms(entry_tier="T2"),
        tiers="""
            broker_id, tier, effective_from,       effective_to
            alpha,     T2,   2026-09-14T08:10:00Z, 2026-09-14T08:20:00Z
            alpha,     T1,   2026-09-14T08:30:00Z,
            alpha,     T2,   2026-09-14T08:40:00Z, 2026-09-14T08:50:00Z
        """,
        reviews="""
            broker_id, tier, effective_from
            alpha,     T1,   2026-09-14T08:00:00Z
            alpha,     T2,   2026-09-14T08:25:00Z
            alpha,     T1,   2026-09-14T08:45:00Z
        """,
    )
    settles_as(
        """
        executed_at                 | tier
        2026-09-14T07:59:59.999999Z | T2
        2026-09-14T08:00:00Z        | T1
        2026-09-14T08:10:00Z        | T2
        2026-09-14T08:20:00Z        | T1
        2026-09-14T08:25:00Z        | T2
        2026-09-14T08:30:00Z        | T1
        2026-09-14T08:49:59.999999Z | T2
        2026-09-14T08:50:00Z        | T1
        """,
        tiers,
    )


def test_the_terms_are_those_in_force_at_execution() -> None:
    second = terms(terms_id=2, effective_from=TERMS.effective_from.replace(month=9, day=14, hour=8), entry_tier="T2")
    settles_as(
        """
        executed_at                 | terms_id, tier, rate
        2026-09-14T07:59:59.999999Z | 1,        T1,   0.25
        2026-09-14T08:00:00Z        | 2,        T2,   0.3
        """,
        world(TERMS, second),
    )


def test_a_broker_that_moves_to_another_root_is_rated_by_that_root_from_then_on() -> None:
    tree = world(
        brokers="""
            broker_id, parent_id, share, status, effective_from
            alpha,     ,          ,      active, 2026-01-01T00:00:00Z
            beta,      ,          ,      active, 2026-01-01T00:00:00Z
            alpha-1,   alpha,     0.4,   active, 2026-01-01T00:00:00Z
            alpha-1,   beta,      0.5,   active, 2026-09-14T08:30:00Z
            alpha-1,   ,          ,      active, 2026-09-14T08:45:00Z
        """,
        tiers="broker_id, tier\nbeta, T2",
    )
    settles_as(
        """
        executed_at          | tier, rate, shares
        2026-09-14T08:00:00Z | T1,   0.25, alpha=0.15 alpha-1=0.1
        2026-09-14T08:30:00Z | T2,   0.3,  beta=0.15 alpha-1=0.15
        2026-09-14T08:45:00Z | T1,   0.25, alpha-1=0.25
        """,
        tree,
        tag="ONE",
    )


def test_the_commission_is_rounded_half_even_to_twelve_decimals() -> None:
    settles_as(
        """
        fee             | commission_usdt
        -0.000000000002 | 0
        -0.000000000006 | 0.000000000002
        -0.00000000001  | 0.000000000002
        -0.000000000003 | 0.000000000001
        -0.123456789012 | 0.030864197253
        """
    )


def test_a_rate_of_zero_earns_nothing_but_earns() -> None:
    free = {key: Decimal(0) for key in TERMS.tiers[0].rates}
    tiers = tuple(type(tier)(name=tier.name, min_volume={}, min_clients={}, rates=free) for tier in TERMS.tiers)
    settles_as("fee | status, reason, commission_usdt, shares\n-1 | earned, , 0,", world(terms(tiers=tiers)))
