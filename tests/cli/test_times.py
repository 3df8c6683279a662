"""Times on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import typer

from settlement.cli.times import parse_hours, parse_time

SIX = datetime(2026, 9, 14, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-09-14T06:00:00Z",
        "2026-09-14T06:00Z",
        "2026-09-14T08:00:00+02:00",
        " 2026-09-14T06:00:00.000Z ",
        "1789365600000",
    ],
)
def test_the_same_instant_may_be_written_in_many_ways(text: str) -> None:
    assert parse_time(text, option="--from") == SIX


def test_a_date_alone_is_its_midnight() -> None:
    assert parse_time("2026-09-14", option="--from") == datetime(2026, 9, 14, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "2026-09-14T06:00:00", "1789365600", "2026-13-01T00:00:00Z", ""])
def test_what_is_no_instant_is_wrong_usage(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"--from: .* write it like"):
        parse_time(text, option="--from")


def test_a_range_is_the_hours_that_begin_in_it() -> None:
    assert parse_hours("2026-09-14T06:00Z", "2026-09-14T08:00Z") == [SIX, SIX.replace(hour=7)]


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        ("2026-09-14T06:30Z", "2026-09-14T08:00Z", "is not on the hour"),
        ("2026-09-14T06:00Z", "2026-09-14T08:00:01Z", "is not on the hour"),
        ("2026-09-14T08:00Z", "2026-09-14T08:00Z", "is not after --from"),
    ],
)
def test_a_range_is_made_of_whole_hours(start: str, end: str, reason: str) -> None:
    with pytest.raises(typer.BadParameter, match=reason):
        parse_hours(start, end)
