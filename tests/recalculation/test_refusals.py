"""Every refusal of a recalculation, and that nothing is posted by what was refused."""

from __future__ import annotations

from datetime import timedelta

import pytest

from settlement.errors import Refused
from settlement.pipeline import recalculate
from settlement.pipeline.settle import open_run
from settlement.store.lines import WINDOW
from tests.recalculation.desk import LONG_AGO, Desk
from tests.workers import program

CORRECTED = f"okx,4,6,{LONG_AGO}"


@pytest.fixture
def planned(desk: Desk) -> int:
    """The id of a plan that changes something."""
    desk.correct("vip_levels.csv", CORRECTED)
    return desk.plan()


def test_who_planned_it_cannot_approve_it(desk: Desk, planned: int) -> None:
    with pytest.raises(
        Refused, match=rf"plan {planned}: anna planned it and cannot approve it; somebody else approves"
    ):
        recalculate.approve(desk.database, planned, by="anna")
    assert desk.state(planned).status == "planned"


def test_what_was_not_approved_is_not_applied(desk: Desk, planned: int) -> None:
    with pytest.raises(Refused, match=r"it is planned and cannot be applied; it has to be approved first"):
        desk.apply(planned)


def test_a_cancelled_plan_is_neither_approved_nor_applied(desk: Desk, planned: int) -> None:
    recalculate.cancel(desk.database, planned, by="anna")
    assert recalculate.cancel(desk.database, planned, by="bert").cancelled_by == "anna"
    for act in (recalculate.approve, recalculate.open_runs):
        with pytest.raises(Refused, match=r"it is cancelled and cannot be .*; plan it anew"):
            act(desk.database, planned, by="bert")


def test_an_applied_plan_cannot_be_cancelled_and_applied_again_changes_nothing(desk: Desk, planned: int) -> None:
    recalculate.approve(desk.database, planned, by="bert")
    desk.apply(planned)
    books, entries = desk.books(), desk.rows("SELECT count(*) FROM entry")
    assert desk.apply(planned).applied_by == "carl"
    assert (desk.books(), desk.rows("SELECT count(*) FROM entry")) == (books, entries)
    with pytest.raises(Refused, match="it is applied and cannot be cancelled"):
        recalculate.cancel(desk.database, planned, by="bert")


def test_an_unknown_plan_is_named(desk: Desk) -> None:
    for act in (recalculate.approve, recalculate.cancel, recalculate.open_runs):
        with pytest.raises(Refused, match="there is no recalculation plan 99; settlement recalc list"):
            act(desk.database, 99, by="bert")


def test_a_fact_that_changed_since_is_named_with_its_file(desk: Desk, planned: int) -> None:
    recalculate.approve(desk.database, planned, by="bert")
    desk.correct("clients.csv", f"okx,1,gamma,{LONG_AGO},,,,")
    with pytest.raises(Refused, match=r"has changed since: client_link \(by .+\); cancel it and plan it anew"):
        desk.apply(planned)
    assert desk.rows("SELECT count(*) FROM run WHERE kind = 'recalculation'") == [(0,)]


def test_a_fact_that_begins_after_the_range_changes_nothing(desk: Desk, planned: int) -> None:
    recalculate.approve(desk.database, planned, by="bert")
    later = program.FIRST + timedelta(days=1)
    desk.correct("vip_levels.csv", f"okx,1,3,{later.isoformat()}", correction=None)
    assert desk.apply(planned).status == "applied"


def test_a_late_fill_since_is_named_with_its_window(desk: Desk, planned: int) -> None:
    recalculate.approve(desk.database, planned, by="bert")
    desk.late_fill("late")
    with pytest.raises(Refused, match=r"window 2026-03-01T06:00:00.* has 1 more fills"):
        desk.apply(planned)


def test_a_window_that_was_settled_again_since_is_named(desk: Desk) -> None:
    desk.late_fill("late")
    desk.correct("vip_levels.csv", CORRECTED)
    plan_id = desk.plan()
    recalculate.approve(desk.database, plan_id, by="bert")
    desk.settle()
    with pytest.raises(Refused, match=r"window 2026-03-01T06:00:00.* was settled again"):
        desk.apply(plan_id)


def test_a_range_with_an_open_window_is_refused(desk: Desk) -> None:
    after = program.WINDOWS[-1] + WINDOW
    with desk.database.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO settlement_window (window_start) VALUES (%s)", (after,))
    with pytest.raises(Refused, match=r"window 2026-03-01T10:00:00.* is open; recalculate settled windows only"):
        desk.plan(windows=5)


def test_a_range_that_is_being_settled_is_refused(desk: Desk) -> None:
    desk.late_fill("late")
    open_run(desk.database, program.FIRST, now=program.FIRST + timedelta(days=1))
    with pytest.raises(Refused, match=r"window 2026-03-01T06:00:00.* is being settled"):
        desk.plan()


def test_a_range_without_windows_an_unknown_broker_and_no_reason_are_refused(desk: Desk) -> None:
    asked = {"start": program.FIRST, "end": program.FIRST + WINDOW, "broker": None, "reason": "why", "by": "anna"}
    early = {"start": program.FIRST - timedelta(days=9), "end": program.FIRST - timedelta(days=8)}
    for changed, words in (
        ({"broker": "nobody"}, "no broker 'nobody' is registered"),
        ({"reason": " "}, "a recalculation needs a reason"),
        (early, "no window was settled in this range"),
        ({"end": program.FIRST + timedelta(days=36500)}, "is not over yet"),
    ):
        with pytest.raises(Refused, match=words):
            recalculate.request(desk.database, **(asked | changed))


def test_asked_for_twice_under_one_key_it_is_one_plan(desk: Desk) -> None:
    asked = {"start": program.FIRST, "end": program.FIRST + WINDOW, "broker": None, "reason": "why", "by": "anna"}
    first = recalculate.request(desk.database, **asked, request_key="one")
    assert recalculate.request(desk.database, **asked, request_key="one") == first
    assert desk.rows("SELECT count(*) FROM recalculation") == [(1,)]
