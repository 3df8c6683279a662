"""The doctor finds what was broken on purpose, and names the next step."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from settlement.pipeline.doctor import Check, Condition, examine
from settlement.store.database import Database

NOW = datetime(2026, 9, 14, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def check(database: Database, name: str) -> Check:
    [found] = [check for check in examine(database, now=NOW) if check.name == name]
    return found


def run_doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from settlement.cli.main import main; main()", "doctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def test_an_empty_database_is_well(database: Database) -> None:
    assert {check.condition for check in examine(database, now=NOW)} == {Condition.OK}


def test_a_window_past_its_deadline_is_late(database: Database, superuser: psycopg.Connection) -> None:
    superuser.execute("INSERT INTO settlement_window (window_start) VALUES (%s), (%s)", [NOW - 4 * HOUR, NOW - HOUR])
    late = check(database, "windows")
    assert late.condition is Condition.ATTENTION
    assert late.found == "1 past the deadline and not settled, the oldest from 2026-09-14T08:00Z"
    assert "settlement settle" in late.next_step


def test_a_settled_window_that_is_to_be_looked_at_again_is_told(
    database: Database, superuser: psycopg.Connection
) -> None:
    superuser.execute(
        "INSERT INTO settlement_window (window_start, status, recheck) VALUES (%s, 'settled', true), (%s, 'settled', false)",
        [NOW - 3 * HOUR, NOW - 2 * HOUR],
    )
    assert check(database, "windows, once more").found == (
        "1 settled and to be looked at again, the oldest from 2026-09-14T09:00Z"
    )


def test_a_run_that_nobody_closes_is_stuck(database: Database, superuser: psycopg.Connection) -> None:
    superuser.execute("INSERT INTO settlement_window (window_start) VALUES (%s)", [NOW - 4 * HOUR])
    superuser.execute(
        "INSERT INTO run (window_start, revision, kind, opened_at) VALUES (%s, 0, 'scheduled', %s)",
        [NOW - 4 * HOUR, NOW - 2 * HOUR],
    )
    assert check(database, "runs").condition is Condition.ATTENTION


@pytest.mark.parametrize(("age", "condition"), [(HOUR, Condition.ATTENTION), (timedelta(0), Condition.OK)])
def test_events_that_wait_for_long_are_noticed(
    database: Database, superuser: psycopg.Connection, age: timedelta, condition: Condition
) -> None:
    superuser.execute(
        "INSERT INTO outbox (type, subject, data, occurred_at) VALUES ('window.due', 'x', '{}', %s)", [NOW - age]
    )
    assert check(database, "outbox").condition is condition


def test_a_source_that_lags_is_named(database: Database, superuser: psycopg.Connection) -> None:
    superuser.execute("INSERT INTO source (name, watermark) VALUES ('okx', %s), ('fine', %s)", [NOW - 5 * HOUR, NOW])
    assert check(database, "sources").found == "1 complete up to long ago only: okx (2026-09-14T07:00Z)"


def test_quarantine_is_counted_by_kind_with_its_last_file(database: Database, superuser: psycopg.Connection) -> None:
    superuser.execute("INSERT INTO load (kind, source, loaded_by) VALUES ('fills', 'x', 'me')")
    for number in (1, 2):
        superuser.execute(
            "INSERT INTO quarantine (load_id, kind, file, row_number, reason) VALUES (1, 'bad_row', %s, 1, 'size is NaN')",
            [f"day-{number}.csv"],
        )
    assert check(database, "quarantine, bad_row").found == "2 rows, the last from day-2.csv: size is NaN"


def test_pending_lines_are_shown_with_the_fact_that_is_missing(
    database: Database, superuser: psycopg.Connection
) -> None:
    make_pending_line(superuser, reason="VIP_UNKNOWN")
    pending = check(database, "pending, VIP_UNKNOWN")
    assert pending.found == "1 lines miss VIP level of okx 4470"
    assert "vip_levels.csv" in pending.next_step


@pytest.mark.parametrize(
    ("reason", "missing"),
    [
        ("TERMS_MISSING", "terms in force at 2026-09-14T06h"),
        ("TIER_UNKNOWN", "a tier of the terms for R1"),
        ("INSTRUMENT_UNKNOWN", "instrument BTC-USDT-SWAP"),
        ("PRICE_MISSING", "price of OKB (or of what BTC-USDT-SWAP is quoted in) at 2026-09-14T06h"),
    ],
)
def test_every_pending_reason_says_what_is_missing(
    database: Database, superuser: psycopg.Connection, reason: str, missing: str
) -> None:
    make_pending_line(superuser, reason=reason)
    assert check(database, f"pending, {reason}").found == f"1 lines miss {missing}"


def test_a_balance_changed_by_hand_is_broken(database: Database, superuser: psycopg.Connection) -> None:
    superuser.execute("SET session_replication_role = replica")
    superuser.execute("INSERT INTO balance VALUES ('operator:treasury_usdt', 'R1', 0.000000000001)")
    ledger = check(database, "ledger")
    assert ledger.condition is Condition.BROKEN
    assert "0.000000000001 USDT" in ledger.found


def test_the_command_says_all_as_json_and_succeeds(database_url: str, redis_url: str) -> None:
    result = run_doctor("--json", SETTLEMENT_DATABASE_URL=database_url, SETTLEMENT_REDIS_URL=redis_url)
    assert result.stderr == ""
    assert result.returncode == 0
    conditions = {check["name"]: check["condition"] for check in json.loads(result.stdout)["checks"]}
    assert conditions["schema"] == "ok"
    assert conditions["time limits"] == "ok"
    assert conditions["workers"] == "attention"


def test_the_command_fails_without_the_schema_and_says_what_to_do(empty_database_url: str, redis_url: str) -> None:
    result = run_doctor(SETTLEMENT_DATABASE_URL=empty_database_url, SETTLEMENT_REDIS_URL=redis_url)
    assert result.returncode == 1
    assert "settlement init" in result.stdout


def test_a_redis_that_does_not_answer_is_broken_and_its_password_stays_hidden(database_url: str) -> None:
    result = run_doctor(SETTLEMENT_DATABASE_URL=database_url, SETTLEMENT_REDIS_URL="redis://me:hunter2@127.0.0.1:9/0")
    assert result.returncode == 1
    assert "Redis does not answer" in result.stdout
    assert "hunter2" not in result.stdout + result.stderr


def make_pending_line(superuser: psycopg.Connection, *, reason: str) -> None:
    start = NOW - 6 * HOUR
    superuser.execute("SELECT ensure_partitions('fill', '2026-09-14', '2026-09-14')")
    superuser.execute("SELECT ensure_partitions('line', '2026-09-14', '2026-09-14')")
    superuser.execute(
        "INSERT INTO fill (venue, account, bill_id, instrument, instrument_type, side, price, size, fee, fee_currency,"
        " executed_at, load_id) VALUES ('okx', '4470', '1', 'BTC-USDT-SWAP', 'SWAP', 'buy', 1, 1, -1, 'OKB', %s, 1)",
        [start],
    )
    superuser.execute("INSERT INTO settlement_window (window_start) VALUES (%s)", [start])
    superuser.execute("INSERT INTO run (window_start, revision, kind) VALUES (%s, 0, 'scheduled')", [start])
    superuser.execute("INSERT INTO run_shard (run_id, root) VALUES (1, 'R1')")
    superuser.execute(
        "INSERT INTO run_outcome (run_id, root, line_root, status, reason, lines) VALUES (1, 'R1', 'R1', 'pending', %s, 1)",
        [reason],
    )
    superuser.execute(
        "INSERT INTO basis (root, broker_id, status, reason, product, flags)"
        " VALUES ('R1', 'R1', 'pending', %s, 'futures', '')",
        [reason],
    )
    superuser.execute(
        "INSERT INTO line (window_start, venue, account, bill_id, revision, run_id, basis_id)"
        " VALUES (%s, 'okx', '4470', '1', 0, 1, 1)",
        [start],
    )
