"""One change by hand adds one row to those that stand for its key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from settlement.errors import InputRefused
from settlement.program.registry_changes import Change, StandingRow, Verb, new_row, next_after

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(day: int) -> datetime:
    return START + timedelta(days=day)


def row(broker: str, begins: int, ends: int | None = None) -> StandingRow:
    """The row of code "tag1" that makes it `broker`'s in these days."""
    values = {"code": "tag1", "broker_id": broker, "effective_from": at(begins).isoformat()}
    values["effective_to"] = "" if ends is None else at(ends).isoformat()
    return StandingRow(values=values, begins=at(begins), ends=None if ends is None else at(ends))


def asked(verb: Verb, day: int, **given: str) -> Change:
    return Change(file="codes.csv", verb=verb, key={"code": "tag1"}, at=at(day), given=given)


def new(verb: Verb, day: int, *rows: StandingRow, **given: str) -> Mapping[str, str] | None:
    return new_row(asked(verb, day, **given), rows)


def test_add_begins_a_key() -> None:
    assert new("add", 3, broker_id="alpha") == {
        "code": "tag1",
        "broker_id": "alpha",
        "effective_from": "2026-01-04T00:00:00+00:00",
    }


@pytest.mark.parametrize(
    ("rows", "since"),
    [
        ([row("alpha", 1)], "2026-01-02T00:00:00Z"),
        ([row("alpha", 1, 9)], "2026-01-02T00:00:00Z"),
        ([row("alpha", 1, 2), row("beta", 5)], "2026-01-06T00:00:00Z"),
    ],
    ids=["in force", "in force until later", "one that begins later"],
)
def test_add_is_refused_while_the_key_has_a_row(rows: list[StandingRow], since: str) -> None:
    with pytest.raises(InputRefused, match=f"code tag1: it is there already, from {since} on; settlement codes set"):
        new("add", 3, *rows, broker_id="gamma")


def test_a_key_whose_rows_have_all_ended_begins_again() -> None:
    added = new("add", 3, row("alpha", 1, 3), broker_id="beta")
    assert added is not None
    assert added["broker_id"] == "beta"


def test_adding_the_same_again_is_nothing_new() -> None:
    assert new("add", 1, row("alpha", 1), broker_id="alpha") is None


def test_set_takes_the_row_in_force_with_its_end_and_changes_what_is_given() -> None:
    changed = new("set", 4, row("alpha", 1, 2), row("beta", 3, 9), row("gamma", 10), broker_id="delta")
    assert changed == {
        "code": "tag1",
        "broker_id": "delta",
        "effective_from": at(4).isoformat(),
        "effective_to": at(9).isoformat(),
    }


def test_set_to_what_is_so_already_is_nothing_new() -> None:
    assert new("set", 4, row("alpha", 1), broker_id="alpha") is None


def test_end_gives_the_row_in_force_that_end() -> None:
    ended = new("end", 4, row("alpha", 1, 2), row("beta", 3))
    assert ended == {
        "code": "tag1",
        "broker_id": "beta",
        "effective_from": at(3).isoformat(),
        "effective_to": at(4).isoformat(),
    }


def test_ending_what_ends_then_already_is_nothing_new() -> None:
    assert new("end", 4, row("alpha", 1, 9), row("beta", 2, 4)) is None


@pytest.mark.parametrize("verb", ["set", "end"])
@pytest.mark.parametrize(
    "rows", [[], [row("alpha", 5)], [row("alpha", 1), row("beta", 2, 3)]], ids=["none", "later", "ended"]
)
def test_nothing_is_changed_or_ended_where_no_row_is_in_force(verb: Verb, rows: list[StandingRow]) -> None:
    with pytest.raises(InputRefused, match="code tag1: no row is in force at 2026-01-05T00:00:00Z"):
        new(verb, 4, *rows, broker_id="gamma")


def test_a_row_that_begins_later_takes_over() -> None:
    rows = [row("alpha", 1), row("gamma", 9), row("beta", 5)]
    following = next_after(rows, at(3))
    assert following is not None
    assert following.begins == at(5)
    assert next_after(rows, at(9)) is None
