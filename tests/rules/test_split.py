"""Who gets which part of a commission: floor12 down the path, and each parent keeps the rest."""

from __future__ import annotations

from decimal import Decimal

from settlement.rules.split import Split, parts
from tests.rules.examples import settles_as, world

LINKED = world(
    clients="""
        account, broker_id, rebate_share, effective_from
        1,       alpha-1,   0.5,          2026-01-01T00:00:00Z
        2,       beta,      0.1,          2026-01-01T00:00:00Z
        2,       beta,      0,            2026-09-14T08:30:00Z
        2,       beta,      1,            2026-09-14T08:40:00Z
        2,       beta,      ,             2026-09-14T08:50:00Z
    """
)


def test_each_child_receives_its_share_of_what_its_parent_received() -> None:
    settles_as(
        """
        fee, tag   | commission_usdt, shares
        -4,  ALPHA | 1,               alpha=1
        -4,  ONE   | 1,               alpha=0.6 alpha-1=0.4
        -4,  X     | 1,               alpha=0.6 alpha-1=0.26668 alpha-1-x=0.13332
        -4,  BETA  | 1,               beta=1
        """
    )


def test_what_the_floor_leaves_stays_with_the_parent() -> None:
    settles_as(
        """
        fee             | commission_usdt, shares
        -0.000000000012 | 0.000000000003,  alpha=0.000000000002 alpha-1=0.000000000001
        -0.000000000008 | 0.000000000002,  alpha=0.000000000002
        -0.000000000036 | 0.000000000009,  alpha=0.000000000006 alpha-1=0.000000000003
        -0.00000000004  | 0.00000000001,   alpha=0.000000000006 alpha-1=0.000000000003 alpha-1-x=0.000000000001
        """,
        tag="X",
    )


def test_a_client_with_a_rebate_share_is_the_last_step_if_its_own_link_names_the_broker() -> None:
    settles_as(
        """
        account, tag,   executed_at          | broker_id, shares
        1,       ,      2026-09-14T08:00:00Z | alpha-1,   alpha=0.6 alpha-1=0.2 client:okx:1=0.2
        1,       ONE,   2026-09-14T08:00:00Z | alpha-1,   alpha=0.6 alpha-1=0.2 client:okx:1=0.2
        1,       ALPHA, 2026-09-14T08:00:00Z | alpha,     alpha=1
        1,       X,     2026-09-14T08:00:00Z | alpha-1-x, alpha=0.6 alpha-1=0.26668 alpha-1-x=0.13332
        2,       ,      2026-09-14T08:00:00Z | beta,      beta=0.9 client:okx:2=0.1
        2,       ,      2026-09-14T08:30:00Z | beta,      beta=1
        2,       ,      2026-09-14T08:40:00Z | beta,      client:okx:2=1
        2,       ,      2026-09-14T08:50:00Z | beta,      beta=1
        """,
        LINKED,
        fee="-4",
    )


def test_zero_parts_are_not_written() -> None:
    tree = world(
        brokers="""
            broker_id, parent_id, share, status
            alpha,     ,          ,      active
            alpha-1,   alpha,     1,     active
            alpha-1-x, alpha-1,   0,     active
        """
    )
    settles_as(
        """
        tag | shares
        ONE | alpha-1=0.25
        X   | alpha-1=0.25
        """,
        tree,
    )


def test_the_tree_and_the_shares_are_those_at_execution() -> None:
    tree = world(
        brokers="""
            broker_id, parent_id, share, status, effective_from
            alpha,     ,          ,      active, 2026-01-01T00:00:00Z
            alpha-1,   alpha,     0.4,   active, 2026-01-01T00:00:00Z
            alpha-1,   alpha,     0.55,  active, 2026-09-14T08:00:01.234Z
        """
    )
    settles_as(
        """
        executed_at                 | shares
        2026-09-14T08:00:01.233999Z | alpha=0.6 alpha-1=0.4
        2026-09-14T08:00:01.234Z    | alpha=0.45 alpha-1=0.55
        """,
        tree,
        tag="ONE",
        fee="-4",
    )


def test_an_earned_line_whose_commission_rounds_to_zero_has_no_shares() -> None:
    settles_as("fee, tag | status, commission_usdt, shares\n-0.000000000001, X | earned, 0,")


def test_a_child_never_receives_a_digit_more_however_close_the_product_comes() -> None:
    # Chosen so that commission x share is 1e-30 below a multiple of 1e-12: any rounding on the way shows.
    commission, share = Decimal("123456789.012345678901"), Decimal("0.028805753409468899")
    split = Split(("parent", "child"), (Decimal(1), share))
    assert parts(commission, split)["child"] == Decimal("3556265.821014459047")
