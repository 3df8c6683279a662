"""Referral codes bind clients: once, within their limits, whoever else binds at the same moment."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from settlement.errors import Refused
from settlement.pipeline import referrals
from settlement.pipeline.bind_client import Given, bind_client
from settlement.pipeline.load_registry import load_registry
from settlement.pipeline.registry_by_hand import ChangeReport, HandAct
from settlement.store.database import Database
from tests.pipeline.loads import settled
from tests.pipeline.loads.by_hand import ACT, START, add_broker, add_code, change
from tests.pipeline.loads.settled import HOUR, Registry, Rows, SettledHour

T = "2026-01-01T00:00:00Z"
LATER = START + timedelta(days=30)
CODES = (
    "SELECT account, broker_id, referral_code FROM client_link WHERE replaced_by_load IS NULL ORDER BY account, row_id"
)


@pytest.fixture
def tree(database: Database) -> Database:
    """alpha with its sub-broker alpha-1, and beta, each with a code: alpha, alpha1, beta."""
    add_broker(database, "alpha", own_accounts="okx:9")
    add_broker(database, "alpha-1", parent_id="alpha", share="0.4", own_accounts="okx:8")
    add_broker(database, "beta")
    for code, broker in (("alpha", "alpha"), ("alpha1", "alpha-1"), ("beta", "beta")):
        add_code(database, code, broker)
    return database


def bind(  # noqa: PLR0913 - who gave which code, when, and who decides
    database: Database, account: str, code: str, *, at: datetime = LATER, again: bool = False, act: HandAct = ACT
) -> ChangeReport:
    return bind_client(database, Given(venue="okx", account=account, code=code, at=at), act=act, again=again)


def at_once(binds: Sequence[Callable[[], ChangeReport]]) -> list[ChangeReport | Refused]:
    """What became of each, all started at the same time."""

    def outcome(one: Callable[[], ChangeReport]) -> ChangeReport | Refused:
        try:
            return one()
        except Refused as refusal:
            return refusal

    with ThreadPoolExecutor(len(binds)) as pool:
        return list(pool.map(outcome, binds))


def test_a_client_is_bound_to_the_codes_broker_by_a_link_that_names_the_code(tree: Database, standing: Rows) -> None:
    referrals.add_alias(tree, "alpha1", "POSTER", act=ACT)
    report = bind(tree, "1", "POSTER")
    assert report.after is not None
    assert report.after["effective_from"] == "2026-01-31T00:00:00Z"
    assert standing(CODES) == [("1", "alpha-1", "alpha1")]
    logged = standing("SELECT act, subject, before, after, load_id FROM audit_log ORDER BY audit_id DESC LIMIT 1")
    assert logged == [("client.bind", "okx 1", None, report.after, report.load_id)]


def test_binding_by_the_same_code_again_is_nothing_new(tree: Database, standing: Rows) -> None:
    bind(tree, "1", "alpha1")
    referrals.add_alias(tree, "alpha1", "POSTER", act=ACT)
    referrals.deactivate(tree, "alpha1", act=ACT)
    assert bind(tree, "1", "POSTER", at=LATER + timedelta(days=1)).load_id is None
    assert standing(CODES) == [("1", "alpha-1", "alpha1")]


def test_the_first_code_counts_unless_an_administrator_says_otherwise(tree: Database, standing: Rows) -> None:
    bind(tree, "1", "alpha1")
    later = LATER + timedelta(days=1)
    with pytest.raises(Refused, match="client okx 1: it is bound to alpha-1 by code alpha1 since 2026-01-31T00:00:00Z"):
        bind(tree, "1", "beta", at=later)
    act = HandAct(by="root", reason="the client asked for it in writing")
    report = bind(tree, "1", "beta", at=later, again=True, act=act)
    assert standing(CODES) == [("1", "alpha-1", "alpha1"), ("1", "beta", "beta")]
    logged = standing("SELECT by, act, reason, before ->> 'broker_id' FROM audit_log ORDER BY audit_id DESC LIMIT 1")
    assert logged == [("root", "client.rebind", "the client asked for it in writing", "alpha-1")]
    assert report.takes_over is None


def test_a_client_whose_link_has_ended_is_still_bound_by_the_first_code(tree: Database) -> None:
    bind(tree, "1", "alpha1")
    change(tree, "clients.csv", "end", "okx 1", at=LATER + timedelta(days=1))
    with pytest.raises(Refused, match=r"until 2026-02-01T00:00:00Z, and the first code counts"):
        bind(tree, "1", "alpha1", at=LATER + timedelta(days=2))


@pytest.mark.parametrize(
    ("account", "code", "told"),
    [
        ("9", "alpha", "client okx 9: it is an own account of alpha: nobody refers himself"),
        ("8", "alpha1", "client okx 8: it is an own account of alpha-1: nobody refers himself"),
        ("9", "alpha1", "client okx 9: it is an own account of alpha, which is above alpha-1"),
        ("1", "ALPHA1", "referral code ALPHA1: there is no such code"),
    ],
)
def test_it_is_refused(tree: Database, standing: Rows, account: str, code: str, told: str) -> None:
    with pytest.raises(Refused, match=re.escape(told)):
        bind(tree, account, code)
    assert standing(CODES) == []


@pytest.mark.parametrize(("account", "code"), [("8", "alpha"), ("9", "beta")])
def test_an_own_account_may_be_the_client_of_who_is_not_below_its_broker(
    tree: Database, account: str, code: str
) -> None:
    assert bind(tree, account, code).load_id is not None


def test_whose_own_account_it_is_counts_at_the_instant_of_binding(tree: Database) -> None:
    change(tree, "brokers.csv", "set", "alpha-1", at=LATER, parent_id="beta", share="0.4")
    change(tree, "brokers.csv", "set", "beta", at=LATER + timedelta(days=9), own_accounts="okx:6;okx:7")
    assert bind(tree, "9", "alpha1").load_id is not None
    assert bind(tree, "7", "alpha1").load_id is not None
    with pytest.raises(Refused, match="own account of beta, which is above alpha-1"):
        bind(tree, "6", "alpha1", at=LATER + timedelta(days=9))


def test_a_code_of_a_broker_that_is_not_active_binds_nobody(tree: Database) -> None:
    change(tree, "brokers.csv", "set", "alpha-1", at=LATER, status="suspended")
    with pytest.raises(Refused, match="its broker alpha-1 is suspended"):
        bind(tree, "1", "alpha1")
    change(tree, "brokers.csv", "end", "alpha-1", at=LATER + timedelta(days=1))
    with pytest.raises(Refused, match="its broker alpha-1 has no row in force"):
        bind(tree, "1", "alpha1", at=LATER + timedelta(days=1))


def test_a_deactivated_code_binds_nobody_under_any_of_its_texts_and_its_clients_stay(
    tree: Database, standing: Rows
) -> None:
    referrals.add_alias(tree, "alpha1", "POSTER", act=ACT)
    bind(tree, "1", "alpha1")
    referrals.deactivate(tree, "POSTER", act=ACT)
    for text in ("alpha1", "POSTER"):
        with pytest.raises(Refused, match="referral code alpha1: it was deactivated at"):
            bind(tree, "2", text)
    assert standing(CODES) == [("1", "alpha-1", "alpha1")]


def test_links_from_files_and_by_aliases_count_towards_the_limit(tree: Database, registry: Registry) -> None:
    add_code(tree, "few", "beta", limit=3)
    referrals.add_alias(tree, "few", "FEW", act=ACT)
    rows = f"okx,4,beta,{T},,few,,,\nokx,5,beta,{T},2026-01-02T00:00:00Z,FEW,,,"
    load_registry(tree, registry.write(clients=rows), act=settled.ACT)
    bind(tree, "6", "FEW")
    with pytest.raises(Refused, match="referral code few: its limit is reached: 3 of 3 clients"):
        bind(tree, "7", "few")


def test_a_text_stands_for_one_code_only(tree: Database) -> None:
    referrals.add_alias(tree, "alpha1", "POSTER", act=ACT)
    for text in ("beta", "POSTER"):
        with pytest.raises(Refused, match=f"referral code {text}: it stands for a code of broker"):
            add_code(tree, text, "alpha")
    with pytest.raises(Refused, match="referral code POSTER: it stands for a code of broker alpha-1 already"):
        referrals.add_alias(tree, "beta", "POSTER", act=ACT)


def test_a_code_of_a_broker_that_nobody_knows_is_refused(tree: Database) -> None:
    with pytest.raises(Refused, match="referral code x1: there is no broker gamma"):
        add_code(tree, "x1", "gamma")


def test_acts_on_codes_are_logged(tree: Database, standing: Rows) -> None:
    referrals.add_alias(tree, "beta", "POSTER", act=ACT)
    referrals.add_alias(tree, "beta", "POSTER", act=ACT)
    referrals.deactivate(tree, "beta", act=ACT)
    referrals.deactivate(tree, "beta", act=ACT)
    logged = standing(
        "SELECT act, before -> 'aliases', after -> 'aliases', after ->> 'deactivated_at' IS NULL FROM audit_log"
        " WHERE subject = 'beta' AND act LIKE 'referral.%' ORDER BY audit_id"
    )
    assert logged == [
        ("referral.add", None, [], True),
        ("referral.alias", [], ["POSTER"], True),
        ("referral.deactivate", ["POSTER"], ["POSTER"], False),
    ]


def test_binding_in_a_settled_period_needs_a_correction(tree: Database, settled_hour: SettledHour) -> None:
    settled_hour.line(status="excluded", broker=None)
    with pytest.raises(Refused, match="client okx 1: it changes okx 1 in the past of settled windows"):
        bind(tree, "1", "alpha1", at=HOUR)
    act = HandAct(by="ana", reason="gave the code", correction="the form was lost")
    assert bind(tree, "1", "alpha1", at=HOUR, act=act).load_id is not None


def test_of_two_codes_that_bind_a_client_at_once_one_wins(tree: Database, standing: Rows) -> None:
    codes = ["alpha", "alpha1", "beta"]
    outcomes = at_once([lambda code=code: bind(tree, "1", code) for code in codes])  # type: ignore[misc]
    won = [outcome for outcome in outcomes if isinstance(outcome, ChangeReport)]
    assert len(won) == 1
    links = standing(CODES)
    assert len(links) == 1
    told = f"client okx 1: it is bound to {links[0][1]} by code {links[0][2]} since 2026-01-31T00:00:00Z, and the first"
    assert all(str(outcome).startswith(told) for outcome in outcomes if isinstance(outcome, Refused))


def test_a_limit_is_never_exceeded_by_those_who_bind_at_once(tree: Database, standing: Rows) -> None:
    add_code(tree, "few", "beta", limit=2)
    outcomes = at_once([lambda account=str(number): bind(tree, account, "few") for number in range(5)])  # type: ignore[misc]
    assert sum(isinstance(outcome, ChangeReport) for outcome in outcomes) == 2
    assert standing("SELECT count(*) FROM client_link") == [(2,)]
    assert standing("SELECT count(*) FROM audit_log WHERE act = 'client.bind'") == [(2,)]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(binds=st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["alpha", "alpha1", "beta"])), max_size=6))
def test_whatever_is_tried_a_client_keeps_its_first_code(
    tree: Database, standing: Rows, binds: list[tuple[int, str]]
) -> None:
    (number,) = standing("SELECT count(*) FROM load")[0]
    expected: dict[str, str] = {}
    for client, code in binds:
        account = f"{number}-{client}"
        if expected.setdefault(account, code) == code:
            bind(tree, account, code)
        else:
            with pytest.raises(Refused, match="the first code counts"):
                bind(tree, account, code)
    rows = standing(CODES)
    assert {row[0]: row[2] for row in rows if str(row[0]).startswith(f"{number}-")} == expected
