"""Pulling from a real HTTP server that answers as OKX does: every fill once, whatever goes wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import text
from tenacity import wait_none

from settlement.pipeline import pulling
from settlement.pipeline.ingest import ingest
from settlement.store import harvests
from settlement.store.harvests import Walk
from settlement.venues.okx import client
from settlement.venues.reading import FillFile
from tests.functional.commands import run
from tests.harvest.conftest import StartDesk
from tests.harvest.desk import HOUR, the_hour
from tests.harvest.rows import served, stored, write_recording


def test_every_fill_of_an_hour_is_stored_once_although_one_request_in_ten_fails(desk_at: StartDesk) -> None:
    start = the_hour()
    desk = desk_at("--accounts", "30", "--fills-per-hour", "6000", "--faults", "0.1", "--late-per-mille", "0")
    first = desk.pull_hour(start)
    again = desk.pull_hour(start)  # hidden rows show at the second reading
    assert (first.failures, again.failures) == ([], [])
    assert stored(desk) == served(desk, start)
    assert len(stored(desk)) == 6000
    assert first.counts.stored + again.counts.stored == 6000
    assert (first.counts.quarantined, first.counts.conflict) == (0, 0)
    stats = desk.sandbox.stats()
    assert stats["over_limit"] == {}
    assert len(stats["faults"]) >= 8


def test_pages_that_end_inside_one_millisecond_of_one_order_lose_nothing(desk_at: StartDesk) -> None:
    start = the_hour()
    desk = desk_at("--accounts", "2", "--fills-per-hour", "1200")
    desk.pull_hour(start)
    assert stored(desk) == served(desk, start)
    rows = desk.sandbox.fills()
    same = {(row["account"], row["ordId"], row["fillTime"]) for row in rows if row["ordId"]}
    assert len(same) < len(rows)


def test_pulling_again_by_schedule_reads_the_overlap_and_stores_what_is_new_only(desk_at: StartDesk) -> None:
    desk = desk_at("--accounts", "5", "--fills-per-hour", "1500", pull_from=the_hour(2))
    first = desk.pull()
    again = desk.pull()
    assert first.counts.stored > 2000
    assert again.counts.duplicate > 300
    assert first.counts.stored + again.counts.stored == desk.one("SELECT count(*) FROM fill")
    complete = "SELECT max(upper(covered)) - min(upper(covered)) < interval '10 s' FROM harvest"
    assert desk.one(complete) is True


def test_the_raw_pages_say_all_over_again_what_was_stored(
    desk_at: StartDesk, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SETTLEMENT_DATABASE_URL", database_url)
    start = the_hour()
    desk = desk_at("--accounts", "3", "--fills-per-hour", "900")
    desk.pull_hour(start)
    found = 0
    for account in (one["account"] for one in desk.sandbox.accounts):
        file = tmp_path / f"{account}.jsonl"
        run("raw-pages", account, "-o", file)
        report = ingest(
            desk.database,
            FillFile(file, account=account),
            source="replay",
            file=file.name,
            loaded_by="test",
            now=the_hour(-1),
        )
        assert (report.conflict, report.quarantined) == (0, 0)
        found += report.duplicate
    assert found == 900
    # What was recorded after the hour was asked for stands in the raw pages too; only it was new.
    later = "SELECT coalesce(bool_and(executed_at >= date_trunc('hour', now() - interval '1 min')), true) FROM fill"
    assert desk.one(f"{later} JOIN load USING (load_id) WHERE source = 'replay'") is True


def test_an_order_of_an_algo_gets_its_tag_and_a_flag(desk_at: StartDesk) -> None:
    start = the_hour()
    desk = desk_at("--accounts", "8", "--fills-per-hour", "2000")
    desk.pull_hour(start)
    flagged = desk.one("SELECT count(*) FROM fill WHERE flags = 'TAG_FROM_ALGO' AND tag <> '' AND algo_id <> ''")
    assert flagged > 20
    assert desk.one("SELECT count(*) FROM fill WHERE flags IS NOT NULL AND flags <> 'TAG_FROM_ALGO'") == 0
    rows = {(row["account"], row["billId"]): row for row in desk.sandbox.fills()}
    for account, bill_id, tag, flags in desk.stored("account, bill_id, coalesce(tag, ''), flags"):
        assert flags == "TAG_FROM_ALGO" or tag == rows[account, bill_id]["tag"]
    desk.pull_hour(start)
    asked = desk.sandbox.stats()["requests"]["GET /api/v5/trade/order-algo"]
    assert asked == desk.one("SELECT count(*) FROM order_tag WHERE algo_id <> ''")


def test_an_account_that_fails_is_parked_and_the_others_are_pulled(desk_at: StartDesk) -> None:
    start = the_hour()
    desk = desk_at("--accounts", "6", "--fills-per-hour", "1200")
    broken = desk.sandbox.accounts[2]["account"]
    desk.sandbox.control(f"accounts/{broken}", {"status": "revoked"})
    report = desk.pull_hour(start)
    assert [failure.account for failure in report.failures] == [broken]
    wanted = [row for row in served(desk, start) if row[0] != broken]
    assert stored(desk) == wanted
    with desk.database.transaction() as connection:
        row = connection.execute(
            text("SELECT status, status_reason FROM venue_account WHERE account = :a"), {"a": broken}
        )
        status, reason = row.one()
        [event] = connection.execute(text("SELECT data FROM outbox WHERE type = 'source.lagging'")).scalars()
    assert (status, "revoked" in reason, event["account"], event["parked"]) == ("parked", True, broken, True)


def test_an_account_that_somebody_else_harvests_is_left_to_him(desk_at: StartDesk) -> None:
    desk = desk_at("--accounts", "3", "--fills-per-hour", "300")
    taken = desk.sandbox.accounts[0]["account"]
    with desk.database.transaction() as somebody:
        assert harvests.claim(somebody, venue="okx", accounts=[taken]) == {taken}
        report = desk.pull_hour(the_hour())
    assert report.skipped == (taken,)
    assert taken not in {row[0] for row in stored(desk)}
    desk.pull_hour(the_hour())
    assert taken in {row[0] for row in stored(desk)}


def test_a_walk_that_was_begun_goes_on_at_its_cursor(
    desk_at: StartDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_soon", wait_none())  # the waits are tested elsewhere, and every type waits here
    start, recording = the_hour(), tmp_path / "fills.jsonl"
    write_recording(recording, start=start, fills=1000, accounts=1, types=("SPOT",))
    desk = desk_at("--replay", str(recording))
    # One request each for the types before SPOT, and three pages of it.
    script = [{"path": "/api/v5/trade/fills", "nth": nth, "fault": "50026"} for nth in range(8, 60)]
    desk.sandbox.control("faults", {"script": script})
    interrupted = desk.pull_hour(start)
    assert [failure.instrument_type for failure in interrupted.failures] == ["SPOT", "SWAP"]
    assert interrupted.counts.stored == 300
    with desk.database.transaction() as connection:
        found = harvests.standings(connection, venue="okx", accounts=[desk.sandbox.accounts[0]["account"]])
    walks = {kind: standing.walk.begin for (_, kind), standing in found.items() if standing.walk is not None}
    assert walks == {"SPOT": start}
    # What its pages have stored does not hide that it ended early.
    assert desk.one("SELECT array_agg(instrument_type ORDER BY 1) FROM harvest WHERE error IS NOT NULL") == [
        "SPOT",
        "SWAP",
    ]
    desk.sandbox.control("faults", {"script": []})
    desk.pull_hour(start)
    assert stored(desk) == served(desk, start)
    assert desk.one("SELECT array_agg(rows ORDER BY page_id) FROM raw_page") == [100] * 10
    assert desk.one("SELECT count(*) FROM raw_page WHERE request NOT LIKE '%after=%'") == 1


def test_back_filling_reads_only_what_was_never_read(desk_at: StartDesk) -> None:
    start = the_hour(30)
    desk = desk_at("--accounts", "2", "--fills-per-hour", "100")
    plan = pulling.missing(start, start + 26 * HOUR, venue="okx", now=the_hour(0))
    first = desk.pull(plan)
    assert first.counts.stored == 2600
    asked = dict(desk.sandbox.stats()["requests"])
    again = desk.pull(plan)
    assert (again.pages, again.counts.read) == (0, 0)
    assert dict(desk.sandbox.stats()["requests"]) == asked


def test_rows_that_come_late_are_found_by_the_schedule(desk_at: StartDesk) -> None:
    start = the_hour()
    desk = desk_at("--accounts", "3", "--fills-per-hour", "240", pull_from=start)
    hold = desk.sandbox.control("late", {"share_per_mille": 100, "until": "released"})
    desk.now = start + HOUR + HOUR / 30  # two minutes past the hour
    early = desk.pull()
    assert early.counts.stored < len(served(desk, start))
    desk.sandbox.control("release", {"hold": hold["hold"]} if "hold" in hold else {})
    desk.now = start + HOUR + HOUR / 30 + HOUR / 2
    desk.pull()
    in_overlap = "SELECT count(*) FROM fill WHERE executed_at >= date_trunc('hour', now()) - interval '35 min'"
    assert desk.one(in_overlap) > 0
    desk.pull(pulling.last_day(the_hour(0)))
    missing = set(served(desk, start)) - set(stored(desk))
    assert missing == set()


def test_a_step_without_a_cursor_leaves_no_walk(desk_at: StartDesk) -> None:
    desk = desk_at("--accounts", "1", "--fills-per-hour", "10")
    account = desk.sandbox.accounts[0]["account"]
    step = harvests.Step(
        account=account, instrument_type="SPOT", walk=Walk(begin=the_hour(), end=the_hour(0)), covered=None
    )
    with desk.database.transaction() as connection:
        harvests.take_steps(connection, venue="okx", steps=[step], now=the_hour(0))
        assert harvests.standings(connection, venue="okx", accounts=[account])[account, "SPOT"].walk is None


def test_the_bodies_of_raw_pages_are_what_the_exchange_sent(desk_at: StartDesk) -> None:
    desk = desk_at("--accounts", "1", "--fills-per-hour", "50")
    desk.pull_hour(the_hour())
    with desk.database.transaction() as connection:
        row = connection.execute(text("SELECT request, rows, body_bytes, body FROM raw_page LIMIT 1")).one()
    envelope = json.loads(pa.Codec("zstd").decompress(bytes(row.body), decompressed_size=row.body_bytes, asbytes=True))
    assert row.request.startswith("/api/v5/trade/fills?instType=")
    assert (envelope["code"], len(envelope["data"])) == ("0", row.rows)
