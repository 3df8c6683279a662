"""The tiers commands as somebody types them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import pytest

from settlement.cli import tiers
from settlement.store.database import Database
from tests.cli.conftest import Settlement
from tests.reviews.desk import Desk
from tests.reviews.small import BEGUN, NOVEMBER, START, fill


@pytest.fixture
def run(settlement: Settlement) -> Settlement:
    return partial(settlement, "tiers")


@pytest.fixture
def desk(database: Database) -> Desk:
    """October is settled, and so is the first hour of November."""
    desk = Desk(database)
    desk.found(BEGUN)
    desk.trade([*BEGUN.fills, *BEGUN.late])
    desk.settle()
    return desk


@pytest.mark.usefixtures("desk")
def test_a_review_is_rehearsed_made_and_found_standing(run: Settlement) -> None:
    rehearsed = run("review", "--month", "2026-10", "--dry-run")
    assert rehearsed.code == 0
    assert "r1: T1 -> T2, volume 100.00 USDT, 2 clients (would be made)" in rehearsed.out
    assert "nothing is recorded: 3 reviews would be made" in rehearsed.out

    made = run("review", "--month", "2026-10", "--by", "ana")
    assert made.code == 0
    assert (
        "review of 2026-10, in force from 2026-11-01T00:00:00Z, by terms 'drawn': windows from 2026-10-02" in made.out
    )
    assert "to T2: 60 USDT of volume and 0 clients were missing" in made.out
    assert "3 reviews made, 0 stood already" in made.out
    assert (
        "r1: another tier has rated lines of 1 settled windows since; they stay as they are until: settlement recalc plan"
        " --from 2026-11-01T00:00:00Z --to 2026-11-01T01:00:00Z --broker r1 --reason TEXT"
    ) in made.out

    again = run("review", "--month", "2026-10", "--json").json
    assert (again["made"], again["effective_from"]) == (0, "2026-11-01T00:00:00Z")
    assert [(root["broker_id"], root["tier"], root["state"]) for root in again["roots"]] == [
        ("r1", "T2", "stands"),
        ("r2", "T1", "stands"),
        ("r3", "T1", "stands"),
    ]
    assert again["roots"][1]["gap"] == {"all": {"volume_usdt": "60", "clients": 0}}
    assert again["roots"][1]["reviewed_by"] == "ana"


def test_a_review_that_the_books_disagree_with_points_to_a_recalculation(run: Settlement, desk: Desk) -> None:
    run("review", "--month", "2026-10")
    desk.trade([fill("late", "6", "60", START)])
    desk.settle()
    again = run("review", "--month", "2026-10")
    assert "the books say otherwise now: volume 100.00 USDT, 2 clients, T2" in again.out
    assert "r2: the review stays as it is until: settlement recalc plan --from 2026-10-02" in again.out
    assert "--broker r2 --re-review --reason TEXT" in again.out


def test_a_review_is_refused_while_something_is_not_settled_unless_told_anyway(run: Settlement, desk: Desk) -> None:
    desk.trade([fill("late", "6", "60", START)])
    refused = run("review", "--month", "2026-10")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith(
        "settlement: review of 2026-10: 1 window of its period is not settled, the first 2026-10-02"
    )
    assert "it would be refused without --anyway: 1 windows" in run("review", "--month", "2026-10", "--dry-run").out
    assert run("review", "--month", "2026-10", "--anyway", "--json").json["unfinished"]["windows"] == 1


@pytest.mark.parametrize("month", ["2026-13", "2026-1", "October", "2026-10-01"])
def test_what_is_no_month_is_wrong_usage(run: Settlement, month: str) -> None:
    assert run("review", "--month", month).code == 2


@pytest.mark.parametrize(
    ("now", "month"), [("2026-11-01", "2026-10-01"), ("2026-11-30", "2026-10-01"), ("2027-01-31", "2026-12-01")]
)
def test_without_a_month_the_last_one_that_has_ended_is_reviewed(now: str, month: str) -> None:
    at, first = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (now, month))
    assert tiers._last_month(at) == first


@pytest.mark.usefixtures("desk")
def test_an_override_is_given_explained_and_ended(run: Settlement) -> None:
    # The hours of November that are not settled yet: no past is changed.
    period = ("--from", "2026-11-01T01:00:00Z")
    given = run("override", "r1", "T3", *period, "--reason", "a deal", "--by", "ana")
    assert (given.code, given.err) == (0, "")
    assert "tier.override r1: recorded as load 2" in given.out
    explained = run("explain", "r1", "--at", "2026-11-02T00:00:00Z")
    assert "r1 at 2026-11-02T00:00:00Z: T3, from the override" in explained.out
    ended = run("override", "r1", "T3", *period, "--to", "2026-11-03T00:00:00Z", "--reason", "over", "--json").json
    assert ended["after"]["effective_to"] == "2026-11-03T00:00:00Z"
    assert run("explain", "s1", "--at", "2026-11-03", "--json").json["from"] == "entry tier"


@pytest.mark.usefixtures("desk")
def test_an_override_that_ends_does_not_bring_back_the_one_before_and_says_so(run: Settlement) -> None:
    run("override", "r1", "T2", "--from", "2026-11-01T01:00:00Z", "--reason", "a deal")
    given = run("override", "r1", "T3", "--from", "2026-11-05", "--to", "2026-11-06", "--reason", "a week")
    assert (
        "warning: the override to T2 does not come back at 2026-11-06T00:00:00Z; from then on reviews count"
        in given.err
    )


@pytest.mark.usefixtures("desk")
def test_an_override_is_refused_with_one_line(run: Settlement) -> None:
    refused = run("override", "r1", "T9", "--from", NOVEMBER.isoformat(), "--reason", "a deal")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == "settlement: tier r1: terms drawn have no tier 'T9'; write one of T1, T2, T3\n"
    past = run("override", "r1", "T3", "--from", NOVEMBER.isoformat(), "--reason", "a deal")
    assert "in the past of settled windows, first 2026-11-01T00:00Z" in past.err
    assert "--correction" in past.err
    assert run("override", "r1", "T3", "--reason", " ").code == 2


@pytest.mark.usefixtures("desk")
def test_roots_are_tracked_one_or_all(run: Settlement) -> None:
    assert [one["broker_id"] for one in run("track", "--json").json] == ["r1", "r2", "r3"]
    told = run("track", "r1").out
    assert "r1 is T1; settled to 2026-11-01T01:00:00Z" in told
    assert "next review" in told
    assert run("track", "s1").code == 1


def test_an_empty_database_has_nothing_to_track(run: Settlement) -> None:
    assert "there is nothing to track" in run("track").out
