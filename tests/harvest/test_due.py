"""What is due to be pulled: by the clock, after a failure, and in parts that leave nobody out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from settlement.pipeline.harvest_plan import SETTLING
from settlement.pipeline.sweep import (
    PULL_ACCOUNTS,
    PullFills,
    Step,
    accounts_to_pull,
    last_pull_time,
    pull_due,
    read_again,
)
from settlement.store import harvests
from settlement.store.database import Database
from tests.harvest.many import HOUR, TYPES, VENUE, add, cover, execute, fail, set_status

CLOCK = """
    06:00  05:32
    06:01  05:32
    06:02  06:02
    06:31  06:02
    06:32  06:32
    06:59  06:32
"""


def at(clock: str) -> datetime:
    hour, minute = map(int, clock.split(":"))
    return HOUR.replace(hour=hour, minute=minute)


def due(database: Database, clock: str) -> list[Step]:
    steps: list[Step] = []
    number = pull_due(database, now=at(clock), hand_over=steps.append)
    assert number == len(steps)
    return steps


def pulled(database: Database, clock: str, *accounts: str, types: Sequence[str] = TYPES) -> None:
    """These types of these accounts were pulled then: complete up to a minute before."""
    for account in accounts:
        cover(database, account, HOUR, at(clock) - SETTLING, types=types, at=at(clock))


def all_pulled(database: Database, clock: str) -> None:
    covered = "tstzmultirange(tstzrange(:start, :end))"
    ends = at(clock) - SETTLING
    execute(database, f"UPDATE harvest SET covered = {covered}, pulled_at = :end", start=HOUR, end=ends)  # noqa: S608 - a constant


EVERYBODY: list[Step] = [PullFills(0, 1)]


@pytest.mark.parametrize("line", CLOCK.strip().splitlines(), ids=str.strip)
def test_fills_are_pulled_at_two_and_at_thirty_two_minutes_past(line: str) -> None:
    now, latest = map(at, line.split())
    assert last_pull_time(now) == latest
    assert last_pull_time(now + timedelta(seconds=59)) == latest


def test_without_an_account_nothing_is_due(database: Database) -> None:
    assert due(database, "07:02") == []


def test_an_account_is_due_once_at_each_time_of_the_schedule(database: Database) -> None:
    add(database, ["101", "102"])
    assert due(database, "07:02") == EVERYBODY
    pulled(database, "07:02", "101", "102")
    for quiet in ("07:02", "07:03", "07:31"):
        assert due(database, quiet) == []
    assert due(database, "07:32") == EVERYBODY
    pulled(database, "07:33", "101", "102")
    assert due(database, "07:59") == []
    assert due(database, "08:02") == EVERYBODY


def test_an_account_that_was_left_out_is_handed_over_by_the_next_sweep(database: Database) -> None:
    add(database, ["101", "102"])
    pulled(database, "07:02", "101")
    assert due(database, "07:03") == EVERYBODY
    pulled(database, "07:03", "102", types=["SPOT"])
    assert due(database, "07:04") == EVERYBODY  # killed before the second type
    pulled(database, "07:04", "102", types=["SWAP"])
    assert due(database, "07:05") == []


def test_a_failed_account_is_tried_again_after_five_minutes(database: Database) -> None:
    add(database, ["101"])
    pulled(database, "07:02", "101", types=["SWAP"])
    fail(database, "101", at=at("07:02"), kind="SPOT")
    assert due(database, "07:07") == []
    assert due(database, "07:08") == EVERYBODY
    fail(database, "101", at=at("07:08"))
    assert due(database, "07:09") == []
    assert due(database, "07:14") == EVERYBODY
    pulled(database, "07:14", "101")
    assert due(database, "07:31") == []


def test_an_account_that_is_complete_is_not_due_because_something_failed(database: Database) -> None:
    add(database, ["101"])
    pulled(database, "07:02", "101")
    fail(database, "101", at=at("07:04"))  # somebody's request, say
    assert due(database, "07:20") == []
    assert due(database, "07:32") == EVERYBODY


def test_what_was_read_behind_a_gap_does_not_count(database: Database) -> None:
    add(database, ["101"])
    cover(database, "101", at("06:30"), at("08:00"))
    assert due(database, "07:02") == EVERYBODY


def test_a_failure_that_ends_the_pull_stands_for_the_types_behind_it(database: Database) -> None:
    add(database, ["101"])
    fail(database, "101", at=at("07:02"), kind=TYPES[0])
    for quiet in ("07:03", "07:07"):
        assert due(database, quiet) == []
    assert due(database, "07:08") == EVERYBODY


def test_accounts_that_nobody_pulls_are_never_due(database: Database) -> None:
    add(database, ["101"], status="parked")
    add(database, ["102"], status="disabled")
    add(database, ["900"], role="broker")
    assert due(database, "07:02") == []
    set_status(database, "102", "active")
    assert due(database, "07:02") == EVERYBODY


def test_an_account_is_not_due_before_its_fills_are_expected(database: Database) -> None:
    add(database, ["101"], pull_from=at("07:10"))
    assert due(database, "07:31") == []
    assert due(database, "07:32") == EVERYBODY


def test_many_accounts_go_out_in_parts_each_in_exactly_one(database: Database) -> None:
    names = [str(7_000_000_000 + 37 * number) for number in range(2 * PULL_ACCOUNTS + 1)]
    add(database, names)
    add(database, ["parked-1"], status="parked")
    steps = due(database, "07:02")
    assert steps == [PullFills(0, 3), PullFills(1, 3), PullFills(2, 3)]
    with database.transaction() as connection:
        parts = [harvests.accounts_of_chunk(connection, venue=VENUE, chunk=chunk, chunks=3) for chunk in range(3)]
    assert Counter(account for part in parts for account in part) == Counter(names)
    assert all(len(part) < 1.5 * PULL_ACCOUNTS for part in parts)
    assert parts == [sorted(part) for part in parts]


def test_only_the_parts_with_somebody_due_are_handed_over(database: Database) -> None:
    add(database, [f"{number}" for number in range(PULL_ACCOUNTS + 1)])
    all_pulled(database, "07:02")
    assert due(database, "07:10") == []
    execute(database, "UPDATE harvest SET covered = '{}' WHERE account = '7' AND instrument_type = 'SWAP'")
    [step] = due(database, "07:10")
    assert isinstance(step, PullFills)
    assert step.chunks == 2
    assert accounts_to_pull(database, step, now=at("07:10")) == ["7"]
    assert accounts_to_pull(database, PullFills(1 - step.chunk, 2), now=at("07:10")) == []


def test_a_part_is_what_of_it_is_still_due_or_all_of_it_again(database: Database) -> None:
    add(database, ["101", "102", "103"])
    add(database, ["104"], status="parked")
    pulled(database, "07:02", "102")
    fail(database, "103", at=at("07:02"))
    part = PullFills(0, 1)
    assert accounts_to_pull(database, part, now=at("07:03")) == ["101"]
    assert accounts_to_pull(database, part, now=at("07:08")) == ["101", "103"]
    assert accounts_to_pull(database, PullFills(0, 1, again=True), now=at("07:03")) == ["101", "102", "103"]


def test_a_full_part_is_one_part(database: Database) -> None:
    add(database, [f"{number}" for number in range(PULL_ACCOUNTS)])
    assert due(database, "07:02") == EVERYBODY


def test_reading_again_hands_over_every_part_whatever_was_pulled(database: Database) -> None:
    add(database, [f"{number}" for number in range(PULL_ACCOUNTS + 1)])
    all_pulled(database, "07:02")
    steps: list[Step] = []
    assert read_again(database, hand_over=steps.append) == 2
    assert steps == [PullFills(0, 2, again=True), PullFills(1, 2, again=True)]
