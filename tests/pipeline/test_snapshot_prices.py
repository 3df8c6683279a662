"""Prices from a venue come in where they are needed, and nowhere where something settled could be valued otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from settlement.pipeline.load_report import Act, LoadReport
from settlement.pipeline.settle import settle_window
from settlement.pipeline.snapshot import (
    MINUTE,
    IndexPrice,
    currencies_in_use,
    find_needed_prices,
    periods_to_fill,
    split_by_day,
    store_prices,
)
from settlement.store import needed_prices
from settlement.store.database import Database
from tests.workers import program

FIRST = program.FIRST
HOUR = timedelta(hours=1)
ACT = Act(loaded_by="tests")
STANDING = "SELECT ts, price_usdt FROM price WHERE replaced_by_load IS NULL AND currency = 'ETH' ORDER BY ts"
LINES = """
    SELECT l.bill_id, b.status, b.reason, l.net_fee_usdt, l.price_id FROM current_line l JOIN basis b USING (basis_id)
    WHERE b.status <> 'pending' ORDER BY l.bill_id
"""
# Lines that a price which stands now would value otherwise than by the price they were valued by.
VALUED_OTHERWISE = """
    SELECT l.bill_id FROM current_line l JOIN fill f USING (venue, account, bill_id) JOIN price used USING (price_id)
    WHERE used.price_usdt <> (SELECT p.price_usdt FROM price p WHERE p.replaced_by_load IS NULL
        AND p.currency = used.currency AND p.ts <= f.executed_at ORDER BY p.ts DESC LIMIT 1)
"""


@pytest.fixture
def loaded(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Four hours of fills, a minute apart, whose fees were charged in ETH."""
    monkeypatch.setattr(program, "PROGRAM", program.PROGRAM.replace("'USDT', CAST(", "'ETH', CAST("))
    program.load_program(database)
    return database


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.transaction() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def price(ts: datetime, value: object, currency: str = "ETH") -> IndexPrice:
    return IndexPrice(currency=currency, ts=ts.isoformat(), price_usdt=str(value))


def minutes(start: datetime, count: int) -> list[datetime]:
    return [start + number * MINUTE for number in range(count)]


def settle(database: Database, window_start: datetime) -> None:
    assert settle_window(database, window_start, now=datetime.now(UTC)) is not None


def fill_in(database: Database, instants: Sequence[datetime], value: object) -> LoadReport:
    prices = [price(ts, value) for ts in instants]
    return store_prices(database, prices, source="candles", spacing=MINUTE, act=ACT)


def add_price(superuser: psycopg.Connection, ts: datetime, value: str) -> None:
    superuser.execute(
        "INSERT INTO price (currency, ts, price_usdt, load_id) VALUES ('ETH', %s, %s, 1)", [ts, Decimal(value)]
    )


def test_a_settled_window_is_filled_up_where_its_lines_wait_and_nowhere_else(
    loaded: Database, superuser: psycopg.Connection
) -> None:
    add_price(superuser, FIRST + 20 * MINUTE, "3000")
    settle(loaded, FIRST)
    before = rows(loaded, LINES)
    pending = "SELECT count(*) FROM current_line JOIN basis USING (basis_id) WHERE reason = 'PRICE_MISSING'"
    assert rows(loaded, pending) == [(4 * 20,)]

    needed = find_needed_prices(loaded, start=FIRST, end=FIRST + 2 * HOUR)
    assert needed.instants == {"ETH": minutes(FIRST, 20) + minutes(FIRST + HOUR, 60)}
    report = fill_in(loaded, minutes(FIRST, 120), "2000")
    assert report.files["candles"].added == 80
    assert report.windows_marked == 1

    settle(loaded, FIRST)
    after = rows(loaded, LINES)
    assert [line for line in after if line in before] == before
    assert len(after) == len(before) + 80
    assert rows(loaded, pending) == [(0,)]
    assert rows(loaded, VALUED_OTHERWISE) == []
    assert rows(loaded, "SELECT kind FROM run ORDER BY run_id") == [("scheduled",), ("supplementary",)]
    assert fill_in(loaded, minutes(FIRST, 120), "2001").load_id is None


@pytest.mark.parametrize("seed", range(6))
def test_whatever_was_settled_by_whatever_prices_filling_up_is_not_refused_and_changes_no_line(
    loaded: Database, superuser: psycopg.Connection, seed: int
) -> None:
    draw = Random(seed)  # noqa: S311 - a test's draw
    for number in draw.sample(range(-70, 240), k=draw.randint(0, 8)):
        add_price(superuser, FIRST + number * MINUTE + timedelta(seconds=draw.randint(0, 59)), str(draw.randint(1, 99)))
    for window_start in draw.sample(program.WINDOWS, k=draw.randint(1, 4)):
        settle(loaded, window_start)
    before = rows(loaded, LINES)
    fill_in(loaded, minutes(FIRST - HOUR, 300), 1000)
    fill_in(loaded, [FIRST + timedelta(seconds=draw.randint(-3600, 4 * 3600)) for _ in range(50)], 1001)
    assert rows(loaded, LINES) == before
    assert rows(loaded, VALUED_OTHERWISE) == []
    for (window_start,) in rows(loaded, "SELECT window_start FROM settlement_window WHERE recheck"):
        settle_window(loaded, window_start, now=datetime.now(UTC))
    assert rows(
        loaded, "SELECT count(*) FROM basis JOIN current_line USING (basis_id) WHERE reason = 'PRICE_MISSING'"
    ) == [(0,)]


def test_a_price_of_an_open_window_may_stand_beside_others_but_not_within_its_minute(
    loaded: Database, superuser: psycopg.Connection
) -> None:
    add_price(superuser, FIRST, "3000")
    add_price(superuser, FIRST + timedelta(seconds=70), "3000")
    fill_in(loaded, minutes(FIRST, 3), "2000")
    assert [ts - FIRST for ts, _ in rows(loaded, STANDING)] == [
        timedelta(),
        timedelta(seconds=70),
        timedelta(seconds=120),
    ]


def test_a_ticker_may_stand_a_moment_before_another_price(loaded: Database, superuser: psycopg.Connection) -> None:
    add_price(superuser, FIRST, "3000")
    seen = [price(FIRST - timedelta(seconds=1), 1), price(FIRST, 2), price(FIRST + timedelta(seconds=1), 3)]
    store_prices(loaded, seen, source="tickers", spacing=timedelta(), act=ACT)
    assert [value for _, value in rows(loaded, STANDING)] == [1, 3000, 3]


def test_prices_that_are_no_prices_are_put_aside_under_their_source(loaded: Database) -> None:
    report = store_prices(
        loaded, [price(FIRST, "0"), price(FIRST, "nan", "BTC"), price(FIRST, 5, "SOL")], source="tickers",
        spacing=timedelta(), act=ACT,
    )  # fmt: skip
    assert [(bad.file, bad.row_number) for bad in report.bad_rows] == [("tickers", 1), ("tickers", 2)]
    assert rows(loaded, "SELECT currency, source FROM price") == [("SOL", "tickers")]


def test_a_longer_reach_of_any_terms_keeps_prices_out(loaded: Database, superuser: psycopg.Connection) -> None:
    add_price(superuser, FIRST - 2 * HOUR, "3000")
    settle(loaded, FIRST)
    assert find_needed_prices(loaded, start=FIRST, end=FIRST + MINUTE).instants == {"ETH": [FIRST]}
    document = program.TERMS.replace("3600", "7200")
    superuser.execute(
        "INSERT INTO program_terms (name, effective_from, document, load_id, replaced_by_load)"
        " VALUES ('replaced', '2024-01-01Z', %s, 1, 1)", [document],
    )  # fmt: skip
    assert find_needed_prices(loaded, start=FIRST, end=FIRST + MINUTE).instants == {}


TRADED = [
    ("SPOT", "AAA-BBB", "BBB", {"BBB"}),
    ("SPOT", "AAA-USDT", "AAA", {"AAA"}),
    ("MARGIN", "ONPAIR-XX", "USDT", {"USDC"}),
    ("SWAP", "LIN-SWAP", "USDT", {"USDC"}),
    ("SWAP", "INV-SWAP", "BTC", {"BTC", "USD"}),
    ("FUTURES", "UNKNOWN-1", "BTC", {"BTC"}),
    ("OPTION", "OPT-1-2-C", "BTC", {"BTC", "ETH"}),
    ("EVENTS", "EV-1", "USDT", {"EUR"}),
]
INSTRUMENTS = """
    INSERT INTO instrument (venue, instrument, instrument_type, contract_type, contract_value_currency, settle_currency,
        quote_currency, effective_from, load_id) VALUES
    ('okx', 'ONPAIR-XX', 'SPOT', NULL, NULL, NULL, 'USDC', '1970-01-01Z', 1),
    ('okx', 'LIN-SWAP', 'SWAP', 'linear', 'BTC', 'USDC', NULL, '1970-01-01Z', 1),
    ('okx', 'INV-SWAP', 'SWAP', 'inverse', 'USD', 'BTC', NULL, '1970-01-01Z', 1),
    ('okx', 'OPT-1-2-C', 'OPTION', NULL, 'ETH', 'BTC', NULL, '1970-01-01Z', 1),
    ('okx', 'EV-1', 'EVENTS', NULL, NULL, 'EUR', NULL, '1970-01-01Z', 1)
"""


@pytest.mark.parametrize(("traded", "expected"), [(row[:3], row[3]) for row in TRADED], ids=[row[1] for row in TRADED])
def test_currencies_in_use_are_those_of_fees_and_of_notionals(
    database: Database, superuser: psycopg.Connection, traded: tuple[str, str, str], expected: set[str]
) -> None:
    superuser.execute("INSERT INTO load (kind, source, loaded_by) VALUES ('instruments', '', '')")
    superuser.execute(INSTRUMENTS)
    superuser.execute("SELECT ensure_partitions('fill', %s, %s)", [FIRST.date(), FIRST.date()])
    superuser.execute(
        "INSERT INTO fill (venue, account, bill_id, instrument_type, instrument, fee_currency, side, price, size, fee,"
        " executed_at, load_id) VALUES ('okx', '1', '1', %s, %s, %s, 'buy', 1, 1, -1, %s, 1)", [*traded, FIRST],
    )  # fmt: skip
    assert set(currencies_in_use(database, now=FIRST + HOUR)) == expected
    assert currencies_in_use(database, now=FIRST - HOUR) == []
    assert currencies_in_use(database, now=FIRST + 7 * HOUR) == []


def test_the_hours_of_late_and_windows_that_wait_for_a_price_are_looked_at(loaded: Database) -> None:
    settle(loaded, FIRST)
    now = FIRST + timedelta(hours=9, minutes=12, seconds=30)
    assert periods_to_fill(loaded, now=now) == [
        (FIRST + 3 * HOUR, FIRST + timedelta(hours=9, minutes=12)),
        (FIRST, FIRST + HOUR),
    ]
    fill_in(loaded, minutes(FIRST, 60), 5)
    settle(loaded, FIRST)
    assert len(periods_to_fill(loaded, now=now)) == 1
    with loaded.transaction() as connection:
        assert needed_prices.windows_without_price(connection, limit=5) == []


def test_a_long_period_is_taken_a_day_at_a_time() -> None:
    end = FIRST + timedelta(days=2, hours=1)
    parts = list(split_by_day(FIRST + timedelta(seconds=30), end))
    assert [begin for begin, _ in parts] == [FIRST, FIRST + timedelta(days=1), FIRST + timedelta(days=2)]
    assert parts[-1][1] == end
