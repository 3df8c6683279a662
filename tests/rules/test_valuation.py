"""What fee was really paid and what volume was traded, in USDT."""

from __future__ import annotations

import pytest

from tests.rules.examples import TERMS, line_of, settles_as, terms, world

CONTRACTS = """
    instrument_type, instrument,      contract_type, contract_value, contract_multiplier, contract_value_currency, settle_currency, quote_currency, effective_from
    SWAP,            BTC-USDT-SWAP,   linear,        0.01,           1,                   BTC,                     USDT,            ,               1970-01-01T00:00:00Z
    SWAP,            BTC-USDT-SWAP,   linear,        0.001,          1,                   BTC,                     USDT,            ,               2026-09-14T08:30:00Z
    SWAP,            ETH-USDC-SWAP,   linear,        0.1,            10,                  ETH,                     USDC,            ,               1970-01-01T00:00:00Z
    SWAP,            BTC-USD-SWAP,    inverse,       100,            1,                   USD,                     BTC,             ,               1970-01-01T00:00:00Z
    FUTURES,         LOOKS-USDT-1,    inverse,       10,             1,                   USD,                     ETH,             ,               1970-01-01T00:00:00Z
    FUTURES,         LOOKS-USD-1,     linear,        10,             1,                   USD,                     USDT,            ,               1970-01-01T00:00:00Z
    OPTION,          BTC-USD-1-2-C,   inverse,       1,              0.01,                BTC,                     BTC,             ,               1970-01-01T00:00:00Z
    OPTION,          BTC-USD-1-3-C,   linear,        1,              0.01,                BTC,                     USDT,            ,               1970-01-01T00:00:00Z
    EVENTS,          RAIN-YES,        ,              1,              1,                   ,                        USDT,            ,               1970-01-01T00:00:00Z
    SPOT,            ETH-BTC,         ,              ,               ,                    ,                        USDC,            ,               1970-01-01T00:00:00Z
    SPOT,            PAIR,            ,              ,               ,                    ,                        BTC,             BTC,            1970-01-01T00:00:00Z
    SPOT,            BOTH-USDT,       ,              ,               ,                    ,                        ,                USDC,           1970-01-01T00:00:00Z
    MARGIN,          BOTH-USDT,       ,              ,               ,                    ,                        ,                USD,            1970-01-01T00:00:00Z
"""
PRICES = """
    currency, ts,                   price_usdt
    BTC,      2026-09-14T07:30:00Z, 100000
    USD,      2026-09-14T07:30:00Z, 0.5
    USDC,     2026-09-14T07:30:00Z, 0.9
    ETH,      2026-09-14T07:30:00Z, 2000
"""
EVENT_RATES = {("events", liquidity, affiliated): TERMS.tiers[0].rates["spot", "taker", False]
               for liquidity in ("maker", "taker") for affiliated in (False, True)}  # fmt: skip
WITH_EVENTS = terms(
    tiers=tuple(
        type(tier)(name=tier.name, min_volume=tier.min_volume, min_clients=tier.min_clients, rates={**tier.rates, **EVENT_RATES})
        for tier in TERMS.tiers
    )
)  # fmt: skip
MARKET = world(WITH_EVENTS, instruments=CONTRACTS, prices=PRICES)


def test_a_charge_is_negative_and_the_fee_in_usdt_is_what_was_charged_times_the_price() -> None:
    settles_as(
        """
        fee,     fee_currency | net_fee_usdt
        -1,      USDT         | 1
        -0.0002, BTC          | 20
        -3,      USDC         | 2.7
        -3,      USD          | 1.5
        """,
        MARKET,
    )


def test_the_fee_is_rounded_half_even_to_twelve_decimals_once_and_that_is_what_is_rated() -> None:
    settles_as(
        """
        fee,                   fee_currency | net_fee_usdt,   commission_usdt
        -0.0000000000005,      USDT         | 0,              0
        -0.000000000000500001, USDT         | 0.000000000001, 0
        -0.0000000000015,      USDT         | 0.000000000002, 0
        -0.0000000000025,      USDT         | 0.000000000002, 0
        -0.000000000001,       USD          | 0,              0
        -0.000000000003,       USD          | 0.000000000002, 0
        -0.0000000000055,      USDT         | 0.000000000006, 0.000000000002
        """,
        MARKET,
    )


def test_the_price_is_the_latest_not_after_execution_and_not_too_old() -> None:
    prices = world(
        terms(max_age_seconds=60),
        prices="""
            currency, ts,                          price_usdt
            BTC,      2026-09-14T08:01:00.000001Z, 3
            BTC,      2026-09-14T08:00:00Z,        1
            BTC,      2026-09-14T08:00:30Z,        2
            BTC,      2026-09-14T09:00:00Z,        9
            ETH,      2026-09-14T08:00:00Z,        7
        """,
    )
    settles_as(
        """
        executed_at                 | reason,        net_fee_usdt, price_id
        2026-09-14T07:59:59.999999Z | PRICE_MISSING, ,
        2026-09-14T08:00:00Z        | ,              1,            2
        2026-09-14T08:00:29.999999Z | ,              1,            2
        2026-09-14T08:00:30Z        | ,              2,            3
        2026-09-14T08:01:00.000001Z | ,              3,            1
        2026-09-14T08:02:00.000001Z | ,              3,            1
        2026-09-14T08:02:00.000002Z | PRICE_MISSING, ,
        """,
        prices,
        fee_currency="BTC",
    )


def test_the_age_that_a_price_may_have_is_that_of_the_terms_in_force() -> None:
    versions = [
        terms(max_age_seconds=3600),
        terms(effective_from=TERMS.effective_from.replace(month=9), max_age_seconds=59),
    ]
    prices = "currency, ts, price_usdt\nBTC, 2026-08-31T23:59:00Z, 1"
    settles_as(
        """
        executed_at          | reason
        2026-08-31T23:59:59Z |
        2026-09-01T00:00:00Z | PRICE_MISSING
        """,
        world(*versions, prices=prices),
        fee_currency="BTC",
    )


def test_only_usdt_needs_no_price() -> None:
    settles_as(
        """
        fee_currency | reason,        price_id
        USDT         | ,
        USDC         | PRICE_MISSING,
        USD          | PRICE_MISSING,
        usdt         | PRICE_MISSING,
        """
    )


def test_a_currency_of_the_notional_without_price_is_missing_too() -> None:
    settles_as(
        """
        instrument, fee_currency | reason
        BTC-USDT,   USDT         |
        BTC-DOGE,   USDT         | PRICE_MISSING
        BTC-USDT,   DOGE         | PRICE_MISSING
        """
    )


def test_the_notional_of_a_pair_is_size_times_price_in_the_quote_currency() -> None:
    settles_as(
        """
        instrument_type, instrument, size, price | reason,             notional_usdt, notional_price_id
        SPOT,            SOL-USDT,   2,    100   | ,                   200,
        MARGIN,          SOL-USDC,   2,    100   | ,                   180,           3
        SPOT,            SOL-BTC,    2,    0.5   | ,                   100000,        1
        SPOT,            PAIR,       2,    0.5   | ,                   100000,        1
        MARGIN,          PAIR,       2,    0.5   | ,                   100000,        1
        SPOT,            BOTH-USDT,  2,    100   | ,                   180,           3
        MARGIN,          BOTH-USDT,  2,    100   | ,                   100,           2
        SPOT,            ETH-BTC,    2,    0.5   | ,                   100000,        1
        SPOT,            SOLUSDT,    2,    100   | INSTRUMENT_UNKNOWN, ,
        SPOT,            SOL-,       2,    100   | INSTRUMENT_UNKNOWN, ,
        SPOT,            -USDT,      2,    100   | INSTRUMENT_UNKNOWN, ,
        SPOT,            SOL-USD-T,  2,    100   | INSTRUMENT_UNKNOWN, ,
        """,
        MARKET,
    )


def test_the_notional_of_a_contract_comes_from_its_instrument_never_from_its_id() -> None:
    settles_as(
        """
        instrument_type, instrument,    size, price  | notional_usdt
        SWAP,            BTC-USDT-SWAP, 2,    100000 | 2000
        SWAP,            ETH-USDC-SWAP, 2,    1000   | 1800
        SWAP,            BTC-USD-SWAP,  2,    100000 | 100
        FUTURES,         LOOKS-USDT-1,  2,    100000 | 10
        FUTURES,         LOOKS-USD-1,   2,    100    | 2000
        OPTION,          BTC-USD-1-2-C, 2,    0.05   | 2000
        OPTION,          BTC-USD-1-3-C, 2,    900    | 2000
        EVENTS,          RAIN-YES,      10,   0.51   | 5.1
        """,
        MARKET,
    )


def test_contract_values_are_those_at_execution() -> None:
    settles_as(
        """
        executed_at                 | notional_usdt
        2026-09-14T08:29:59.999999Z | 20
        2026-09-14T08:30:00Z        | 2
        """,
        MARKET,
        instrument_type="SWAP",
        instrument="BTC-USDT-SWAP",
        size="2",
        price="1000",
    )


def test_a_contract_is_unknown_before_its_first_row_at_another_venue_and_under_another_type() -> None:
    late = world(
        instruments=CONTRACTS.replace("1970-01-01T00:00:00Z", "2026-09-14T08:00:00Z"),
        vip_levels="account, level\n1, 0\n",
    )
    elsewhere = world(vip_levels="venue, account, level\nother, 1, 0", instruments=CONTRACTS)
    swap = {"instrument_type": "SWAP", "instrument": "BTC-USD-SWAP"}
    assert line_of(late, **swap, executed_at="2026-09-14T07:59:59.999999Z").reason == "INSTRUMENT_UNKNOWN"
    assert line_of(elsewhere, **swap, venue="other").reason == "INSTRUMENT_UNKNOWN"
    assert line_of(MARKET, **{**swap, "instrument_type": "FUTURES"}).reason == "INSTRUMENT_UNKNOWN"


def test_the_notional_is_rounded_half_even_once() -> None:
    settles_as(
        """
        instrument, size,            price | notional_usdt
        SOL-USDT,   0.000000000001,  0.5   | 0
        SOL-USDT,   0.000000000003,  0.5   | 0.000000000002
        SOL-USD,    0.000000000006,  0.5   | 0.000000000002
        SOL-USD,    0.000000000006,  0.501 | 0.000000000002
        SOL-USDT,   5,               0     | 0
        """,
        MARKET,
    )


@pytest.mark.parametrize("price", ["9.9", "99999.999999999999999999", "0.999999999999999999", "9"])
def test_prices_just_below_a_power_of_ten_are_taken_as_they_are(price: str) -> None:
    line = line_of(world(prices=f"currency, ts, price_usdt\nBTC, 2026-09-14T08:00:00Z, {price}"), fee_currency="BTC")
    assert line.reason == ""


def test_contract_values_may_have_all_their_decimals() -> None:
    row = "SWAP, S, linear, {0}, {0}, BTC, USDT"
    header = "instrument_type, instrument, contract_type, contract_value, contract_multiplier, contract_value_currency, settle_currency"
    tiny = world(instruments=f"{header}\n{row.format('0.000000000000000001')}")
    long = world(instruments=f"{header}\n{row.format('1.234567890123456789')}")
    swap = {"instrument_type": "SWAP", "instrument": "S", "size": "1000000000000000000", "price": "1"}
    settles_as("fee | notional_usdt\n-1 | 0", tiny, **swap)
    settles_as("fee | notional_usdt\n-1 | 1524157875323883675.019051998750", long, **swap)
