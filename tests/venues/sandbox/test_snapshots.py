"""What settlement needs beside fills, asked of the sandbox with all its faults on, ends in the tables whole."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from settlement.pipeline.load_report import Act
from settlement.program.venue_accounts import ApiKey, VenueAccount
from settlement.store.database import Database
from settlement.venues.okx import snapshots
from tests.venues.answers import ask
from tests.venues.sandbox.running import Sandbox, running

ACT = Act(loaded_by="tests")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running("--accounts", "10", "--fills-per-hour", "300", "--faults", "0.05") as started:
        yield started


def account_of(told: dict[str, Any], *, role: Any = "client") -> VenueAccount:
    credentials = ApiKey(**{name: told[name] for name in ("api_key", "secret", "passphrase")})
    return VenueAccount(
        venue="okx", account=told["account"], base_url=told["base_url"], credentials=credentials, role=role
    )


def rows(superuser: psycopg.Connection, query: Any) -> list[tuple[Any, ...]]:
    return superuser.execute(query).fetchall()


def add_fill(superuser: psycopg.Connection, at: datetime, currency: str) -> None:
    superuser.execute("SELECT ensure_partitions('fill', %s, %s)", [at.date(), at.date()])
    superuser.execute(
        "INSERT INTO fill (venue, account, bill_id, instrument_type, instrument, fee_currency, side, price, size, fee,"
        " executed_at, load_id) VALUES ('okx', '1', gen_random_uuid(), 'SPOT', 'BTC-USDT', %s, 'buy', 1, 1, -1, %s, 1)",
        [currency, at],
    )


def test_every_account_gets_its_level_its_rates_and_its_eligibility(
    database: Database, superuser: psycopg.Connection, redis_url: str, sandbox: Sandbox
) -> None:
    accounts = [account_of(told) for told in sandbox.accounts]
    sandbox.control(f"accounts/{accounts[0].account}", {"level": "VIP6"})
    sandbox.control(f"accounts/{accounts[1].account}", {"level": "Lv4"})
    broker = account_of(sandbox.broker, role="broker")
    report = ask(
        redis_url,
        lambda s: snapshots.snapshot_accounts(
            database, s, accounts=accounts, broker=broker, now=datetime.now(UTC), act=ACT
        ),
    )
    assert report.as_json()["failed"] == {}
    assert report.skipped == []
    levels = dict(rows(superuser, "SELECT account, level FROM vip_level"))
    assert set(levels) == {account.account for account in accounts}
    assert (levels[accounts[0].account], levels[accounts[1].account]) == (6, 0)
    assert rows(superuser, "SELECT product, count(*) FROM fee_rate GROUP BY product ORDER BY product") == [
        ("futures", 20),
        ("options", 20),
        ("spot", 20),
    ]
    assert rows(superuser, "SELECT count(*), count(DISTINCT account) FROM rebate_eligibility") == [(10, 10)]
    assert sandbox.stats()["over_limit"] == {}


def test_instruments_of_every_type_are_loaded(
    database: Database, superuser: psycopg.Connection, redis_url: str, sandbox: Sandbox
) -> None:
    report = ask(
        redis_url,
        lambda s: snapshots.snapshot_instruments(
            database, s, base_url=sandbox.base_url, now=datetime.now(UTC), act=ACT
        ),
    )
    assert report.as_json()["failed"] == {}
    assert sum(len(load.bad_rows) for load in report.loads) == 0
    types = [kind for (kind,) in rows(superuser, "SELECT DISTINCT instrument_type FROM instrument ORDER BY 1")]
    assert {"FUTURES", "OPTION", "SPOT", "SWAP"} <= set(types)


def test_prices_of_now_and_of_the_hours_before_are_loaded(
    database: Database, superuser: psycopg.Connection, redis_url: str, sandbox: Sandbox
) -> None:
    now = datetime.now(UTC)
    for currency in ("BTC", "ETH", "NOINDEX"):
        add_fill(superuser, now - timedelta(minutes=61), currency)
    base_url = sandbox.base_url
    seen = ask(redis_url, lambda s: snapshots.snapshot_prices(database, s, base_url=base_url, now=now, act=ACT))
    filled = ask(redis_url, lambda s: snapshots.backfill_prices(database, s, base_url=base_url, now=now, act=ACT))
    assert seen.unpriced == filled.unpriced == ["NOINDEX"]
    assert filled.as_json()["failed"] == {}
    start = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=6)
    closed = (now.replace(second=0, microsecond=0) - start) // timedelta(minutes=1)
    query = "SELECT currency, count(*) FROM price WHERE source LIKE '%candles%' GROUP BY currency ORDER BY currency"
    assert rows(superuser, query) == [("BTC", closed), ("ETH", closed)]
    assert rows(superuser, "SELECT currency FROM price WHERE source LIKE '%tickers' ORDER BY currency") == [
        ("BTC",),
        ("ETH",),
    ]
