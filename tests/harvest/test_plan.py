"""Which stretches of record time a harvest reads, as tables: clock times of one day, `-` for nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from settlement.pipeline.harvest_plan import Key, Plan, by_schedule, on_request, to_fill_up
from settlement.store.harvests import Standing, Walk

DAY = datetime(2026, 3, 2, tzinfo=UTC)
KEY: Key = ("101", "SPOT")
CURSOR = "31"

# expected from, complete to, a walk that was begun, now  ->  the walks (with "*" at its cursor), and what each covers
BY_SCHEDULE = """
    06:00  06:00  -            07:02  ->  06:00-07:02 covers -, 06:00-07:02 covers 06:00-07:01            never pulled: read twice at once
    06:00  07:01  -            07:32  ->  06:21-07:32 covers 06:21-07:31                                 from forty minutes before what is complete
    06:00  06:30  -            07:02  ->  06:00-07:02 covers 06:00-07:01                                 the overlap ends where fills are expected from
    06:00  07:01  -            11:32  ->  06:21-11:32 covers -, 06:21-11:32 covers 06:21-11:31            nobody pulled for hours: read twice at once
    06:00  06:00  -            06:01  ->  06:00-06:01 covers -                                           nothing has settled yet
    06:00  06:00  -            06:00  ->  -                                                              nothing to do
    09:00  09:00  -            07:02  ->  -                                                              expected from later on
    06:00  07:01  06:21-07:32  08:02  ->  06:21-07:32* covers 06:21-07:32, 06:52-08:02 covers 06:52-08:01  finished first
    06:00  07:01  06:21-07:32  07:32  ->  06:21-07:32* covers 06:21-07:31, 06:51-07:32 covers 06:51-07:31  begun a moment ago
    06:00  06:00  06:00-07:02  07:10  ->  06:00-07:02* covers -, 06:00-07:02 covers 06:00-07:02, 06:22-07:10 covers 06:22-07:09  the first, resumed
    06:00  07:01  04:00-05:15  07:32  ->  06:21-07:32 covers 06:21-07:31                                 somebody's request: nothing new in it
    06:00  07:01  08:00-09:00  09:32  ->  06:21-09:32 covers -, 06:21-09:32 covers 06:21-09:31            it begins behind a gap
"""
# the range, a walk that was begun, now  ->  as above; the fills executed at or after the end are left out
ON_REQUEST = """
    06:00-07:00  -            09:00  ->  06:00-08:00 covers 06:00-07:00         what is recorded late is read
    06:00-07:00  -            07:00  ->  06:00-08:00 covers 06:00-06:59         the last minute has not settled
    06:00-07:00  -            06:00  ->  06:00-08:00 covers -                   it has not begun
    06:00-07:00  06:00-08:00  09:00  ->  06:00-08:00* covers 06:00-07:00        begun before: it goes on
    06:00-07:00  06:00-07:30  09:00  ->  06:00-08:00 covers 06:00-07:00         another walk
    06:00-07:00  05:00-08:00  09:00  ->  06:00-08:00 covers 06:00-07:00         another walk
"""


def clock(text: str) -> datetime:
    """A time of the day; +1 leads to the next."""
    time, _, days = text.partition("+")
    hour, minute = map(int, time.split(":"))
    return DAY + timedelta(days=int(days or 0), hours=hour, minutes=minute)


def span(text: str) -> tuple[datetime, datetime]:
    begins, _, ends = text.partition("-")
    return clock(begins), clock(ends)


def walk_of(text: str, *, after: str | None) -> Walk | None:
    if text == "-":
        return None
    begins, ends = span(text)
    return Walk(begin=begins, end=ends, after=after)


def standing(expected: str = "06:00", complete: str = "06:00", walk: str = "-") -> Standing:
    return Standing(expected_from=clock(expected), complete_to=clock(complete), walk=walk_of(walk, after=CURSOR))


def told(plan: Plan, key: Key = KEY) -> str:
    """The stretches of one key as the tables write them."""

    def one(begins: datetime, ends: datetime) -> str:
        return f"{_clock(begins)}-{_clock(ends)}"

    parts = [
        f"{one(each.walk.begin, each.walk.end)}{'*' if each.walk.after == CURSOR else ''}"
        f" covers {one(*each.covered) if each.covered else '-'}"
        for each in plan.stretches[key]
    ]
    return ", ".join(parts) or "-"


def _clock(moment: datetime) -> str:
    days = (moment - DAY).days
    return f"{moment:%H:%M}" + (f"+{days}" if days else "")


def rows(table: str) -> list[tuple[list[str], str]]:
    """The words before the arrow, and the outcome; two spaces end it."""
    found = []
    for line in table.strip().splitlines():
        given, _, outcome = line.partition("->")
        found.append((given.split(), outcome.strip().split("  ")[0]))
    return found


@pytest.mark.parametrize(("given", "outcome"), rows(BY_SCHEDULE))
def test_by_schedule(given: list[str], outcome: str) -> None:
    expected, complete, walk, now = given
    assert told(by_schedule({KEY: standing(expected, complete, walk)}, now=clock(now))) == outcome


@pytest.mark.parametrize(("given", "outcome"), rows(ON_REQUEST))
def test_on_request(given: list[str], outcome: str) -> None:
    (start, end), walk, now = span(given[0]), given[1], given[2]
    plan = on_request({KEY: standing(walk=walk)}, start=start, end=end, now=clock(now))
    assert told(plan) == outcome
    assert plan.executed_before == end


def test_two_scheduled_pulls_leave_no_time_between_them_and_read_every_minute_twice() -> None:
    first = by_schedule({KEY: standing()}, now=clock("07:02")).stretches[KEY]
    assert first[-1].covered is not None
    complete_to = first[-1].covered[1]
    seen = [stretch.walk for stretch in first]
    for now in ("07:32", "08:02", "08:32"):
        then = Standing(expected_from=clock("06:00"), complete_to=complete_to, walk=None)
        [stretch] = by_schedule({KEY: then}, now=clock(now)).stretches[KEY]
        assert stretch.covered is not None
        assert stretch.covered[0] <= complete_to
        complete_to = stretch.covered[1]
        seen.append(stretch.walk)
    for minute in range(119):
        instant = clock("06:00") + timedelta(minutes=minute)
        assert sum(walk.begin <= instant < walk.end for walk in seen) >= 2, instant


def test_each_account_and_type_has_a_plan_of_its_own() -> None:
    other: Key = ("102", "SWAP")
    plan = by_schedule({KEY: standing(), other: standing("06:00", "07:01")}, now=clock("07:32"))
    assert told(plan) == "06:00-07:32 covers -, 06:00-07:32 covers 06:00-07:31"
    assert told(plan, other) == "06:21-07:32 covers 06:21-07:31"
    assert plan.executed_before is None


def test_stored_fills_are_expected_where_something_was_read_before() -> None:
    now = clock("09:00")
    assert by_schedule({KEY: standing()}, now=now).known_keys_expected is False
    assert by_schedule({KEY: standing("06:00", "07:00")}, now=now).known_keys_expected is True

    def asked(complete: str, start: str) -> bool:
        standings = {KEY: standing("06:00", complete)}
        return on_request(standings, start=clock(start), end=clock("08:00"), now=now).known_keys_expected

    assert (asked("06:00", "05:00"), asked("07:00", "06:00"), asked("07:00", "07:00")) == (False, True, False)


def test_gaps_are_filled_up_oldest_first_and_day_by_day() -> None:
    gaps = {KEY: [span("06:00-09:30+2"), span("12:00+3-13:00+3")]}
    plan = to_fill_up({KEY: standing()}, gaps, end=clock("13:00+3"), now=clock("20:00+3"))
    assert told(plan).split(", ") == [
        "06:00-07:00+1 covers 06:00-06:00+1",
        "06:00+1-07:00+2 covers 06:00+1-06:00+2",
        "06:00+2-10:30+2 covers 06:00+2-09:30+2",
        "12:00+3-14:00+3 covers 12:00+3-13:00+3",
    ]
    assert (plan.executed_before, plan.known_keys_expected) == (clock("13:00+3"), False)


def test_what_was_begun_of_a_gap_goes_on_at_its_cursor() -> None:
    gaps = {KEY: [span("06:00-09:30+1")]}
    begun = standing(walk="06:00+1-10:30+1")
    plan = to_fill_up({KEY: begun}, gaps, end=clock("09:30+1"), now=clock("20:00+1"))
    assert told(plan) == "06:00-07:00+1 covers 06:00-06:00+1, 06:00+1-10:30+1* covers 06:00+1-09:30+1"


def test_without_a_gap_there_is_nothing_to_fill_up() -> None:
    plan = to_fill_up(
        {KEY: standing()}, {("102", "SPOT"): [span("06:00-07:00")]}, end=clock("09:00"), now=clock("09:00")
    )
    assert told(plan) == "-"
