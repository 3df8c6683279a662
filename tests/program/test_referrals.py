"""A referral code binds a client once, to its broker, while it holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from settlement.errors import Refused
from settlement.program.referrals import (
    Bind,
    ReferralCode,
    UplineBroker,
    check_bind,
    check_code,
    is_bound,
    link_row,
)
from settlement.program.registry_changes import StandingRow

T = datetime(2026, 9, 14, 8, tzinfo=UTC)
DAY = timedelta(days=1)
CODE = ReferralCode(
    code="spring26",
    broker_id="alpha-1",
    campaign="spring",
    client_limit=2,
    effective_from=T - DAY,
    effective_to=T + DAY,
    aliases=("SPRING",),
)
UPLINE = [
    UplineBroker(broker_id="alpha-1", status="active", own_accounts=["okx:8"]),
    UplineBroker(broker_id="alpha", status="active", own_accounts=["okx:9"]),
]


def link(broker: str, code: str = "", *, ends: datetime | None = None, begins: datetime = T - DAY) -> StandingRow:
    values = {
        "broker_id": broker,
        "referral_code": code,
        "affiliated": "true",
        "account_class": "msa",
        "rebate_share": "0.1",
    }
    return StandingRow(values=values, begins=begins, ends=ends)


def bind(
    *links: StandingRow,
    account: str = "1",
    code: ReferralCode = CODE,
    upline: Sequence[UplineBroker] = UPLINE,
    again: bool = False,
) -> Bind:
    return Bind(venue="okx", account=account, at=T, code=code, upline=upline, links=links, again=again)


def test_a_new_client_is_bound() -> None:
    check_bind(bind())
    assert link_row(bind()) == {
        "venue": "okx",
        "account": "1",
        "broker_id": "alpha-1",
        "effective_from": "2026-09-14T08:00:00+00:00",
        "referral_code": "spring26",
    }


REFUSED = {
    "deactivated": (
        bind(code=replace(CODE, deactivated_at=T - DAY)),
        "referral code spring26: it was deactivated at 2026-09-13T08:00:00Z",
    ),
    "not begun": (bind(code=replace(CODE, effective_from=T + DAY)), "it begins at 2026-09-15T08:00:00Z"),
    "ended": (bind(code=replace(CODE, effective_to=T)), "it ended at 2026-09-14T08:00:00Z"),
    "limit": (bind(code=replace(CODE, clients=2)), "referral code spring26: its limit is reached: 2 of 2 clients"),
    "no broker": (bind(upline=[]), "its broker alpha-1 has no row in force at 2026-09-14T08:00:00Z"),
    "broker not active": (
        bind(upline=[replace(UPLINE[0], status="suspended")]),
        "its broker alpha-1 is suspended at 2026-09-14T08:00:00Z",
    ),
    "own account": (bind(account="8"), "client okx 8: it is an own account of alpha-1: nobody refers himself"),
    "own account above": (
        bind(account="9"),
        "client okx 9: it is an own account of alpha, which is above alpha-1: nobody refers himself",
    ),
    "own account, though an administrator says so": (bind(account="9", again=True), "nobody refers himself"),
    "bound": (
        bind(link("beta", "X1")),
        "client okx 1: it is bound to beta by code X1 since 2026-09-13T08:00:00Z, and the first code counts",
    ),
    "bound to the same broker without a code": (bind(link("alpha-1")), "it is bound to alpha-1 since"),
    "was bound": (bind(link("beta", ends=T)), "since 2026-09-13T08:00:00Z until 2026-09-14T08:00:00Z"),
    "will be bound": (bind(link("beta", begins=T + DAY)), "it is bound to beta since 2026-09-15T08:00:00Z"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(name: str) -> None:
    asked, told = REFUSED[name]
    with pytest.raises(Refused, match=re.escape(told)):
        check_bind(asked)


def test_an_administrator_binds_a_client_again_who_keeps_what_he_is_but_not_his_rebate() -> None:
    asked = bind(link("beta", "X1"), again=True)
    check_bind(asked)
    row = link_row(asked)
    assert (row["broker_id"], row["affiliated"], row["account_class"]) == ("alpha-1", "true", "msa")
    assert "rebate_share" not in row


def test_a_client_who_counts_already_is_not_counted_again() -> None:
    code = replace(CODE, clients=2)
    check_bind(bind(link("beta", "SPRING"), code=code, again=True))


@pytest.mark.parametrize("text", ["spring26", "SPRING"])
def test_a_client_is_bound_by_any_text_of_the_code(text: str) -> None:
    assert is_bound(bind(link("alpha-1", text)))
    assert not is_bound(bind(link("beta", text)))
    assert not is_bound(bind(link("alpha-1", text, ends=T)))


@pytest.mark.parametrize("code", ["a", "A1", "abcdefghijklmnop"])
def test_letters_and_digits_make_a_code(code: str) -> None:
    check_code(code)


@pytest.mark.parametrize("code", ["", "abcdefghijklmnopq", "a-b", "a b", "ä", "a\n"])
def test_anything_else_makes_none(code: str) -> None:
    with pytest.raises(Refused, match="is not 1-16 letters and digits"):
        check_code(code)
