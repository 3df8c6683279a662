"""Fills as the text that COPY reads."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.frames import TIMESTAMP
from settlement.store.copy_text import characters, encode_rows, time_text
from settlement.store.fill_reach import REACH, compact

TIMES = st.datetimes(datetime(2010, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - UTC is added


def read_back(text: str) -> datetime:
    return datetime.fromisoformat(text)


@given(st.lists(st.none() | TIMES, min_size=1, max_size=20), st.booleans())
def test_times_are_written_exactly(times: list[datetime | None], milliseconds: bool) -> None:  # noqa: FBT001 - drawn
    if milliseconds:
        times = [at and at.replace(microsecond=at.microsecond // 1000 * 1000) for at in times]
    written = time_text(pa.array(times, TIMESTAMP)).to_pylist()

    assert [text and read_back(text) for text in written] == times


def test_rows_are_lines_with_tabs_and_null_is_nothing() -> None:
    table = pa.table({"a": ["x", None], "b": ["back\\slash", "y"]})

    assert bytes(characters(encode_rows(table, ["a", "b"], last="7"))) == b"x\tback\\\\slash\t7\n\ty\t7\n"


def test_the_text_of_a_slice_is_its_own() -> None:
    lines = pa.array(["one\n", "two\n", "three\n"])

    assert bytes(characters(lines.slice(1, 1))) == b"two\n"


def test_reaches_are_joined_by_account_and_day() -> None:
    day = datetime(2026, 9, 14, tzinfo=UTC).date()
    parts = [
        [("5", "7")],
        [
            ("3", "6"),
        ],
    ]
    tables = [
        pa.Table.from_pylist(
            [dict(zip(REACH.names, ("okx", "1", day, *ends), strict=True)) for ends in part], schema=REACH
        )
        for part in parts
    ]

    assert compact(tables).to_pylist() == [{"venue": "okx", "account": "1", "day": day, "first": "3", "last": "7"}]


@pytest.mark.parametrize("table", ["fill", "quarantine"])
def test_the_application_cannot_change_what_is_stored(superuser: psycopg.Connection, table: str) -> None:
    superuser.execute("SET ROLE settlement_app")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        superuser.execute(f"DELETE FROM {table}")  # type: ignore[call-overload] # noqa: S608 - the names above
