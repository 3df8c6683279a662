"""A change by hand takes the path of a load, keeps history, and is in the audit log."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest

from settlement.errors import InputRefused, Refused
from settlement.pipeline.load_registry import load_registry
from settlement.pipeline.registry_by_hand import HandAct
from settlement.program.broker_tree import DEPTH_LIMIT
from settlement.program.registry_changes import Verb
from settlement.store.database import Database
from tests.pipeline.loads import settled
from tests.pipeline.loads.by_hand import START, add_broker, change
from tests.pipeline.loads.settled import HOUR, Registry, Rows, SettledHour

JUNE = datetime(2026, 6, 1, tzinfo=START.tzinfo)
T = "2026-01-01T00:00:00Z"


def test_an_act_is_logged_with_who_why_before_and_after_and_the_load_that_stores_it(
    database: Database, standing: Rows
) -> None:
    add_broker(database, "alpha", own_accounts="okx:9;okx:8")
    report = change(database, "brokers.csv", "set", "alpha", at=JUNE, status="suspended")
    assert report.before is not None
    assert report.after is not None
    assert (report.before["status"], report.after["status"]) == ("active", "suspended")
    assert (report.after["own_accounts"], report.after["effective_from"]) == ("okx:8;okx:9", "2026-06-01T00:00:00Z")
    logged = standing("SELECT by, act, subject, reason, before, after, load_id FROM audit_log ORDER BY audit_id")
    assert logged[1] == ("ana", "broker.set", "alpha", "as agreed", report.before, report.after, report.load_id)
    assert logged[0][1:2] + logged[0][4:5] == ("broker.add", None)
    loads = standing("SELECT kind, source, loaded_by FROM load ORDER BY load_id")
    assert loads[1] == ("registry", "by hand: broker.set alpha", "ana")


def test_a_sub_broker_moves_to_another_parent_and_its_history_stays(database: Database, standing: Rows) -> None:
    for broker in ("alpha", "beta"):
        add_broker(database, broker)
    add_broker(database, "sub", parent_id="alpha", share="0.4")
    change(database, "brokers.csv", "set", "sub", at=JUNE, parent_id="beta", share="0.25")
    rows = standing(
        "SELECT parent_id, share::text, effective_from::text, replaced_by_load FROM broker WHERE broker_id = 'sub'"
        " ORDER BY effective_from"
    )
    assert rows == [
        ("alpha", "0.4", "2026-01-01 00:00:00+00", None),
        ("beta", "0.25", "2026-06-01 00:00:00+00", None),
    ]


def test_an_empty_text_makes_a_sub_broker_a_root(database: Database, standing: Rows) -> None:
    add_broker(database, "alpha")
    add_broker(database, "sub", parent_id="alpha", share="0.4")
    change(database, "brokers.csv", "set", "sub", at=JUNE, parent_id="", share="")
    assert standing(
        "SELECT parent_id, share FROM broker WHERE broker_id = 'sub' ORDER BY effective_from DESC LIMIT 1"
    ) == [(None, None)]


def test_ending_replaces_the_row_and_keeps_what_it_said(database: Database, standing: Rows) -> None:
    add_broker(database, "alpha")
    change(database, "codes.csv", "add", "tag1", broker_id="alpha")
    report = change(database, "codes.csv", "end", "tag1", at=JUNE)
    rows = standing("SELECT effective_to::text, replaced_by_load FROM broker_code ORDER BY row_id")
    assert rows == [(None, report.load_id), ("2026-06-01 00:00:00+00", None)]


def test_what_is_so_already_is_nothing_new(database: Database, standing: Rows) -> None:
    add_broker(database, "alpha")
    add_broker(database, "alpha")
    change(database, "brokers.csv", "set", "alpha", at=JUNE, status="suspended")
    assert change(database, "brokers.csv", "set", "alpha", at=JUNE, status="suspended").load_id is None
    change(database, "brokers.csv", "end", "alpha", at=JUNE + timedelta(days=1))
    assert change(database, "brokers.csv", "end", "alpha", at=JUNE + timedelta(days=1)).load_id is None
    assert standing("SELECT act FROM audit_log ORDER BY audit_id") == [
        ("broker.add",),
        ("broker.set",),
        ("broker.end",),
    ]
    assert standing("SELECT count(*) FROM load") == [(3,)]


def test_whoever_changes_something_before_a_later_row_is_told_when_that_takes_over(database: Database) -> None:
    add_broker(database, "alpha")
    change(database, "brokers.csv", "set", "alpha", at=JUNE, status="suspended")
    assert change(database, "brokers.csv", "set", "alpha", at=JUNE - timedelta(days=9), name="A").takes_over == JUNE
    assert change(database, "brokers.csv", "set", "alpha", at=JUNE + timedelta(days=9), name="A").takes_over is None


REFUSED: list[tuple[str, Verb, str, dict[str, str], str]] = [
    ("brokers.csv", "set", "sub", {"share": "1.5"}, "broker sub: share is outside 0..1"),
    ("brokers.csv", "set", "sub", {"share": "much"}, 'broker sub: share "much" is not a decimal'),
    ("brokers.csv", "set", "sub", {"share": ""}, "broker sub: a sub-broker without share"),
    ("brokers.csv", "set", "alpha", {"share": "0.5"}, "broker alpha: a root broker with a share"),
    ("brokers.csv", "set", "alpha", {"model": "fax"}, 'broker alpha: model "fax" is not api or oauth'),
    (
        "brokers.csv",
        "set",
        "alpha",
        {"parent_id": "sub", "share": "0.5"},
        "broker alpha: brokers form a cycle from 2026-06-01T00:00:00Z on: alpha under sub under alpha",
    ),
    ("brokers.csv", "set", "sub", {"parent_id": "sbu"}, "broker sub: there is no broker sbu"),
    (
        "codes.csv",
        "add",
        "abcdefghijklmnopq",
        {"broker_id": "sub"},
        'code abcdefghijklmnopq: code "abcdefghijklmnopq" is not 1-16 letters',
    ),
    ("codes.csv", "add", "a-b", {"broker_id": "sub"}, 'code a-b: code "a-b" is not 1-16 letters and digits'),
    ("clients.csv", "add", "okx 1", {"broker_id": "sbu"}, "client okx 1: there is no broker sbu"),
    (
        "clients.csv",
        "add",
        "okx 1",
        {"broker_id": "sub", "rebate_share": "2"},
        "client okx 1: rebate_share is outside 0..1",
    ),
    ("clients.csv", "end", "okx 1", {}, "client okx 1: no row is in force at 2026-06-01T00:00:00Z"),
]


def test_a_fault_refuses_the_change_and_nothing_is_stored(database: Database, standing: Rows) -> None:
    add_broker(database, "alpha")
    add_broker(database, "sub", parent_id="alpha", share="0.4")
    for file, verb, key, given, told in REFUSED:
        with pytest.raises(Refused, match=re.escape(told)):
            change(database, file, verb, key, at=JUNE, **given)
    assert standing("SELECT count(*) FROM audit_log") == [(2,)]
    assert standing("SELECT count(*) FROM load") == [(2,)]
    assert standing("SELECT count(*) FROM quarantine") == [(0,)]


def test_a_broker_too_deep_in_the_tree_is_refused_by_hand_and_from_a_file(
    database: Database, registry: Registry, standing: Rows
) -> None:
    levels = [f"b{level},B,api,b{level - 1},0.9,active,{T},,," for level in range(2, DEPTH_LIMIT + 1)]
    load_registry(database, registry.write(brokers=f"b1,B,api,,,active,{T},,,\n" + "\n".join(levels)), act=settled.ACT)
    told = f"broker deep is at level 33 of the tree from {T} on, of at most 32: deep under b32 under ... under b1"
    with pytest.raises(InputRefused, match=re.escape(told)):
        add_broker(database, "deep", parent_id="b32", share="0.9")
    registry.write(brokers=f"deep,D,api,b32,0.9,active,{T},,,")
    with pytest.raises(InputRefused, match=re.escape(f"brokers.csv row 2: {told}")):
        load_registry(database, registry.directory, act=settled.ACT)
    assert standing("SELECT count(*) FROM broker") == [(32,)]


def test_a_change_in_a_settled_period_needs_a_correction(
    database: Database, settled_hour: SettledHour, standing: Rows
) -> None:
    for broker in ("alpha", "beta"):
        add_broker(database, broker)
    change(database, "clients.csv", "add", "okx 1", broker_id="alpha")
    bill = settled_hour.line()
    told = f"client okx 1: it changes okx 1 in the past of settled windows, first 2026-09-14T08:00Z (line okx 1 {bill})"
    with pytest.raises(InputRefused, match=re.escape(told)):
        change(database, "clients.csv", "set", "okx 1", at=HOUR, broker_id="beta")
    with pytest.raises(InputRefused, match="in the past of settled windows"):
        change(database, "clients.csv", "end", "okx 1", at=HOUR)
    change(database, "clients.csv", "set", "okx 1", at=HOUR + timedelta(hours=1), broker_id="beta")
    act = HandAct(by="ana", reason="the contract says so", correction="it was entered late")
    report = change(database, "clients.csv", "set", "okx 1", at=HOUR, act=act, broker_id="beta")
    assert standing("SELECT correction FROM load WHERE correction IS NOT NULL") == [("it was entered late",)]
    assert standing(f"SELECT reason FROM audit_log WHERE load_id = {report.load_id}") == [("the contract says so",)]  # noqa: S608 - a number


def test_pending_lines_that_a_change_may_settle_are_looked_at_again(
    database: Database, settled_hour: SettledHour
) -> None:
    settled_hour.line(status="pending")
    assert add_broker(database, "gamma").windows_marked == 1
    assert settled_hour.rechecked()


def test_a_load_of_files_is_one_entry_with_its_counts(database: Database, registry: Registry, standing: Rows) -> None:
    registry.write(codes=f"t1,a,{T},\nt2,a,{T},", vip_levels=f"okx,1,gold,{T}")
    load_registry(database, registry.directory, act=settled.ACT)
    load_registry(database, registry.directory, act=settled.ACT)
    counts = {"read": 2, "added": 2, "changed": 0, "unchanged": 0, "quarantined": 0}
    bad = {"read": 1, "added": 0, "changed": 0, "unchanged": 0, "quarantined": 1}
    assert standing("SELECT by, act, subject, reason, before, after, load_id FROM audit_log") == [
        (
            "tester",
            "registry.load",
            str(registry.directory),
            None,
            None,
            {"codes.csv": counts, "vip_levels.csv": bad},
            1,
        )
    ]
