"""What one broker has of its own, by file and by hand: stored, replaced, logged, and told where it can have no effect."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import psycopg
import pytest

from settlement.errors import InputRefused
from settlement.pipeline.load_registry import load_registry
from settlement.pipeline.override_broker import Override, override_broker
from settlement.pipeline.registry_by_hand import ChangeReport, HandAct
from settlement.store.database import Database
from tests.pipeline.loads import settled
from tests.pipeline.loads.by_hand import ACT, START, add_broker
from tests.pipeline.loads.settled import HOUR, Registry, Rows, SettledHour

T = "2026-01-01T00:00:00Z"
JUNE = datetime(2026, 6, 1, tzinfo=START.tzinfo)
RATE = Override(broker_id="alpha", kind="rate", value="0.27", begins=START)
STORED = "SELECT kind, product, liquidity, value::text, effective_to::text, reason, replaced_by_load FROM broker_override ORDER BY row_id"


@pytest.fixture
def program(database: Database) -> Database:
    """alpha and its sub-broker sub."""
    add_broker(database, "alpha")
    add_broker(database, "sub", parent_id="alpha", share="0.4")
    return database


def refusal(database: Database, asked: Override, *, act: HandAct = ACT) -> str:
    with pytest.raises(InputRefused) as refused:
        override_broker(database, asked, act=act)
    return str(refused.value)


def test_a_file_of_overrides_is_loaded_and_again_changes_nothing(
    database: Database, registry: Registry, standing: Rows
) -> None:
    rows = f"alpha,rate,futures,,0.30,{T},,agreed\nalpha,minimum_payout,,,50,{T},2026-06-01T00:00:00Z,"
    registry.write(brokers=f"alpha,A,api,,,active,{T},,,", overrides=rows)
    report = load_registry(database, registry.directory, act=settled.ACT)
    assert (report.files["overrides.csv"].added, report.warnings) == (2, [])
    registry.write(overrides=rows.replace("futures,", "futures,all").replace("0.30", "0.3"))
    assert load_registry(database, registry.directory, act=settled.ACT).load_id is None
    assert standing(STORED) == [
        ("minimum_payout", "all", "all", "50", "2026-06-01 00:00:00+00", None, None),
        ("rate", "futures", "all", "0.30", None, "agreed", None),
    ]


def test_a_file_is_warned_of_overrides_that_can_have_no_effect(database: Database, registry: Registry) -> None:
    registry.write(
        brokers=f"alpha,A,api,,,active,{T},,,\nsub,S,api,alpha,0.4,active,{T},,,",
        overrides=f"alpha,rate,,,0.3,{T},,\nsub,minimum_payout,,,5,{T},,\nsub,rate,,,0.3,{T},,\nsub,rate,spot,,0.3,{T},,\nghost,cap,,,5,{T},,",
    )
    report = load_registry(database, registry.directory, act=settled.ACT)
    told = [warning.removeprefix(f"{registry.directory}/").partition(";")[0] for warning in report.warnings]
    assert told == [
        "overrides.csv row 6: broker 'ghost' has no row in brokers.csv (1 rows name it)",
        "overrides.csv row 4: broker 'sub' is never a root then, and only a root's rate is ever asked for (2 such rows of its)",
    ]


def test_an_override_by_hand_is_stored_and_logged_with_who_and_why(program: Database, standing: Rows) -> None:
    report = override_broker(program, replace(RATE, product="futures", liquidity="taker", ends=JUNE), act=ACT)
    assert report.after is not None
    assert (report.act, report.subject, report.before) == ("override.set", "alpha rate futures taker", None)
    assert standing(STORED) == [("rate", "futures", "taker", "0.27", "2026-06-01 00:00:00+00", "as agreed", None)]
    logged = standing(
        "SELECT by, act, subject, reason, before, after, load_id FROM audit_log ORDER BY audit_id DESC LIMIT 1"
    )
    assert logged == [
        ("ana", "override.set", "alpha rate futures taker", "as agreed", None, report.after, report.load_id)
    ]
    assert report.after["value"] == "0.27"


def test_given_again_from_the_same_instant_on_it_gets_another_value_or_an_end(
    program: Database, standing: Rows
) -> None:
    first = override_broker(program, RATE, act=ACT)
    assert override_broker(program, replace(RATE, value="0.270"), act=ACT).load_id is None
    ended = override_broker(program, replace(RATE, ends=JUNE), act=ACT)
    assert ended.before is not None
    assert (ended.before["effective_to"], first.takes_over) == ("", None)
    assert standing(STORED) == [
        ("rate", "all", "all", "0.27", None, "as agreed", ended.load_id),
        ("rate", "all", "all", "0.27", "2026-06-01 00:00:00+00", "as agreed", None),
    ]
    earlier = override_broker(program, replace(RATE, begins=START.replace(year=2025)), act=ACT)
    assert earlier.takes_over == START


REFUSALS = [
    ({"broker_id": "alfa"}, "override alfa rate: there is no broker alfa; settlement brokers list shows which there are"),
    ({"broker_id": "sub"}, "override sub rate: sub is no root from 2026-01-01T00:00:00Z on, and only a root's rate is ever asked for; give it to the root of the tree that it is in"),
    ({"broker_id": "alpha", "begins": START.replace(year=2025), "ends": START}, "override alpha rate: alpha is no root from 2025-01-01T00:00:00Z on"),
    ({"value": "1.2"}, "override alpha rate: a rate or floor is outside 0..1; write a part of one: 25 % is 0.25"),
    ({"value": "27%"}, 'override alpha rate: value "27%" is not a decimal'),
    ({"kind": "cap", "value": "0"}, "override alpha cap: a cap is 0; write what a client may bring in a month, in USDT"),
    ({"kind": "cap", "value": "5", "product": "spot"}, 'override alpha cap spot: product "spot" is for a rate or a floor only'),
    ({"kind": "discount"}, 'override alpha discount: kind "discount" is not rate or floor or cap or minimum_payout'),
    ({"product": "swap"}, 'override alpha rate swap: product "swap" is not spot or futures or options or events or all'),
    ({"ends": START}, "override alpha rate: effective_to is not after effective_from"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "told"), REFUSALS, ids=[told[:50] for _, told in REFUSALS])
def test_what_cannot_be_is_refused_and_nothing_is_stored(
    program: Database, standing: Rows, change: dict[str, str], told: str
) -> None:
    assert refusal(program, replace(RATE, **change)).startswith(told)  # type: ignore[arg-type]  # of one field each
    assert standing("SELECT count(*) FROM broker_override") == [(0,)]


def test_a_sub_broker_may_have_a_smallest_payout_of_its_own(program: Database) -> None:
    assert override_broker(
        program, Override(broker_id="sub", kind="minimum_payout", value="5", begins=START), act=ACT
    ).load_id


def test_the_past_of_settled_windows_changes_only_with_a_correction(
    program: Database, settled_hour: SettledHour
) -> None:
    bill = settled_hour.line(broker="sub", root="alpha")
    assert refusal(program, RATE) == (
        f"override alpha rate: it changes alpha rate all all in the past of settled windows, first 2026-09-14T08:00Z (line okx 1 {bill});"
        ' say why with --correction "...", then plan a recalculation of those windows'
    )
    corrected: ChangeReport = override_broker(program, RATE, act=replace(ACT, correction="signed late"))
    assert corrected.load_id is not None
    assert override_broker(program, replace(RATE, begins=HOUR.replace(hour=9)), act=ACT).load_id is not None


NOT_STORABLE = [
    ("'rate', 'all', 'all', 1.000001", "value above 1"),
    ("'floor', 'all', 'all', 'NaN'", "a rate that is no number"),
    ("'rate', 'all', 'all', 0.1234567", "seven decimals"),
    ("'cap', 'all', 'all', 0", "a cap of nothing"),
    ("'cap', 'all', 'all', 'NaN'", "a cap that is no number"),
    ("'minimum_payout', 'all', 'all', 'Infinity'", "no payout ever"),
    ("'minimum_payout', 'spot', 'all', 5", "a payout of one product"),
    ("'discount', 'all', 'all', 0.1", "a kind that nobody knows"),
    ("'rate', '', 'all', 0.1", "a product without a name"),
]


@pytest.mark.parametrize("values", [values for values, _ in NOT_STORABLE], ids=[told for _, told in NOT_STORABLE])
def test_postgresql_itself_refuses_what_no_file_may_say(superuser: psycopg.Connection, values: str) -> None:
    superuser.execute("INSERT INTO load (kind, source, loaded_by) VALUES ('registry', '', '')")
    columns = "broker_id, effective_from, load_id, kind, product, liquidity, value"
    with pytest.raises(psycopg.errors.CheckViolation):
        superuser.execute(f"INSERT INTO broker_override ({columns}) VALUES ('alpha', now(), 1, {values})")  # type: ignore[call-overload]  # noqa: S608 - of this file
