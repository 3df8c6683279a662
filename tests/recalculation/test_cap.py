"""A recalculation under a monthly cap: the crossing moves, back and forth, within the plan and beyond it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from settlement.errors import Refused
from settlement.pipeline import recalculate
from settlement.pipeline.recalculation_plan import plan_all, plan_window
from settlement.store.database import Database
from settlement.store.lines import WINDOW
from tests.pipeline.capped_program import FIRST, CapDesk, a_fill, load_capped_program, settle_all, waiting
from tests.recalculation.desk import LONG_AGO

MINUTE = timedelta(minutes=1)


@pytest.fixture
def desk(database: Database) -> CapDesk:
    """Account 4 earns 0.6 with each of five fills in three hours, until its cap of 2 is reached in the second."""
    load_capped_program(database)
    desk = CapDesk(database)
    times = [FIRST, FIRST + 30 * MINUTE, FIRST + WINDOW, FIRST + WINDOW + MINUTE, FIRST + 2 * WINDOW]
    desk.take_in(*(a_fill(number, account="4", at=at, fee="-2") for number, at in enumerate(times)))
    settle_all(database)
    assert desk.outcomes("4") == ["0.6", "0.6", "0.6", "0.2 CAP_REMAINDER", "CAP_REACHED"]
    return desk


@pytest.mark.parametrize("windows", [1, 2, 3])
def test_what_a_correction_takes_away_is_earned_by_what_the_cap_had_excluded(desk: CapDesk, windows: int) -> None:
    before = desk.books()
    desk.correct("vip_levels.csv", f"okx,4,6,{LONG_AGO}", f"okx,4,1,{(FIRST + MINUTE).isoformat()}")
    assert desk.recalculate(windows=windows).status == "applied"
    # Beyond the plan the next look at each window goes on from it.
    assert waiting(desk.database) == [FIRST + number * WINDOW for number in range(windows, 3)]
    settle_all(desk.database)
    assert desk.outcomes("4") == ["VIP_EXCLUDED", "0.6", "0.6", "0.6", "0.2 CAP_REMAINDER"]
    assert desk.verify() == []

    desk.correct("vip_levels.csv", f"okx,4,1,{LONG_AGO}")
    desk.recalculate(windows=windows)
    settle_all(desk.database)
    assert desk.books() == before
    assert desk.verify() == []
    assert desk.to_recheck() == 0


def test_the_plan_says_what_the_cap_will_have_moved_in_later_windows(desk: CapDesk) -> None:
    desk.correct("vip_levels.csv", f"okx,4,6,{LONG_AGO}", f"okx,4,1,{(FIRST + MINUTE).isoformat()}")
    parts = desk.parts(desk.plan(windows=3))
    moved = {
        (move["from_reason"], move["to_reason"]): str(move["commission_usdt"].normalize()) for move in parts["moves"]
    }
    assert moved == {("", "VIP_EXCLUDED"): "-0.6", ("", ""): "0.4", ("CAP_REACHED", ""): "0.2"}
    assert parts["payees"] == [{"payee": "delta", "amount_usdt": 0, "windows": 3}]


def test_a_corrected_cap_holds_for_what_was_settled(desk: CapDesk) -> None:
    desk.correct("overrides.csv", f"delta,cap,all,all,1.5,{LONG_AGO}")
    desk.recalculate(windows=3)
    assert desk.outcomes("4") == ["0.6", "0.6", "0.3 CAP_REMAINDER", "CAP_REACHED", "CAP_REACHED"]
    desk.correct("overrides.csv", f"delta,cap,all,all,7,{LONG_AGO}")
    desk.recalculate(windows=3)
    assert desk.outcomes("4") == ["0.6"] * 5
    assert desk.verify() == []


@pytest.mark.parametrize("windows", [1, 3])
def test_a_client_who_moves_to_another_tree_counts_anew_there_and_leaves_room_where_he_was(
    desk: CapDesk, windows: int
) -> None:
    desk.correct("clients.csv", f"okx,4,alpha,{LONG_AGO},,,,")
    desk.recalculate(windows=windows)
    settle_all(desk.database)
    left_to_delta = ["0.6", "0.6", "0.6", "0.6", "0.6"]
    all_at_alpha = ["0.6", "0.6", "0.6", "0.2 CAP_REMAINDER", "CAP_REACHED"]
    assert desk.outcomes("4") == (all_at_alpha if windows == 3 else left_to_delta)
    assert desk.verify() == []


def test_the_lines_of_others_that_share_a_client_s_cap_follow_though_the_plan_is_not_about_them(desk: CapDesk) -> None:
    hours = (FIRST + 5 * MINUTE, FIRST + 20 * MINUTE, FIRST + 40 * MINUTE, FIRST + WINDOW)
    brokers = ("", "BETA1", "BETA1", "")  # gamma by its client, and beta by its tag
    fees = ("-2", "-4", "-2", "-2")
    desk.take_in(
        *(
            a_fill(f"g{number}", account="3", at=at, tag=tag, fee=fee)
            for number, (at, tag, fee) in enumerate(zip(hours, brokers, fees, strict=True))
        )
    )
    settle_all(desk.database)
    assert desk.outcomes("3") == ["0.6", "1.2", "0.2 CAP_REMAINDER", "CAP_REACHED"]
    gamma = "gamma,Gamma,api,beta,0.5,{},{}"
    desk.correct(
        "brokers.csv",
        gamma.format("suspended", FIRST.isoformat()),
        gamma.format("active", (FIRST + 15 * MINUTE).isoformat()),
    )
    desk.recalculate(broker="gamma", windows=2)
    assert desk.outcomes("3") == ["BROKER_INACTIVE", "1.2", "0.6", "0.2 CAP_REMAINDER"]
    assert desk.verify() == []
    runs = desk.runs()
    desk.recalculate(windows=3)
    assert desk.runs() == runs


def test_windows_of_a_month_are_planned_in_their_order(desk: CapDesk) -> None:
    plan_id = recalculate.request(
        desk.database, start=FIRST, end=FIRST + 3 * WINDOW, broker=None, reason="a look", by="anna"
    )
    assert plan_window(desk.database, plan_id, FIRST + WINDOW) is False
    assert plan_window(desk.database, plan_id, FIRST) is True
    assert plan_window(desk.database, plan_id, FIRST + WINDOW) is True
    plan_all(desk.database, plan_id, progress=lambda _done, _all: None)
    assert desk.state(plan_id).status == "planned"


def test_a_plan_is_refused_once_an_earlier_window_of_its_month_was_settled_again(desk: CapDesk) -> None:
    start = FIRST + WINDOW
    plan_id = recalculate.request(
        desk.database, start=start, end=start + WINDOW, broker=None, reason="a look", by="anna"
    )
    plan_all(desk.database, plan_id, progress=lambda _done, _all: None)
    recalculate.approve(desk.database, plan_id, by="bert")
    desk.take_in(a_fill("late", account="4", at=FIRST + MINUTE, fee="-2"))
    settle_all(desk.database)
    with pytest.raises(Refused, match=r"window 2026-03-01T06:00:00\+00:00, earlier in the month, was settled again"):
        desk.apply(plan_id)


def test_a_late_fill_while_a_plan_is_posted_leaves_the_cap_where_it_is(desk: CapDesk) -> None:
    half_past = (FIRST + 31 * MINUTE).isoformat()
    rebate = (f"okx,4,delta,{LONG_AGO},{half_past},,,0.5", f"okx,4,delta,{half_past},,,,")
    desk.correct("clients.csv", *rebate)
    plan_id = desk.plan(windows=3)
    shards = desk.open_runs(plan_id)
    desk.take_in(a_fill("late", account="4", at=FIRST + MINUTE, fee="-3"))
    desk.post(shards)
    settle_all(desk.database)
    assert desk.outcomes("4") == ["0.6", "0.9", "0.5 CAP_REMAINDER", "CAP_REACHED", "CAP_REACHED", "CAP_REACHED"]
    assert (desk.verify(), desk.to_recheck()) == ([], 0)


def test_a_late_fill_in_a_window_of_the_plan_that_it_does_not_change_is_counted_with_what_it_posts(
    desk: CapDesk,
) -> None:
    desk.correct("vip_levels.csv", f"okx,4,6,{LONG_AGO}", f"okx,4,1,{(FIRST + MINUTE).isoformat()}")
    desk.correct("overrides.csv", f"delta,cap,all,all,9,{LONG_AGO}")
    desk.recalculate(windows=3)
    assert desk.outcomes("4") == ["VIP_EXCLUDED", "0.6", "0.6", "0.6", "0.6"]
    desk.correct("vip_levels.csv", f"okx,4,1,{LONG_AGO}")
    plan_id = desk.plan(windows=3)
    shards = desk.open_runs(plan_id)
    assert len(shards) == 1
    desk.take_in(a_fill("late", account="4", at=FIRST + WINDOW + 2 * MINUTE, fee="-23"))
    assert waiting(desk.database) == [FIRST + WINDOW]
    settle_all(desk.database)
    assert desk.state(plan_id).status == "applied"
    assert desk.outcomes("4") == ["0.6", "0.6", "0.6", "0.6", "6.6 CAP_REMAINDER", "CAP_REACHED"]
    assert (desk.verify(), desk.to_recheck()) == ([], 0)
