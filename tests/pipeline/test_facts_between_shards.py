"""Facts that are loaded between two shards of one run: each fill still gets one line, and each count holds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from settlement.pipeline.load_prices import load_prices
from settlement.pipeline.load_report import Act
from settlement.pipeline.settle import OpenedRun, open_run, settle_shard
from settlement.store.database import Database
from tests.pipeline.capped_program import CapDesk, a_fill, settle_all, waiting
from tests.recalculation.desk import LONG_AGO
from tests.workers import program

STANDS = "SELECT bill_id, root, status, reason FROM current_line JOIN basis USING (basis_id) ORDER BY bill_id"
PENDING = """
    SELECT line_root, reason, sum(lines)::int FROM run_outcome WHERE status = 'pending'
    GROUP BY 1, 2 HAVING sum(lines) <> 0 ORDER BY 1, 2"""
TWICE = """
    SELECT venue, account, bill_id FROM line GROUP BY 1, 2, 3, revision HAVING count(*) > 1
    UNION ALL SELECT venue, account, bill_id FROM fill f WHERE NOT EXISTS (
        SELECT FROM line l WHERE (l.venue, l.account, l.bill_id) = (f.venue, f.account, f.bill_id))"""


@pytest.fixture
def desk(database: Database) -> CapDesk:
    program.load_program(database, fills=False)
    return CapDesk(database)


def price(desk: CapDesk, currency: str, usdt: int) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory, "prices.csv")
        path.write_text(f"currency,ts,price_usdt\n{currency},{program.FIRST.isoformat()},{usdt}\n")
        load_prices(desk.database, path, act=Act(loaded_by="test", correction=None))


def link(desk: CapDesk, broker: str, *, since: str = LONG_AGO, correction: str | None = None) -> None:
    """Account 1 is this broker's client. Accepted without a correction as long as nothing settled stands on it."""
    desk.correct("clients.csv", f"okx,1,{broker},{since},,,,", correction=correction)


def opened(desk: CapDesk) -> OpenedRun:
    run = open_run(desk.database, program.FIRST, now=datetime.now(UTC))
    assert run is not None
    return run


def settle(desk: CapDesk, run: OpenedRun, *roots: str) -> None:
    for root in roots:
        assert settle_shard(desk.database, run.run_id, root, now=datetime.now(UTC))


def is_whole(desk: CapDesk) -> bool:
    return (desk.rows(TWICE), desk.verify(), waiting(desk.database)) == ([], [], [])


def test_a_client_who_moves_while_his_pending_lines_are_looked_at_is_paid_in_his_new_tree(desk: CapDesk) -> None:
    desk.take_in(
        a_fill("btc", account="1", fee="-0.0001", fee_currency="BTC"),
        a_fill("eth", account="1", fee="-0.001", fee_currency="ETH"),
    )
    settle_all(desk.database)
    price(desk, "BTC", 60000)
    run = opened(desk)
    assert run.roots == ["alpha"]
    link(desk, "beta")
    settle(desk, run, "alpha")
    assert desk.rows(PENDING) == [("alpha", "PRICE_MISSING", 2)]
    settle_all(desk.database)
    assert desk.rows(STANDS) == [("btc", "beta", "earned", ""), ("eth", "beta", "pending", "PRICE_MISSING")]
    assert desk.rows(PENDING) == [("beta", "PRICE_MISSING", 1)]
    assert is_whole(desk)


def test_a_client_who_moves_on_between_the_two_shards_of_a_move_stays_pending_until_the_price_comes(
    desk: CapDesk,
) -> None:
    desk.take_in(a_fill("btc", account="1", fee="-0.0001", fee_currency="BTC"))
    settle_all(desk.database)
    link(desk, "beta")
    run = opened(desk)
    assert run.roots == ["alpha", "beta"]
    settle(desk, run, "alpha")
    link(desk, "delta")
    settle(desk, run, "beta")
    settle_all(desk.database)
    assert desk.rows(STANDS) == [("btc", "delta", "pending", "PRICE_MISSING")]
    assert desk.rows(PENDING) == [("delta", "PRICE_MISSING", 1)]
    price(desk, "BTC", 60000)
    settle_all(desk.database)
    assert desk.rows(STANDS) == [("btc", "delta", "earned", "")]
    assert is_whole(desk)


@pytest.mark.parametrize(("at_half_past", "later", "of_late"), [("beta", "06:15", "beta"), ("alpha", "06:45", "alpha")])
def test_a_correction_between_two_shards_of_a_first_run_gives_no_fill_two_lines_and_none_no_line(
    desk: CapDesk, at_half_past: str, later: str, of_late: str
) -> None:
    times = [datetime(2026, 3, 1, 6, minute, tzinfo=UTC) for minute in (10, 20, 40, 50)]
    desk.take_in(*(a_fill(f"{at:%M}", account="1", at=at) for at in times))
    link(desk, "beta", since="2026-03-01T06:30:00Z")
    run = opened(desk)
    settle(desk, run, "alpha")
    link(desk, at_half_past, since="2026-03-01T06:30:00Z", correction="the contract says so")
    link(desk, "beta", since=f"2026-03-01T{later}:00Z", correction="the contract says so")
    settle(desk, run, "beta")
    settle_all(desk.database)
    # What alpha's shard had settled stands until it is recalculated.
    assert [(bill_id, root) for bill_id, root, _, _ in desk.rows(STANDS)] == [
        ("10", "alpha"),
        ("20", "alpha"),
        ("40", of_late),
        ("50", "beta"),
    ]
    assert is_whole(desk)
    desk.recalculate(windows=1)
    assert is_whole(desk)


def test_a_count_that_is_below_nothing_stops_no_money_and_is_found(desk: CapDesk) -> None:
    desk.take_in(a_fill("btc", account="1", fee="-0.0001", fee_currency="BTC"))
    settle_all(desk.database)
    with desk.database.transaction() as connection:
        connection.exec_driver_sql("""
            INSERT INTO run_outcome (run_id, root, line_root, status, reason, lines)
            SELECT run_id, root, 'beta', 'pending', 'PRICE_MISSING', -2 FROM run_shard""")
    price(desk, "BTC", 60000)
    settle_all(desk.database)
    assert desk.rows(STANDS) == [("btc", "alpha", "earned", "")]
    assert desk.rows("SELECT data ->> 'pending' FROM outbox WHERE type = 'window.settled' ORDER BY outbox_id")[-1] == (
        "0",
    )
    [finding] = desk.verify()
    assert "beta" in finding
    assert "PRICE_MISSING" in finding
