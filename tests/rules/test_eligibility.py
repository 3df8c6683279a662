"""Does the fill earn: fifteen reasons in their order, and where each begins and ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from settlement.rules.facts import Terms
from settlement.rules.reasons import Reason, Status
from tests.rules.examples import NO_TERMS, ORDINARY_WORLD, TERMS, line_of, settles_as, terms, world
from tests.rules.reference import Row, World

# One fault for each reason. A fill of okx:9001 under the code ALPHA is the broker's own account.
FAULTY_FILL: dict[Reason, Row] = {
    Reason.UNATTRIBUTED: {"tag": "OLD"},
    Reason.SYSTEM_TRADE: {"sub_type": "101"},
    Reason.NON_API_CHANNEL: {"channel": "web"},
    Reason.OWN_ACCOUNT: {"account": "9001"},
    Reason.PRODUCT_NOT_COVERED: {"instrument_type": "EVENTS"},
    Reason.FEE_DISCOUNT: {"fee_discount": "card"},
    Reason.NO_NET_FEE: {"fee": "0"},
    Reason.INSTRUMENT_UNKNOWN: {"instrument": "BTCUSDT"},
    Reason.PRICE_MISSING: {"fee_currency": "DOGE"},
}
FAULTY_WORLD = {
    Reason.BROKER_INACTIVE: {"brokers": "broker_id, status, own_accounts\nalpha, suspended, okx:9001"},
    Reason.VIP_UNKNOWN: {"vip_levels": "account, level\n7, 0"},
    Reason.VIP_EXCLUDED: {"vip_levels": "account, level\n1, 6\n9001, 6"},
    Reason.ACCOUNT_EXCLUDED: {"clients": "account, broker_id, account_class\n1, alpha, msa\n9001, alpha, msa"},
    Reason.TIER_UNKNOWN: {"tiers": "broker_id, tier\nalpha, T9"},
}
# What cannot go together: an unattributed fill has no broker that could be inactive or own the account, and no link;
# without terms there is nothing that excludes; no VIP level is not a high one.
IMPOSSIBLE = {
    (Reason.UNATTRIBUTED, Reason.BROKER_INACTIVE),
    (Reason.UNATTRIBUTED, Reason.OWN_ACCOUNT),
    (Reason.UNATTRIBUTED, Reason.ACCOUNT_EXCLUDED),
    (Reason.VIP_UNKNOWN, Reason.VIP_EXCLUDED),
    *((Reason.TERMS_MISSING, later) for later in Reason if later > Reason.TERMS_MISSING),
}
# The cap looks at all lines of a month: test_cap.py.
REASONS = [reason for reason in Reason if reason not in {Reason.EARNED, Reason.CAP_REACHED}]
PAIRS = [
    (first, second) for first in REASONS for second in REASONS if first < second and (first, second) not in IMPOSSIBLE
]


def world_with(*faults: Reason) -> World:
    faulty = {name: text for fault in faults for name, text in FAULTY_WORLD.get(fault, {}).items()}
    versions: tuple[Terms, ...] = () if Reason.TERMS_MISSING in faults else (TERMS,)
    return replace(world(**faulty), terms=versions)


def fill_with(*faults: Reason) -> Row:
    return {name: value for fault in faults for name, value in FAULTY_FILL.get(fault, {}).items()}


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.name)
def test_each_fault_alone_gives_its_reason(reason: Reason) -> None:
    assert line_of(world_with(reason), **fill_with(reason)).reason == reason.name


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=lambda reason: reason.name)
def test_a_reason_beats_every_later_one(first: Reason, second: Reason) -> None:
    assert line_of(world_with(first, second), **fill_with(first, second)).reason == first.name


def test_missing_facts_leave_a_line_pending_and_everything_else_is_final() -> None:
    pending = {"TERMS_MISSING", "VIP_UNKNOWN", "TIER_UNKNOWN", "INSTRUMENT_UNKNOWN", "PRICE_MISSING"}
    assert {reason.name for reason in REASONS if reason.status == Status.PENDING} == pending
    final = [reason for reason in (*REASONS, Reason.CAP_REACHED) if reason.name not in pending]
    assert {reason.status for reason in final} == {Status.EXCLUDED}


def test_system_trades_are_those_of_the_venues_list() -> None:
    settles_as(
        """
        sub_type, venue | reason
        99,       okx   |
        100,      okx   | SYSTEM_TRADE
        128,      okx   | SYSTEM_TRADE
        129,      okx   |
        211,      okx   |
        212,      okx   | SYSTEM_TRADE
        213,      okx   | SYSTEM_TRADE
        214,      okx   |
        323,      okx   |
        324,      okx   | SYSTEM_TRADE
        329,      okx   | SYSTEM_TRADE
        330,      okx   |
        375,      okx   |
        376,      okx   | SYSTEM_TRADE
        377,      okx   | SYSTEM_TRADE
        378,      okx   |
        10,       okx   |
        1000,     okx   |
        ,         okx   |
        100,      other | VIP_UNKNOWN
        """
    )


def test_a_system_trade_needs_no_liquidity() -> None:
    assert line_of(sub_type="104", liquidity="").reason == "SYSTEM_TRADE"


def test_a_fill_came_through_the_api_if_it_says_so_or_says_nothing_and_carries_a_code() -> None:
    linked = world(
        codes="""
            code,  broker_id, effective_from,       effective_to
            ALPHA, alpha,     2026-01-01T00:00:00Z,
            OLD,   alpha,     2026-01-01T00:00:00Z, 2026-02-01T00:00:00Z
            LATER, alpha,     2027-01-01T00:00:00Z,
        """,
        clients="account, broker_id\n1, beta",
    )
    settles_as(
        """
        channel, tag   | broker_id, reason
        api,           | beta,
        api,     ALPHA | alpha,
        ,        ALPHA | alpha,
        unknown, ALPHA | alpha,
        ,        OLD   | beta,
        unknown, LATER | beta,
        ,              | beta,      NON_API_CHANNEL
        unknown, alpha | beta,      NON_API_CHANNEL
        web,     ALPHA | alpha,     NON_API_CHANNEL
        app,     ALPHA | alpha,     NON_API_CHANNEL
        """,
        linked,
    )


def test_the_broker_and_everybody_above_it_must_be_active_at_execution() -> None:
    tree = world(
        brokers="""
            broker_id, parent_id, share, status,    effective_from,       effective_to
            alpha,     ,          ,      active,    2026-01-01T00:00:00Z, 2026-09-14T09:00:00Z
            alpha,     ,          ,      suspended, 2026-09-14T08:30:00Z, 2026-09-14T08:45:00Z
            alpha-1,   alpha,     0.4,   active,    2026-01-01T00:00:00Z,
            alpha-1-x, alpha-1,   0.3,   closed,    2026-01-01T00:00:00Z,
            beta,      gone,      0.1,   active,    2026-01-01T00:00:00Z,
        """
    )
    settles_as(
        """
        tag,   executed_at                 | broker_id, reason
        ALPHA, 2026-09-14T08:29:59.999999Z | alpha,
        ALPHA, 2026-09-14T08:30:00Z        | alpha,     BROKER_INACTIVE
        ALPHA, 2026-09-14T08:45:00Z        | alpha,     BROKER_INACTIVE
        ALPHA, 2025-12-31T23:59:59Z        | ,          UNATTRIBUTED
        ONE,   2026-09-14T08:29:59.999999Z | alpha-1,
        ONE,   2026-09-14T08:30:00Z        | alpha-1,   BROKER_INACTIVE
        X,     2026-09-14T08:00:00Z        | alpha-1-x, BROKER_INACTIVE
        BETA,  2026-09-14T08:00:00Z        | beta,      BROKER_INACTIVE
        """,
        tree,
    )


def test_a_brokers_own_account_earns_nothing_for_it_or_below_it_but_does_for_its_parent() -> None:
    settles_as(
        """
        account, tag   | broker_id, reason,      shares
        9001,    ALPHA | alpha,     OWN_ACCOUNT,
        9001,    X     | alpha-1-x, OWN_ACCOUNT,
        9002,    ONE   | alpha-1,   OWN_ACCOUNT,
        9002,    X     | alpha-1-x, OWN_ACCOUNT,
        9002,    ALPHA | alpha,     ,            alpha=0.25
        9001,    BETA  | beta,      ,            beta=0.25
        """
    )


def test_own_accounts_are_of_a_venue_and_change_with_the_brokers_row() -> None:
    tree = world(
        brokers="""
            broker_id, status, own_accounts,  effective_from
            alpha,     active, other:1;okx:3, 2026-01-01T00:00:00Z
            alpha,     active, okx:1,         2026-09-14T08:00:00Z
        """
    )
    settles_as(
        """
        executed_at                 | reason
        2026-09-14T07:59:59.999999Z |
        2026-09-14T08:00:00Z        | OWN_ACCOUNT
        """,
        tree,
    )


def test_terms_are_in_force_from_their_first_instant() -> None:
    settles_as(
        """
        executed_at                 | reason
        2026-09-14T07:59:59.999999Z | TERMS_MISSING
        2026-09-14T08:00:00Z        |
        """,
        world(terms(effective_from=TERMS.effective_from.replace(month=9, day=14, hour=8))),
    )
    settles_as("tag | reason\nALPHA | TERMS_MISSING", NO_TERMS)


def test_a_vip_level_above_the_terms_limit_earns_nothing_from_the_instant_it_holds() -> None:
    levels = world(
        vip_levels="""
            account, level, effective_from
            1,       5,     2026-09-14T08:00:00Z
            1,       6,     2026-09-14T08:30:00Z
            1,       0,     2026-09-14T08:45:00Z
        """
    )
    settles_as(
        """
        executed_at                 | reason
        2026-09-14T07:59:59.999999Z | VIP_UNKNOWN
        2026-09-14T08:00:00Z        |
        2026-09-14T08:29:59.999999Z |
        2026-09-14T08:30:00Z        | VIP_EXCLUDED
        2026-09-14T08:45:00Z        |
        """,
        levels,
    )
    settles_as("executed_at | reason\n2026-09-14T08:30:00Z |", replace(levels, terms=(terms(max_vip=6),)))


def test_the_account_class_comes_from_the_link_in_force_whichever_broker_it_names() -> None:
    links = world(
        clients="""
            account, broker_id, account_class, effective_from
            1,       beta,      msa,           2026-01-01T00:00:00Z
            1,       alpha,     MSA,           2026-09-14T08:30:00Z
        """
    )
    settles_as(
        """
        tag,   executed_at          | broker_id, reason
        ALPHA, 2026-09-14T08:00:00Z | alpha,     ACCOUNT_EXCLUDED
        ,      2026-09-14T08:00:00Z | beta,      ACCOUNT_EXCLUDED
        ALPHA, 2026-09-14T08:30:00Z | alpha,
        """,
        links,
    )


def test_the_product_is_always_filled_and_must_be_rated_by_the_terms() -> None:
    settles_as(
        """
        instrument_type | product, reason
        SPOT            | spot,
        MARGIN          | spot,
        SWAP            | futures, INSTRUMENT_UNKNOWN
        FUTURES         | futures, INSTRUMENT_UNKNOWN
        OPTION          | options, INSTRUMENT_UNKNOWN
        EVENTS          | events,  PRODUCT_NOT_COVERED
        """
    )
    settles_as("instrument_type | product, reason\nSWAP | futures, UNATTRIBUTED", tag="")


SCHEDULED = world(
    fee_rates="""
        account, product, liquidity, rate,    effective_from
        1,       spot,    taker,     -0.001,  2026-01-01T00:00:00Z
        1,       spot,    taker,     -0.0009, 2026-09-14T08:30:00Z
        1,       spot,    maker,     0.0001,  2026-01-01T00:00:00Z
    """
)


def test_a_fee_discount_shows_by_its_name_by_a_rebate_or_by_a_better_rate_than_scheduled() -> None:
    settles_as(
        """
        fee_discount, fee_rebate, fee_rate,  liquidity | reason
        ,             ,           ,          taker     |
        card,         ,           ,          taker     | FEE_DISCOUNT
        ,             0.1,        ,          taker     | FEE_DISCOUNT
        ,             0,          ,          taker     |
        ,             ,           -0.00099,  taker     | FEE_DISCOUNT
        ,             ,           0,         taker     | FEE_DISCOUNT
        ,             ,           -0.001000, taker     |
        ,             ,           -0.002,    taker     |
        ,             ,           0.0001,    maker     |
        ,             ,           0.00011,   maker     | FEE_DISCOUNT
        """,
        SCHEDULED,
    )


def test_the_scheduled_rate_is_that_in_force_for_the_account_the_product_and_the_liquidity() -> None:
    settles_as(
        """
        account, instrument_type, liquidity, executed_at                 | reason
        1,       SPOT,            taker,     2026-09-14T08:29:59.999999Z | FEE_DISCOUNT
        1,       SPOT,            taker,     2026-09-14T08:30:00Z        |
        1,       MARGIN,          taker,     2026-09-14T08:00:00Z        | FEE_DISCOUNT
        1,       SWAP,            taker,     2026-09-14T08:00:00Z        | INSTRUMENT_UNKNOWN
        2,       SPOT,            taker,     2026-09-14T08:00:00Z        |
        1,       SPOT,            taker,     2025-12-31T23:59:59Z        | UNATTRIBUTED
        """,
        SCHEDULED,
        fee_rate="-0.0009",
    )


def test_terms_that_net_keep_the_fill_and_subtract_the_rebate() -> None:
    settles_as(
        """
        fee,  fee_rebate, fee_discount | reason,     net_fee_usdt, commission_usdt
        -1,   0.25,                    | ,           0.75,         0.1875
        -1,   ,           card         | ,           1,            0.25
        -1,   1,                       | NO_NET_FEE, ,
        -1,   1.5,                     | NO_NET_FEE, ,
        """,
        world(terms(fee_discount="net")),
    )


def test_a_maker_rebate_and_a_zero_fee_earn_nothing_and_never_reduce_another_fill() -> None:
    settles_as(
        """
        fee                   | reason,     net_fee_usdt
        -0.000000000000000001 | ,           0
        0                     | NO_NET_FEE,
        0.0001493             | NO_NET_FEE,
        -1                    | ,           1
        """
    )


def test_no_net_fee_is_judged_in_the_fee_currency_so_it_needs_no_price() -> None:
    settles_as("fee, fee_currency | reason\n0, DOGE | NO_NET_FEE\n-1, DOGE | PRICE_MISSING")


def test_an_unknown_tier_is_that_of_the_root_under_the_terms_in_force() -> None:
    tiers = world(
        TERMS,
        terms(terms_id=2, effective_from=TERMS.effective_from.replace(month=9), tiers=TERMS.tiers[:1]),
        tiers="broker_id, tier\nalpha, T2\nalpha-1, T9",
    )
    settles_as(
        """
        tag,   executed_at          | reason,       tier
        ONE,   2026-08-31T23:59:59Z | ,             T2
        ONE,   2026-09-01T00:00:00Z | TIER_UNKNOWN,
        BETA,  2026-09-01T00:00:00Z | ,             T1
        """,
        tiers,
    )


def test_the_ordinary_fill_earns() -> None:
    assert line_of(ORDINARY_WORLD).status == "earned"
