"""Whose client made the fill: the tag first, else the client link, else nobody."""

from __future__ import annotations

from tests.rules.examples import settles_as, world

CHANGES = world(
    codes="""
        code,   broker_id, effective_from,       effective_to
        ALPHA,  alpha,     2026-01-01T00:00:00Z,
        OLD,    alpha,     2026-01-01T00:00:00Z, 2026-09-14T08:00:01.234Z
        NEW,    alpha,     2026-09-14T08:00:01.234Z,
        MOVED,  alpha,     2026-01-01T00:00:00Z,
        MOVED,  beta,      2026-09-14T08:00:01.234Z, 2026-09-14T09:00:00Z
        Mixed,  alpha,     2026-01-01T00:00:00Z,
        MIXED,  beta,      2026-01-01T00:00:00Z,
    """,
    clients="""
        account, broker_id, effective_from,       effective_to
        2,       beta,      2026-01-01T00:00:00Z, 2026-09-14T08:00:01.234Z
        2,       alpha-1,   2026-09-14T08:30:00Z,
    """,
)


def test_the_tag_names_the_broker_whose_code_it_equals() -> None:
    settles_as(
        """
        tag,   account | broker_id, reason, flags
        ALPHA, 1       | alpha,     ,
        ONE,   1       | alpha-1,   ,
        BETA,  1       | beta,      ,
        """
    )


def test_without_a_code_the_client_link_names_the_broker_and_without_both_nobody_does() -> None:
    settles_as(
        """
        tag,   account | broker_id, reason,       status
        ,      2       | beta,      ,             earned
        other, 2       | beta,      ,             earned
        ,      1       | ,          UNATTRIBUTED, excluded
        other, 1       | ,          UNATTRIBUTED, excluded
        """,
        CHANGES,
    )


def test_the_tag_wins_over_a_link_to_another_broker_and_the_line_says_so() -> None:
    settles_as(
        """
        tag,   account | broker_id, flags
        ALPHA, 2       | alpha,     TAG_OVERRIDES_LINK
        MIXED, 2       | beta,
        ALPHA, 1       | alpha,
        """,
        CHANGES,
    )


def test_the_flag_stands_on_excluded_and_pending_lines_too_behind_it_those_of_the_fill() -> None:
    settles_as(
        """
        channel, instrument_type, flags    | status,   reason,             flags
        web,     SPOT,                     | excluded, NON_API_CHANNEL,    TAG_OVERRIDES_LINK
        api,     SWAP,            LATE     | pending,  INSTRUMENT_UNKNOWN, TAG_OVERRIDES_LINK;LATE
        api,     SPOT,            LATE;ODD | earned,   ,                   TAG_OVERRIDES_LINK;LATE;ODD
        """,
        CHANGES,
        account="2",
    )


def test_codes_are_compared_exactly() -> None:
    settles_as(
        """
        tag    | broker_id
        Mixed  | alpha
        MIXED  | beta
        mixed  |
        MIXED1 |
        MIXE   |
        """,
        CHANGES,
    )


def test_a_code_is_in_force_from_its_first_instant_up_to_but_not_including_its_end() -> None:
    settles_as(
        """
        tag,   executed_at                 | broker_id
        OLD,   2026-09-14T08:00:01.233999Z | alpha
        OLD,   2026-09-14T08:00:01.234Z    |
        NEW,   2026-09-14T08:00:01.233999Z |
        NEW,   2026-09-14T08:00:01.234Z    | alpha
        MOVED, 2026-09-14T08:00:01.233999Z | alpha
        MOVED, 2026-09-14T08:00:01.234Z    | beta
        """,
        CHANGES,
    )


def test_a_row_that_ended_is_not_replaced_by_an_older_one_without_an_end() -> None:
    settles_as(
        """
        tag,   executed_at                 | broker_id
        MOVED, 2026-09-14T08:59:59.999999Z | beta
        MOVED, 2026-09-14T09:00:00Z        |
        """,
        CHANGES,
    )


def test_a_link_is_in_force_from_its_first_instant_up_to_but_not_including_its_end() -> None:
    settles_as(
        """
        executed_at                 | broker_id
        2025-12-31T23:59:59.999999Z |
        2026-01-01T00:00:00Z        | beta
        2026-09-14T08:00:01.233999Z | beta
        2026-09-14T08:00:01.234Z    |
        2026-09-14T08:29:59.999999Z |
        2026-09-14T08:30:00Z        | alpha-1
        """,
        CHANGES,
        tag="",
        account="2",
    )


def test_a_tag_whose_code_has_ended_leaves_it_to_the_link() -> None:
    settles_as(
        """
        tag,  account, executed_at          | broker_id, flags
        OLD,  2,       2026-09-14T08:00:00Z | alpha,     TAG_OVERRIDES_LINK
        OLD,  2,       2026-09-14T08:30:00Z | alpha-1,
        NEW,  2,       2026-09-14T08:00:00Z | beta,
        """,
        CHANGES,
    )


def test_the_same_account_number_at_another_venue_is_another_client() -> None:
    settles_as(
        """
        venue, account | broker_id
        okx,   2       | beta
        other, 2       |
        """,
        CHANGES,
        tag="",
    )


def test_the_broker_stands_on_every_line_from_attribution_on() -> None:
    settles_as(
        """
        fee, fee_currency, sub_type | reason,        broker_id, tier, net_fee_usdt, rate, commission_usdt, notional_usdt
        -1,  USDT,         100      | SYSTEM_TRADE,  alpha,     ,     ,             ,     ,
        0,   USDT,                  | NO_NET_FEE,    alpha,     ,     ,             ,     ,
        -1,  DOGE,                  | PRICE_MISSING, alpha,     ,     ,             ,     ,
        -1,  USDT,                  | ,              alpha,     T1,   1,            0.25, 0.25,            200
        """
    )
