"""A file of fills taken in: stored once, duplicates counted, conflicts and bad rows put aside, windows and events."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier, local

import psycopg
import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlalchemy import Connection

from settlement.errors import InputRefused
from settlement.pipeline import ingest as use_case
from settlement.pipeline.fill_blocks import Block
from settlement.store import fills
from settlement.store.database import Database
from tests.pipeline.ingesting import counts, query, stored_fills, take_in, take_in_file
from tests.venues.fill_files import FIRST, NOW, as_csv, as_envelope, fill

DAY_MS = 86_400_000
ROWS = [fill(number, account=str(7000 + number % 3)) for number in range(1, 41)]
NEXT_DAY = str(FIRST + DAY_MS)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block of the reader is a batch of its own, and blocks are small."""
    monkeypatch.setattr(use_case, "BATCH_ROWS", 1)
    monkeypatch.setattr("settlement.venues.files.lines.BLOCK_BYTES", 700)


def test_fills_are_stored_with_every_digit_and_empty_is_null(database: Database) -> None:
    report = take_in(database, [fill(1, price="060000.500", tag="", recorded_at="2026-09-14T07:00:01.007Z")])

    assert counts(report) == (1, 1, 0, 0, 0)
    [row] = stored_fills(database)
    assert (str(row["price"]), row["tag"], row["channel"], row["flags"]) == ("60000.500", None, None, None)
    assert row["executed_at"] == datetime(2026, 9, 14, 7, 0, 1, tzinfo=UTC)
    assert row["venue_recorded_at"] == datetime(2026, 9, 14, 7, 0, 1, 7000, tzinfo=UTC)


def test_text_that_copy_could_misread_arrives_as_it_was(database: Database) -> None:
    odd = ["\\N", "\\.", "a\\tb", 'quo"te', "com,ma", "ü", "\\\\"]
    take_in(database, [fill(number, client_order_id=text) for number, text in enumerate(odd)])

    assert [row["client_order_id"] for row in stored_fills(database)] == odd


def test_the_same_file_again_is_all_duplicates_and_changes_nothing(database: Database) -> None:
    assert counts(take_in(database, ROWS)) == (40, 40, 0, 0, 0)
    before = stored_fills(database)

    assert counts(take_in(database, ROWS)) == (40, 0, 40, 0, 0)
    assert stored_fills(database) == before


@pytest.mark.usefixtures("small_batches")
def test_overlapping_and_shuffled_files_give_the_same_fills(database: Database) -> None:
    shuffled = random.Random(5).sample(ROWS, len(ROWS))  # noqa: S311 - a test's order
    first, second = take_in(database, shuffled[:25]), take_in(database, shuffled[15:])

    assert counts(first) == (25, 25, 0, 0, 0)
    assert counts(second) == (25, 15, 10, 0, 0)
    assert [row["bill_id"] for row in stored_fills(database)] == sorted_bills()


def sorted_bills() -> list[str]:
    return [row["bill_id"] for row in sorted(ROWS, key=lambda row: (row["account"], row["bill_id"]))]


def test_parquet_json_and_csv_store_the_same(database: Database) -> None:
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_pylist(ROWS), sink)

    assert counts(take_in(database, ROWS)) == (40, 40, 0, 0, 0)
    assert counts(take_in_file(database, sink.getvalue().to_pybytes(), file="f.parquet")) == (40, 0, 40, 0, 0)
    assert counts(take_in_file(database, as_envelope(ROWS), file="f.json")) == (40, 0, 40, 0, 0)


def test_the_same_content_means_equal_by_value(database: Database) -> None:
    take_in(database, [fill(1, price="1.0", tag="")])
    again = fill(1, price="1", fee="-1e-4", tag="", executed_at="2026-09-14T09:00:01.000+02:00", channel="unknown")

    assert counts(take_in(database, [again])) == (1, 0, 1, 0, 0)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"fee": "-0.0002"}, "fee is -0.0002, stored -0.0001"),
        ({"tag": ""}, "tag is empty, stored alphaOne"),
        ({"side": "sell", "price": "1"}, "side is sell, stored buy, price is 1, stored 60000.5"),
        (
            {"executed_at": str(FIRST + 7_200_000)},
            "executed_at is 2026-09-14 09:00:00+00, stored 2026-09-14 07:00:01+00",
        ),
        ({"executed_at": NEXT_DAY}, "executed_at is 2026-09-15 07:00:00+00, stored 2026-09-14 07:00:01+00"),
    ],
)
def test_other_content_under_a_stored_key_is_a_conflict(
    database: Database, change: dict[str, str], difference: str
) -> None:
    take_in(database, [fill(1)])
    before = stored_fills(database)
    report = take_in(database, [fill(2), fill(1, **change)], file="later.csv")

    assert counts(report) == (2, 1, 0, 1, 0)
    assert report.first_reasons == (f"row 3: the same key is stored with other content: {difference}",)
    [aside] = query(database, "SELECT kind, file, row_number, reason, raw FROM quarantine")
    assert (aside["kind"], aside["file"], aside["row_number"]) == ("conflict", "later.csv", 3)
    assert '"bill_id": "5001"' in aside["raw"]
    assert stored_fills(database)[:1] == before


def test_a_new_fill_that_shares_its_line_with_a_stored_one_is_stored(database: Database) -> None:
    """JSON lines may hold an envelope a line: all its rows have that line's number."""

    def lines(*envelopes: tuple[int, ...]) -> bytes:
        return b"".join(as_envelope([fill(number) for number in one]) + b"\n" for one in envelopes)

    take_in_file(database, lines((1,), (2,)), file="first.jsonl")
    report = take_in_file(database, lines((1, 3), (2, 4)), file="second.jsonl")
    assert counts(report) == (4, 2, 2, 0, 0)
    assert query(database, "SELECT count(*) AS number FROM fill") == [{"number": 4}]


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("day_first", [True, False])
def test_a_key_twice_in_one_file_on_two_days_is_stored_once(database: Database, *, day_first: bool) -> None:
    others = [fill(number) for number in range(2, 30)]
    moved = fill(1, executed_at=NEXT_DAY)
    rows = [fill(1), *others, moved] if day_first else [moved, *others, fill(1)]

    assert counts(take_in(database, rows)) == (30, 29, 0, 1, 0)
    [kept] = [row for row in stored_fills(database) if row["bill_id"] == "5001"]
    assert kept["executed_at"].day == (14 if day_first else 15)


def test_bill_ids_that_overlap_on_two_days_but_differ_are_all_stored(database: Database) -> None:
    even = [fill(number, executed_at=str(FIRST + number)) for number in range(0, 20, 2)]
    odd = [fill(number, executed_at=str(FIRST + DAY_MS + number)) for number in range(1, 20, 2)]
    take_in(database, even)

    assert counts(take_in(database, odd)) == (10, 10, 0, 0, 0)
    reach = query(database, "SELECT day::text, bill_id_min, bill_id_max FROM fill_reach ORDER BY day")
    assert [tuple(row.values()) for row in reach] == [("2026-09-14", "5000", "5018"), ("2026-09-15", "5001", "5019")]


def test_a_key_repeated_in_one_file_is_compared_with_its_first(database: Database) -> None:
    report = take_in(database, [fill(1), fill(1), fill(1, fee="-9"), fill(2)])

    assert counts(report) == (4, 2, 1, 1, 0)
    assert [str(row["fee"]) for row in stored_fills(database)] == ["-0.0001", "-0.0001"]


def test_the_same_bill_of_another_account_is_another_fill(database: Database) -> None:
    assert counts(take_in(database, [fill(1), fill(1, account="7002"), fill(1, venue="other")])) == (3, 3, 0, 0, 0)


def test_bad_rows_are_put_aside_and_the_good_ones_go_on(database: Database) -> None:
    report = take_in(database, [fill(1), fill(2, price="abc"), fill(3, size="-1"), fill(4)])

    assert counts(report) == (4, 2, 0, 0, 2)
    assert report.first_reasons[0].startswith("row 3: price is not a decimal: 'abc'")
    rows = query(database, "SELECT kind, row_number, reason, raw FROM quarantine ORDER BY row_number")
    assert [(row["kind"], row["row_number"]) for row in rows] == [("bad_row", 3), ("bad_row", 4)]
    assert "price=abc" in rows[0]["raw"]


@pytest.mark.usefixtures("small_batches")
def test_what_is_refused_in_the_middle_leaves_nothing_behind(database: Database) -> None:
    class Broken:
        def __iter__(self) -> Iterator[Block]:
            yield Block(
                table=pa.table({name: [value] for name, value in fill(1).items()}), row_numbers=pa.array([1]), bad=EMPTY
            )
            raise InputRefused("is damaged", where="f")

    with pytest.raises(InputRefused):
        use_case.ingest(database, Broken(), source="test", file="f", loaded_by="tests", now=NOW)
    for table in ("fill", "load", "settlement_window", "outbox", "fill_account", "fill_reach"):
        assert query(database, f"SELECT count(*) FROM {table}") == [{"count": 0}]  # noqa: S608 - names above


EMPTY = pa.table(
    {"row_number": pa.array([], pa.int64()), "reason": pa.array([], pa.string()), "raw": pa.array([], pa.string())}
)


def test_an_iterator_is_refused_because_a_second_try_would_find_it_empty(database: Database) -> None:
    with pytest.raises(TypeError, match="more than once"):
        use_case.ingest(database, iter([]), source="test", file="f", loaded_by="tests", now=NOW)


def test_the_windows_of_new_fills_are_opened_and_settled_ones_are_to_be_rechecked(
    database: Database, superuser: psycopg.Connection
) -> None:
    take_in(
        database,
        [fill(1), fill(2, executed_at="2026-09-14T08:59:59.999Z"), fill(3, executed_at="2026-09-14T10:00:00Z")],
    )
    superuser.execute("UPDATE settlement_window SET status = 'settled' WHERE window_start >= '2026-09-14 08:00+00'")
    take_in(
        database,
        [fill(1), fill(4), fill(5, executed_at="2026-09-14T08:30:00Z"), fill(3, executed_at="2026-09-14T10:00:00Z")],
    )

    rows = query(database, "SELECT window_start, status, recheck FROM settlement_window ORDER BY window_start")
    assert [(row["window_start"].hour, row["status"], row["recheck"]) for row in rows] == [
        (7, "open", False),
        (8, "settled", True),
        (10, "settled", False),
    ]


@pytest.mark.parametrize(("first", "again"), [("", "0"), ("0.00", "")])
def test_a_rebate_of_nothing_and_none_say_the_same(database: Database, first: str, again: str) -> None:
    take_in(database, [fill(1, fee_rebate=first)])
    report = take_in(database, [fill(1, fee_rebate=again), fill(1, fee_rebate=again)], file="again.csv")
    assert (report.duplicate, report.conflict) == (2, 0)


def test_events_say_what_was_taken_in_and_what_was_put_aside(database: Database) -> None:
    take_in(database, [fill(1), fill(1), fill(1, fee="-9"), fill(2, price="x")])

    ingested, quarantined = query(database, "SELECT type, data FROM outbox ORDER BY outbox_id")
    expected = {"read": 4, "stored": 1, "duplicate": 1, "conflict": 1, "quarantined": 1}
    assert ingested["type"] == "fills.ingested"
    assert {name: ingested["data"][name] for name in expected} == expected
    assert ingested["data"]["windows"] == ["2026-09-14T07:00:00+00:00"]
    assert (quarantined["type"], quarantined["data"]["bad_row"], quarantined["data"]["conflict"]) == (
        "fill.quarantined",
        1,
        1,
    )


@pytest.mark.usefixtures("small_batches")
def test_the_same_file_taken_in_twice_at_once_is_stored_once(database: Database) -> None:
    rows = [fill(number, account=str(7000 + number % 5)) for number in range(300)]
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda _: take_in(database, rows), range(2)))

    assert sum(report.stored for report in reports) == 300
    assert sum(report.duplicate for report in reports) == 300
    assert len(stored_fills(database)) == 300


@pytest.mark.usefixtures("small_batches")
def test_a_deadlock_between_two_files_is_undone_and_one_of_them_goes_again_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [fill(number, account=str(7000 + number // 20)) for number in range(40)]
    both_hold_one, lock, begin = Barrier(2), fills.lock_accounts, fills.begin_ingest
    first_of_thread, manners = local(), []

    def lock_and_wait(connection: Connection, accounts: Iterable[fills.Account]) -> None:
        lock(connection, accounts)
        if not hasattr(first_of_thread, "done"):
            first_of_thread.done = True
            both_hold_one.wait(timeout=60)

    def begin_and_note(connection: Connection, *, alone: bool) -> None:
        manners.append(alone)
        begin(connection, alone=alone)

    monkeypatch.setattr(fills, "lock_accounts", lock_and_wait)
    monkeypatch.setattr(fills, "begin_ingest", begin_and_note)
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda part: take_in(database, part), [rows, rows[::-1]]))

    assert sorted(manners) == [False, False, True]
    assert sorted((report.stored, report.duplicate) for report in reports) == [(0, 40), (40, 0)]


def test_days_between_two_fills_get_no_partition(database: Database) -> None:
    take_in(database, [fill(1, executed_at="2011-03-01T00:00:00Z"), fill(2)])

    partitions = query(database, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'fill'::regclass")
    assert partitions == [{"count": 2}]


def test_rows_stand_by_hour_so_that_an_hour_is_read_alone(database: Database) -> None:
    rows = [
        fill(number, account=str(number % 7), executed_at=str(FIRST + number % 5 * 3_600_000)) for number in range(500)
    ]
    take_in_file(database, as_csv(rows), file="f.csv")

    hours = [
        row["hour"] for row in query(database, "SELECT date_trunc('hour', executed_at) AS hour FROM fill ORDER BY ctid")
    ]
    assert hours == sorted(hours)
