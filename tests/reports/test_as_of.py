"""As-of views: what was exported at a moment is exported again, byte for byte, whatever has been recorded since."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from settlement.errors import Refused
from settlement.reports.as_of import await_recorded
from settlement.reports.export_queries import QUERIES
from settlement.reports.exports import Selection
from settlement.store import loads, recording
from settlement.store.database import Database
from tests.reports.story import SELECTIONS, WINDOWS, Told, clock, export_bytes
from tests.store.booking import book, earned, new_run
from tests.store.test_ledger_concurrency import until, waits_for_a_lock

EVERYTHING = Selection()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("what", QUERIES)
def test_what_was_exported_after_each_chapter_is_exported_again_as_of_then(
    told: Told, what: str, selection: str
) -> None:
    for name, chapter in told.chapters.items():
        again = export_bytes(told.database, what, SELECTIONS[selection], as_of=chapter.ended_at)
        assert again.decode() == chapter.exports[what, selection].decode(), name


@pytest.mark.parametrize("what", QUERIES)
def test_every_export_differs_between_chapters(told: Told, what: str) -> None:
    assert len({chapter.exports[what, "all"] for chapter in told.chapters.values()}) > 2


@pytest.mark.parametrize("what", QUERIES)
def test_before_the_installation_there_is_nothing(told: Told, what: str) -> None:
    before = next(iter(told.chapters.values())).ended_at - timedelta(days=1)
    assert export_bytes(told.database, what, EVERYTHING, as_of=before).count(b"\n") == 1


def test_a_payout_had_its_status_until_it_changed(told: Told) -> None:
    chapters = list(told.chapters)
    before, after = (told.chapters[name] for name in chapters[chapters.index("a payout fails") - 1 :][:2])
    statuses = [
        next(csv.DictReader(io.StringIO(chapter.exports["payouts", "alpha"].decode())))["status"]
        for chapter in (before, after)
    ]
    assert statuses == ["waiting", "failed"]


def test_json_and_parquet_hold_what_csv_holds_as_of_then(told: Told) -> None:
    then = told.chapters["a level comes late"].ended_at
    keys = list(csv.DictReader(io.StringIO(export_bytes(told.database, "lines", EVERYTHING, as_of=then).decode())))
    documents = json.loads(export_bytes(told.database, "lines", EVERYTHING, as_of=then, file_format="json"))
    table = pq.read_table(
        io.BytesIO(export_bytes(told.database, "lines", EVERYTHING, as_of=then, file_format="parquet"))
    )
    bills = [row["bill_id"] for row in keys]
    assert bills == [document["bill_id"] for document in documents] == table["bill_id"].to_pylist()
    assert len(bills) == 25


def test_a_moment_that_is_still_to_come_is_refused(database: Database) -> None:
    with pytest.raises(Refused, match=r"--as-of: .* is still to come; nothing is recorded as of later than"):
        await_recorded(database, clock(database) + timedelta(minutes=1))


def test_what_is_being_recorded_is_awaited(database: Database, pool: ThreadPoolExecutor) -> None:
    run_id = new_run(database)
    with database.transaction() as recorded:
        recording.begin(recorded)
        then = clock(database)
        waiting = pool.submit(await_recorded, database, then)
        until(lambda: waits_for_a_lock(database))
        assert not waiting.done()
    waiting.result(timeout=20)
    before = export_bytes(database, "entries", EVERYTHING, as_of=then)
    book(database, earned(run_id, "beta", "1"))
    assert export_bytes(database, "entries", EVERYTHING, as_of=then) == before
    assert export_bytes(database, "entries", EVERYTHING, as_of=clock(database)) != before


def test_facts_that_are_being_loaded_are_awaited(database: Database, pool: ThreadPoolExecutor) -> None:
    with database.transaction() as loading:
        loads.begin(loading)
        waiting = pool.submit(await_recorded, database, clock(database))
        until(lambda: waits_for_a_lock(database))
        assert not waiting.done()
    waiting.result(timeout=20)


def test_a_change_of_a_payouts_status_is_awaited(told: Told, pool: ThreadPoolExecutor) -> None:
    with told.database.engine.connect() as changing:
        changing.execute(text("UPDATE payout SET status = 'approved' WHERE payee = 'beta' AND status = 'waiting'"))
        waiting = pool.submit(await_recorded, told.database, clock(told.database))
        until(lambda: waits_for_a_lock(told.database))
        assert not waiting.done()
        changing.rollback()
    waiting.result(timeout=20)


def test_nothing_is_recorded_before_a_statement_should_the_clock_be_set_back(
    database: Database, superuser: psycopg.Connection
) -> None:
    as_of = clock(database) + timedelta(minutes=1)
    superuser.execute(
        "INSERT INTO statement (payee, period_start, period_end, as_of, issued_by, digest)"
        " VALUES ('beta', '2026-03-01', '2026-03-02', %s, 'ana', sha256(''))",
        [as_of],
    )
    book(database, earned(new_run(database), "beta", "1"))
    recorded = superuser.execute("SELECT min(recorded_at), (SELECT min(opened_at) FROM run) FROM entry").fetchone()
    assert recorded == (as_of + timedelta(microseconds=1), as_of + timedelta(microseconds=1))


def test_a_window_is_not_known_before_its_first_fill(told: Told) -> None:
    first = next(iter(told.chapters.values()))
    windows = export_bytes(told.database, "windows", EVERYTHING, as_of=first.ended_at).decode().splitlines()
    assert len(windows) == 1 + len(WINDOWS)
    assert (
        export_bytes(told.database, "windows", EVERYTHING, as_of=first.ended_at - timedelta(hours=1)).count(b"\n") == 1
    )


def test_the_tree_is_that_of_the_registry_as_it_stood(told: Told) -> None:
    before, after = (
        told.chapters[name].exports["lines", "alpha"] for name in ("the third window is settled", "facts are corrected")
    )
    assert b",3-7-1,gamma," not in before
    assert b",3-7-1,gamma," in after
