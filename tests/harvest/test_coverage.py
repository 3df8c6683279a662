"""What was pulled of each account and hour, and that no window closes over a gap."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from settlement.pipeline.gate import Gate, gate
from settlement.pipeline.settle import settle_window
from settlement.pipeline.sweep import SettleWindow, Step, sweep
from settlement.store import windows
from settlement.store.coverage import CoveredAccount, coverage
from settlement.store.database import Database
from tests.harvest.many import HOUR, TYPES, add, cover, execute, fail, set_status
from tests.harvest.shell import Shell

LONG_GONE = "2026-03-02T04:00Z", "2026-03-02T10:00Z"
FIRST, LAST, NOON = (HOUR.replace(hour=hour) for hour in (4, 10, 12))


def at(hour: int, minute: int = 0) -> datetime:
    return HOUR.replace(hour=hour, minute=minute)


def covered(database: Database, account: str, *, start: datetime = FIRST, end: datetime = LAST) -> CoveredAccount:
    with database.transaction() as connection:
        [row] = coverage(connection, start=start, end=end, accounts=[account])
    return row


def says(database: Database, *, now: datetime, window: datetime = HOUR) -> Gate:
    with database.transaction() as connection:
        return gate(window, watermarks=windows.watermarks(connection), now=now)


def watermark(database: Database) -> datetime | None:
    with database.transaction() as connection:
        return windows.watermarks(connection)["okx"]


@pytest.fixture
def one_lags(database: Database) -> None:
    """Of two accounts one was pulled past the end of the first window, the other half an hour into it."""
    add(database, ["101", "102"])
    cover(database, "101", HOUR, at(7, 1))
    cover(database, "102", HOUR, at(6, 31))
    execute(database, "INSERT INTO settlement_window (window_start) VALUES (:start)", start=HOUR)


# What was read, type by type, of an account whose fills are expected from 06:00 -> complete to, and the hours with a gap
STATES: list[tuple[dict[str, list[tuple[datetime, datetime]]], datetime, list[datetime]]] = [
    ({}, at(6), [at(6), at(7), at(8), at(9)]),
    ({kind: [(at(6), at(10))] for kind in TYPES}, at(10), []),
    ({kind: [(at(6), at(8, 30))] for kind in TYPES}, at(8, 30), [at(8), at(9)]),
    ({kind: [(at(6), at(7)), (at(8), at(10))] for kind in TYPES}, at(7), [at(7)]),
    ({kind: [(at(6), at(7)), (at(7), at(10))] for kind in TYPES}, at(10), []),
    ({"SPOT": [(at(6), at(10))]}, at(6), [at(6), at(7), at(8), at(9)]),
    ({"SPOT": [(at(6), at(10))], "SWAP": [(at(6), at(7)), (at(9), at(10))]}, at(7), [at(7), at(8)]),
    ({"SPOT": [(at(7), at(8))], "SWAP": [(at(6), at(10))]}, at(6), [at(6), at(8), at(9)]),
    ({kind: [(at(3), at(10))] for kind in TYPES}, at(10), []),
]


@pytest.mark.parametrize(("read", "complete_to", "gaps"), STATES)
def test_an_account_is_complete_where_all_its_types_are(
    database: Database,
    read: dict[str, list[tuple[datetime, datetime]]],
    complete_to: datetime,
    gaps: list[datetime],
) -> None:
    add(database, ["101"])
    for kind, stretches in read.items():
        for begins, ends in stretches:
            cover(database, "101", begins, ends, types=[kind])
    row = covered(database, "101")
    assert (row.complete_to, row.gaps) == (complete_to, gaps)


def test_hours_before_its_fills_are_expected_are_no_gap(database: Database) -> None:
    add(database, ["101"], pull_from=at(7, 30))
    assert covered(database, "101").gaps == [at(7), at(8), at(9)]
    cover(database, "101", at(7, 30), at(8))
    assert covered(database, "101").gaps == [at(8), at(9)]
    assert covered(database, "101", start=at(4), end=at(7)).gaps == []


def test_what_was_pulled_of_before_is_told_all_the_same(shell: Shell, database: Database) -> None:
    add(database, ["101"], pull_from=at(8))
    asked = ("coverage", "--from", LONG_GONE[0], "--to", LONG_GONE[1])
    [row] = shell.run(*asked, "--json").json
    assert (row["complete_to"], row["lag_seconds"]) == (None, None)
    assert [hour["state"] for hour in row["hours"]] == ["before"] * 4 + ["gap"] * 2
    assert "nothing yet" in printed(shell, *asked)[1]
    cover(database, "101", at(5), at(7, 30))
    [row] = shell.run(*asked, "--json").json
    assert [hour["state"] for hour in row["hours"]] == ["before", "complete", "complete", "before", "gap", "gap"]
    _, told = printed(shell, *asked)
    assert "2026-03-02 08:00 to 03-02 10:00, 2 of before 2026-03-02 08:00 not pulled" in told


def test_the_last_error_stands_until_a_pull_mends_it(database: Database) -> None:
    add(database, ["101"])
    fail(database, "101", at=at(7), error="the first")
    fail(database, "101", at=at(8), error="the last", kind="SWAP")
    fail(database, "101", at=at(9), error="the last again", kind="SWAP")
    row = covered(database, "101")
    assert (row.error, row.error_at, row.failures) == ("the last again", at(9), 2)
    cover(database, "101", HOUR, at(9), types=["SWAP"])
    row = covered(database, "101")
    assert (row.error, row.error_at, row.failures) == ("the first", at(7), 1)
    cover(database, "101", HOUR, at(9), types=["SPOT"])
    row = covered(database, "101")
    assert (row.error, row.error_at, row.failures) == (None, None, 0)


def test_every_client_account_is_shown_and_no_brokers(database: Database) -> None:
    add(database, ["103", "101"])
    add(database, ["102"], status="disabled")
    add(database, ["900"], role="broker")
    with database.transaction() as connection:
        rows = coverage(connection, start=at(4), end=at(10))
        assert coverage(connection, start=at(4), end=at(10), accounts=["900"]) == []
    assert [(row.account, row.status) for row in rows] == [("101", "active"), ("102", "disabled"), ("103", "active")]


def test_the_command_prints_every_hour_as_json(shell: Shell, database: Database) -> None:
    add(database, ["101"])
    cover(database, "101", HOUR, at(7, 30))
    cover(database, "101", at(8), at(9))
    fail(database, "101", at=at(9), error="okx: busy")
    [row] = shell.run("coverage", "--from", LONG_GONE[0], "--to", LONG_GONE[1], "--json").json
    states = {hour["hour"][11:13]: hour["state"] for hour in row["hours"]}
    assert states == {"04": "before", "05": "before", "06": "complete", "07": "gap", "08": "complete", "09": "gap"}
    assert (row["account"], row["status"], row["error"], row["failures"]) == ("101", "active", "okx: busy", 1)
    assert row["complete_to"] == "2026-03-02T07:30:00+00:00"
    assert row["lag_seconds"] > 3600


def test_the_command_prints_a_line_an_account(
    shell: Shell, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert "accounts add" in shell.done("coverage")
    add(database, ["101", "102"])
    cover(database, "101", HOUR, at(10))
    cover(database, "102", HOUR, at(7))
    cover(database, "102", at(9), at(10))
    fail(database, "102", at=at(9), error="okx: busy")
    asked = ("coverage", "--from", LONG_GONE[0], "--to", LONG_GONE[1])
    title, complete, lacking = printed(shell, *asked)
    assert title.split() == ["account", "status", "complete", "to", "lag", "hours", "missing", "last", "error"]
    assert complete.startswith("okx 101  active  2026-03-02 10:00:00")
    assert complete.endswith("none of 4, 2 of before 2026-03-02 06:00 not pulled")
    assert "2026-03-02 07:00 to 03-02 09:00" in lacking
    assert lacking.endswith("okx: busy (1 in a row, 09:00:00)")
    assert printed(shell, *asked, "--gaps")[1:] == [lacking]
    assert printed(shell, *asked, "--account", "101")[1:] == [complete]


def test_an_account_that_is_not_harvested_is_named(shell: Shell, database: Database) -> None:
    add(database, ["101"])
    add(database, ["900"], role="broker")
    for asked in (["--account", "102"], ["--account", "101", "--account", "900"]):
        ran = shell.run("coverage", *asked)
        assert (ran.code, ran.out) == (1, "")
        assert (
            ran.err
            == f"settlement: {asked[-1]}: no such client account; settlement accounts list shows which there are\n"
        )


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--from", "2026-03-02T06:30Z", "--to", "2026-03-02T08:00Z"), "not on the hour"),
        (("--from", "2026-03-02T08:00Z", "--to", "2026-03-02T08:00Z"), "not after"),
        (("--from", "yesterday"), "not a time"),
        (("--from", "2026-03-02T06:00"), "no zone"),
    ],
)
def test_a_range_that_makes_no_sense_is_wrong_usage(shell: Shell, options: tuple[str, ...], complaint: str) -> None:
    ran = shell.run("coverage", *options)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in " ".join(ran.err.replace("│", " ").split())


@pytest.mark.usefixtures("one_lags")
def test_a_window_waits_for_the_account_that_lags_until_its_deadline(database: Database) -> None:
    assert watermark(database) == at(6, 31)
    assert says(database, now=at(7, 5)) is Gate.WAIT
    assert says(database, now=at(7, 59)) is Gate.WAIT
    assert says(database, now=at(8)) is Gate.INCOMPLETE
    cover(database, "102", at(6, 31), at(7))
    assert says(database, now=at(7, 5)) is Gate.COMPLETE


@pytest.mark.usefixtures("one_lags")
def test_one_type_that_lags_holds_the_window_as_well(database: Database) -> None:
    cover(database, "102", HOUR, at(7, 30), types=["SPOT"])
    assert watermark(database) == at(6, 31)
    assert says(database, now=at(7, 5)) is Gate.WAIT


@pytest.mark.usefixtures("one_lags")
def test_what_was_read_behind_a_gap_closes_nothing(database: Database) -> None:
    cover(database, "102", at(6, 40), at(9))
    assert watermark(database) == at(6, 31)
    assert says(database, now=at(7, 59)) is Gate.WAIT
    cover(database, "102", at(6, 31), at(6, 40))
    assert watermark(database) == at(7, 1)  # the other account's now
    assert says(database, now=at(7, 59)) is Gate.COMPLETE


@pytest.mark.usefixtures("one_lags")
def test_a_parked_account_holds_the_window_and_a_disabled_one_does_not(database: Database) -> None:
    set_status(database, "102", "parked")
    assert says(database, now=at(7, 5)) is Gate.WAIT
    assert says(database, now=at(8)) is Gate.INCOMPLETE
    set_status(database, "102", "disabled")
    assert says(database, now=at(7, 5)) is Gate.COMPLETE


@pytest.mark.usefixtures("one_lags")
def test_a_brokers_own_account_holds_nothing(database: Database) -> None:
    cover(database, "102", HOUR, at(7))
    add(database, ["900"], role="broker")
    assert says(database, now=at(7, 5)) is Gate.COMPLETE


@pytest.mark.usefixtures("one_lags")
def test_an_account_that_was_never_pulled_holds_every_window_from_where_it_is_expected(database: Database) -> None:
    cover(database, "102", HOUR, at(9))
    cover(database, "101", HOUR, at(9))
    add(database, ["103"], pull_from=at(7))
    assert says(database, now=at(7, 5)) is Gate.COMPLETE
    assert says(database, now=at(8, 5), window=at(7)) is Gate.WAIT
    assert says(database, now=at(9), window=at(7)) is Gate.INCOMPLETE


@pytest.mark.usefixtures("one_lags")
def test_the_sweep_settles_over_a_gap_at_the_deadline_only_and_names_the_source(database: Database) -> None:
    assert settled_by_sweep(database, now=at(7, 30)) == []
    assert settled_by_sweep(database, now=at(8)) == [HOUR]
    settle_window(database, HOUR, now=at(8))
    assert status(database) == ("incomplete", False)
    [event] = execute(database, "SELECT data FROM outbox WHERE type = 'window.incomplete'")
    assert event.data == {"window_start": HOUR.isoformat(), "sources": ["okx"]}


@pytest.mark.usefixtures("one_lags")
def test_a_window_whose_gap_was_filled_in_time_is_complete(database: Database) -> None:
    cover(database, "102", at(6, 31), at(7, 1))
    assert settled_by_sweep(database, now=at(7, 30)) == [HOUR]
    settle_window(database, HOUR, now=at(7, 30))
    assert status(database) == ("settled", False)
    assert execute(database, "SELECT FROM outbox WHERE type = 'window.incomplete'") == []


def test_what_is_covered_never_shrinks(database: Database) -> None:
    add(database, ["101"])
    cover(database, "101", HOUR, NOON)
    cover(database, "101", at(7), at(8))
    assert covered(database, "101", end=NOON).complete_to == NOON
    assert covered(database, "101", start=HOUR, end=NOON + timedelta(hours=1)).gaps == [NOON]


def printed(shell: Shell, *arguments: str) -> list[str]:
    """The lines, without the lag, which grows while the test runs, and so does the column it makes wide."""
    lines = shell.done(*arguments).splitlines()
    return [re.sub(r"\d+ days?, +\d+:\d\d:\d\d *", "LAG  ", line).rstrip() for line in lines]


def settled_by_sweep(database: Database, *, now: datetime) -> list[datetime]:
    steps: list[Step] = []
    sweep(database, now=now, hand_over=steps.append, room=100)
    return [step.window_start for step in steps if isinstance(step, SettleWindow)]


def status(database: Database) -> Any:
    [row] = execute(database, "SELECT status, recheck FROM settlement_window WHERE window_start = :s", s=HOUR)
    return tuple(row)
