"""An explanation says what the monthly cap was, what was earned before, and what was left; the history says when it moved."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from settlement.reports.explain import explain
from settlement.reports.history import history
from settlement.reports.history_words import in_words
from settlement.store.database import Database
from settlement.store.lines import WINDOW
from tests.pipeline.capped_program import FIRST, CapDesk, a_fill, load_capped_program, settle_all


@pytest.fixture
def desk(database: Database) -> CapDesk:
    """Three fills that would earn 1.5 each; the cap is 2."""
    load_capped_program(database)
    desk = CapDesk(database)
    desk.take_in(*(a_fill(number, account="4", at=FIRST + number * WINDOW, fee="-5") for number in (0, 1, 2)))
    settle_all(database)
    return desk


def explained(desk: CapDesk, bill_id: str, account: str = "4") -> dict[str, Any]:
    with desk.database.transaction() as connection:
        document = explain(connection, "okx", account, bill_id)
    assert document["differences"] == []
    return document


def cap_check(document: dict[str, Any]) -> tuple[str, str]:
    check = document["steps"][1]["checks"][-1]
    assert (check["number"], check["reason"]) == (16, "CAP_REACHED")
    return check["verdict"], check["why"]


def test_the_cap_is_told_with_what_was_earned_before_and_what_was_left(desk: CapDesk) -> None:
    remainder, excluded = explained(desk, "1"), explained(desk, "2")
    why = "a cap of 2 USDT a month, of the terms; {} were earned before in 2026-03: {} left for 1.5"
    assert cap_check(explained(desk, "0")) == ("passed", why.format("0", "2"))
    assert cap_check(remainder) == ("passed", why.format("1.5", "0.5"))
    assert cap_check(excluded) == ("applies", why.format("2", "0"))
    assert remainder["steps"][4]["says"][-2:] == ["5 x 0.3 = 1.5 USDT", "the month's cap leaves 0.5 of it"]
    assert remainder["steps"][5]["says"][0] == "delta receives 0.5"
    assert len(excluded["steps"]) == 2


def test_whose_cap_it_is_and_whom_none_limits(desk: CapDesk) -> None:
    desk.take_in(
        a_fill("own", account="3", at=FIRST + 100 * timedelta(minutes=1), fee="-1"),
        a_fill("free", account="1", at=FIRST + 100 * timedelta(minutes=1), fee="-1"),
    )
    settle_all(desk.database)
    own, free = explained(desk, "own", "3"), explained(desk, "free", "1")
    told = "a cap of 2.5 USDT a month, beta's own; 0 were earned before in 2026-03: 2.5 left for 0.3"
    assert cap_check(own) == ("passed", told)
    assert [one["table"] for one in own["steps"][1]["checks"][-1]["inputs"]] == ["broker_override"]
    assert cap_check(free) == ("passed", "the terms cap only VIP1")


def test_a_line_that_the_cap_left_otherwise_later_says_so(desk: CapDesk) -> None:
    desk.take_in(a_fill("late", account="4", at=FIRST - WINDOW, fee="-3"))
    settle_all(desk.database)
    assert desk.outcomes("4") == ["0.9", "1.1 CAP_REMAINDER", "CAP_REACHED", "CAP_REACHED"]
    assert len(explained(desk, "0")["revisions"]) == 2
    assert len(explained(desk, "1")["revisions"]) == 2
    with desk.database.transaction() as connection:
        document = history(connection, "okx", "4", "0")
    assert [version["why"]["cause"] for version in document["versions"]] == ["scheduled", "cap moved"]
    assert "   what was settled late before it in the month has moved what the cap leaves" in in_words(document)
