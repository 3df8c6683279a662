"""Settling windows: once, again, at once, late, and after a death in the middle."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from freezegun import freeze_time
from sqlalchemy import text

from settlement.errors import Refused
from settlement.pipeline import settle as use_case
from settlement.pipeline.audit import verify_ledger
from settlement.pipeline.settle import open_run, settle_shard, settle_window
from settlement.store import payouts
from settlement.store.database import Database
from tests.workers import program

WINDOW = program.FIRST


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def loaded(database: Database) -> Database:
    program.load_program(database)
    return database


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.transaction() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def add_fill(superuser: psycopg.Connection, *, account: str, bill_id: str, at: datetime, fee: str = "-1") -> None:
    superuser.execute(
        """
        INSERT INTO fill (venue, account, bill_id, instrument, instrument_type, side, liquidity, price, size, fee,
                          fee_currency, executed_at, channel, load_id)
        VALUES ('okx', %s, %s, 'BTC-USDT', 'SPOT', 'buy', 'taker', 50000, 0.01, %s, 'USDT', %s, 'api', 1)
        """,
        (account, bill_id, fee, at),
    )


def assert_ledger_holds(database: Database) -> None:
    report = verify_ledger(database, sample=None)
    assert [finding for check in report.checks for finding in check.findings] == []


def test_each_fill_has_one_line_and_each_root_its_shard(loaded: Database) -> None:
    opened = settle_window(loaded, WINDOW, now=now())
    assert opened is not None
    assert opened.roots == ["", "alpha", "beta", "delta"]
    assert rows(
        loaded, "SELECT status, reason, count(*) FROM line JOIN basis USING (basis_id) GROUP BY 1, 2 ORDER BY 1, 2"
    ) == [
        ("earned", "", 240),
        ("excluded", "UNATTRIBUTED", 60),
        ("excluded", "VIP_EXCLUDED", 60),
    ]
    assert_ledger_holds(loaded)


def test_settling_again_opens_no_run(loaded: Database) -> None:
    settle_window(loaded, WINDOW, now=now())
    before = program.result(loaded)
    assert settle_window(loaded, WINDOW, now=now()) is None
    assert program.result(loaded) == before


def test_settling_at_once_gives_one_result(loaded: Database) -> None:
    with ThreadPoolExecutor(max_workers=4) as pool:
        for settled in [pool.submit(settle_window, loaded, WINDOW, now=now()) for _ in range(4)]:
            settled.result()
    assert rows(loaded, "SELECT count(*), count(DISTINCT (venue, account, bill_id)) FROM line") == [(360, 360)]
    assert rows(loaded, "SELECT count(*) FROM run") == [(1,)]
    assert_ledger_holds(loaded)


def test_a_shard_that_died_leaves_nothing_and_is_settled_by_the_next(
    loaded: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_run(loaded, WINDOW, now=now())
    assert opened is not None
    with monkeypatch.context() as dying:
        dying.setattr(payouts, "instruct", lambda *_, **__: pytest.fail("dies after the entries were posted"))
        with pytest.raises(pytest.fail.Exception, match="dies after"):
            settle_shard(loaded, opened.run_id, "alpha", now=now())
    assert rows(loaded, "SELECT (SELECT count(*) FROM line), (SELECT count(*) FROM entry)") == [(0, 0)]
    settle_window(loaded, WINDOW, now=now())
    assert rows(loaded, "SELECT count(*) FROM line") == [(360,)]
    assert_ledger_holds(loaded)


def test_a_shard_settled_twice_changes_nothing_the_second_time(loaded: Database) -> None:
    opened = open_run(loaded, WINDOW, now=now())
    assert opened is not None
    assert settle_shard(loaded, opened.run_id, "alpha", now=now()) is True
    assert settle_shard(loaded, opened.run_id, "alpha", now=now()) is False
    assert rows(loaded, "SELECT status FROM settlement_window WHERE status = 'settling'") == [("settling",)]


def test_a_late_fill_is_settled_by_a_supplementary_run(loaded: Database, superuser: psycopg.Connection) -> None:
    settle_window(loaded, WINDOW, now=now())
    add_fill(superuser, account="1", bill_id="late", at=WINDOW + timedelta(minutes=59))
    opened = settle_window(loaded, WINDOW, now=now())
    assert opened is not None
    assert opened.roots == ["alpha"]
    assert rows(loaded, "SELECT kind, revision FROM run ORDER BY run_id") == [("scheduled", 0), ("supplementary", 1)]
    assert rows(loaded, "SELECT commission_usdt FROM line WHERE bill_id = 'late'") == [(Decimal("0.3"),)]
    assert_ledger_holds(loaded)


def test_a_pending_line_is_settled_once_the_missing_fact_is_loaded(
    loaded: Database, superuser: psycopg.Connection
) -> None:
    superuser.execute("DELETE FROM vip_level WHERE account = '2'")
    settle_window(loaded, WINDOW, now=now())
    pending = "SELECT count(*) FROM current_line JOIN basis USING (basis_id) WHERE status = 'pending'"
    assert rows(loaded, pending) == [(60,)]
    assert settle_window(loaded, WINDOW, now=now()) is None

    superuser.execute(
        """
        WITH later AS (INSERT INTO load (kind, source, loaded_by) VALUES ('registry', 'later', 'test') RETURNING load_id)
        INSERT INTO vip_level (venue, account, level, effective_from, load_id)
        SELECT 'okx', '2', 1, '2025-01-01Z', load_id FROM later
        """
    )
    opened = settle_window(loaded, WINDOW, now=now())
    assert opened is not None
    assert opened.roots == ["beta"]
    assert rows(loaded, pending) == [(0,)]
    assert rows(
        loaded, "SELECT status, sum(lines)::int FROM run_outcome GROUP BY 1 HAVING sum(lines) <> 0 ORDER BY 1"
    ) == [
        ("earned", 240),
        ("excluded", 120),
    ]
    assert_ledger_holds(loaded)


def test_facts_that_are_loaded_while_a_run_is_planned_have_the_window_looked_at_again(
    loaded: Database, superuser: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = use_case.load_facts

    def then_somebody_loads(*arguments: Any, **options: Any) -> Any:
        facts = read(*arguments, **options)
        superuser.execute("INSERT INTO load (kind, source, loaded_by) VALUES ('registry', 'meanwhile', 'test')")
        return facts

    with monkeypatch.context() as between:
        between.setattr(use_case, "load_facts", then_somebody_loads)
        open_run(loaded, WINDOW, now=now())
    settle_window(loaded, WINDOW, now=now())
    recheck = f"SELECT recheck FROM settlement_window WHERE window_start = '{WINDOW}'"  # noqa: S608 - a constant
    assert rows(loaded, recheck) == [(True,)]
    assert settle_window(loaded, WINDOW, now=now()) is None
    assert rows(loaded, recheck) == [(False,)]


def test_a_broker_that_moves_within_the_hour_is_in_both_trees(loaded: Database, superuser: psycopg.Connection) -> None:
    superuser.execute(
        """
        INSERT INTO broker (broker_id, name, model, parent_id, share, status, effective_from, load_id)
        VALUES ('gamma', 'Gamma', 'api', 'alpha', 0.25, 'active', %s, 1)
        """,
        [WINDOW + timedelta(minutes=30)],
    )
    settle_window(loaded, WINDOW, now=now())
    of_gamma = (
        "SELECT root, count(*) FROM line JOIN basis USING (basis_id) WHERE broker_id = 'gamma' GROUP BY 1 ORDER BY 1"
    )
    assert rows(loaded, of_gamma) == [("alpha", 30), ("beta", 30)]
    assert_ledger_holds(loaded)


def test_an_empty_window_is_settled_and_sealed(loaded: Database) -> None:
    opened = settle_window(loaded, WINDOW - timedelta(hours=1), now=now())
    assert opened is not None
    assert opened.roots == []
    seal = {"fills": 0, "fees": {}, "digest": "0" * 16}
    assert rows(loaded, "SELECT status, seal FROM settlement_window ORDER BY window_start LIMIT 1") == [
        ("settled", seal)
    ]


def test_the_rest_below_the_quantum_stays_payable(loaded: Database) -> None:
    for window_start in program.WINDOWS:
        settle_window(loaded, window_start, now=now())
    owed = dict(rows(loaded, "SELECT payee, sum(amount_usdt) FROM line_share GROUP BY payee"))
    instructed = dict(rows(loaded, "SELECT payee, sum(amount_usdt) FROM payout GROUP BY payee"))
    assert {payee: amount.quantize(Decimal("0.01"), "ROUND_DOWN") for payee, amount in owed.items()} == instructed


def test_a_window_that_has_not_ended_is_refused(loaded: Database) -> None:
    with (
        freeze_time(WINDOW + timedelta(minutes=59)),
        pytest.raises(Refused, match="has not ended yet; settle it after"),
    ):
        settle_window(loaded, WINDOW, now=now())


def test_a_window_starts_on_the_hour(loaded: Database) -> None:
    with pytest.raises(Refused, match="a window starts on the hour"):
        settle_window(loaded, WINDOW + timedelta(minutes=1), now=now())
