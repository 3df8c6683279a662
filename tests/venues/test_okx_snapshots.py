"""Asking OKX for instruments, index prices, levels, rates and eligibility: over HTTP, into the tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from settlement.pipeline.load_report import Act
from settlement.pipeline.snapshot import SnapshotReport
from settlement.pipeline.venue import VenueError
from settlement.program.venue_accounts import OAuthTokens, VenueAccount
from settlement.store.database import Database
from settlement.venues.okx import snapshots
from settlement.venues.okx.account_facts import read_rates
from settlement.venues.okx.index_prices import read_candles
from tests.venues.answers import Answers, Venue, account_of, answering, ask

NOW = datetime(2026, 9, 14, 12, 34, 56, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ACT = Act(loaded_by="tests")
MINUTE = timedelta(minutes=1)
SPOT = {"instId": "AAA-USDT", "instType": "SPOT", "baseCcy": "AAA", "quoteCcy": "USDT"}
OPTION = {"instType": "OPTION", "ctVal": "1", "ctMult": "0.01", "ctValCcy": "AAA", "settleCcy": "AAA"}


def milliseconds(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(milliseconds=1)


def rows(superuser: psycopg.Connection, query: Any) -> list[tuple[Any, ...]]:
    return superuser.execute(query).fetchall()


def add_fill(
    superuser: psycopg.Connection,
    at: datetime,
    *,
    currency: str = "AAA",
    instrument: tuple[str, str] = ("SPOT", "AAA-USDT"),
) -> None:
    superuser.execute("SELECT ensure_partitions('fill', %s, %s)", [at.date(), at.date()])
    superuser.execute(
        "INSERT INTO fill (venue, account, bill_id, instrument_type, instrument, fee_currency, side, price, size, fee,"
        " executed_at, load_id) VALUES ('okx', '1', gen_random_uuid(), %s, %s, %s, 'buy', 1, 1, -1, %s, 1)",
        [*instrument, currency, at],
    )


def candles(params: dict[str, str], _key: str) -> Any:
    """Candles of every minute since 2026-09-14 up to NOW, the last of them not closed; AAA and BBB have an index."""
    if params["instId"] not in {"AAA-USDT", "BBB-USDT"}:
        return "51001"
    begin, end = milliseconds(NOW.replace(hour=0, minute=0, second=0)), milliseconds(NOW.replace(second=0))
    newest = min(end, (int(params["after"]) - 1) // 60_000 * 60_000)
    instants = list(range(newest, begin - 1, -60_000))[: int(params["limit"])]
    return [
        [str(ts), str(1 + (ts - begin) // 60_000), "9000", "0.1", "8000", "0" if ts == end else "1"] for ts in instants
    ]


def tickers(params: dict[str, str], _key: str) -> Any:
    assert params == {"quoteCcy": "USDT"}
    ts = str(milliseconds(NOW))
    return [{"instId": f"{currency}-USDT", "idxPx": "7.5", "ts": ts, "open24h": "1"} for currency in ("AAA", "ZZZ")]


def test_instruments_of_every_type_and_of_the_families_that_fills_need_are_loaded(
    database: Database, superuser: psycopg.Connection, redis_url: str
) -> None:
    def instruments(params: dict[str, str], _key: str) -> Any:
        if params["instType"] == "MARGIN":
            return "50014"
        if params["instType"] == "OPTION":
            return [OPTION | {"instId": f"{params['instFamily']}-260327-60000-C"}]
        return [SPOT] if params["instType"] == "SPOT" else []

    add_fill(superuser, NOW - timedelta(hours=1), instrument=("OPTION", "AAA-USD_UM-260327-60000-C"))
    add_fill(superuser, NOW - timedelta(days=9), instrument=("OPTION", "OLD-USD-260327-60000-C"))
    with answering(instruments=instruments) as okx:
        report = ask(
            redis_url,
            lambda s: snapshots.snapshot_instruments(database, s, base_url=okx.base_url, now=NOW, act=ACT),
        )
        assert okx.count("instruments") == 8
    assert rows(superuser, "SELECT instrument FROM instrument WHERE effective_from = '1970-01-01Z' ORDER BY 1") == [
        ("AAA-USDT",),
        ("AAA-USD_UM-260327-60000-C",),
        ("BTC-USD-260327-60000-C",),
        ("ETH-USD-260327-60000-C",),
    ]
    assert list(report.failed) == ["MARGIN"]
    assert ("instruments", "okx public/instruments SPOT") in rows(superuser, "SELECT kind, source FROM load")
    assert "50014" in report.as_json()["failed"]["MARGIN"]


def test_the_index_prices_of_currencies_in_use_are_loaded_and_others_named_or_left(
    database: Database, superuser: psycopg.Connection, redis_url: str
) -> None:
    for currency in ("AAA", "USD", "USDT"):
        add_fill(superuser, NOW - timedelta(hours=1), currency=currency)
    with answering(index_tickers=tickers) as okx:
        report = _snapshot_prices(database, okx, redis_url)
        assert _snapshot_prices(database, okx, redis_url).loads[0].load_id is None
    assert report.unpriced == ["USD"]
    assert rows(superuser, "SELECT currency, ts, price_usdt::text, source FROM price") == [
        ("AAA", NOW, "7.5", "okx market/index-tickers")
    ]


def test_without_fills_of_late_no_price_is_asked(database: Database, redis_url: str) -> None:
    with answering(index_tickers=tickers) as okx:
        assert _snapshot_prices(database, okx, redis_url).loads == []
        assert okx.count("index_tickers") == 0


def _snapshot_prices(database: Database, okx: Venue, redis_url: str) -> SnapshotReport:
    return ask(redis_url, lambda s: snapshots.snapshot_prices(database, s, base_url=okx.base_url, now=NOW, act=ACT))


def _backfill(
    database: Database, okx: Venue, redis_url: str, period: tuple[datetime, datetime] | None = None
) -> SnapshotReport:
    return ask(
        redis_url,
        lambda s: snapshots.backfill_prices(database, s, base_url=okx.base_url, period=period, now=NOW, act=ACT),
    )


def test_closed_candles_fill_the_hours_of_late_with_their_opens(
    database: Database, superuser: psycopg.Connection, redis_url: str
) -> None:
    for currency in ("AAA", "USD"):
        add_fill(superuser, NOW - timedelta(hours=1), currency=currency)
    with answering(history_index_candles=candles) as okx:
        report = _backfill(database, okx, redis_url)
        asked = okx.count("history_index_candles")
        assert _backfill(database, okx, redis_url).loads == []
    # 06:00 to 12:33, a hundred a page, and one question about USD.
    assert asked == 4 + 1
    assert report.unpriced == ["USD"]
    assert report.failed == {}
    query = "SELECT count(*), min(ts), max(ts), bool_and(price_usdt = 1 + extract(epoch FROM ts - '2026-09-14Z') / 60) FROM price"
    assert rows(superuser, query) == [
        (394, NOW.replace(hour=6, minute=0, second=0), NOW.replace(minute=33, second=0), True)
    ]
    assert rows(superuser, "SELECT DISTINCT source FROM price") == [("okx market/history-index-candles 1m",)]


def test_a_period_is_filled_a_day_at_a_time_and_nothing_is_asked_of_the_time_to_come(
    database: Database, superuser: psycopg.Connection, redis_url: str
) -> None:
    add_fill(superuser, NOW - timedelta(days=1))
    add_fill(superuser, NOW - timedelta(hours=12))
    add_fill(superuser, NOW - timedelta(hours=12), currency="USD")
    with answering(history_index_candles=candles) as okx:
        period = (NOW.replace(hour=0, minute=0, second=0) - timedelta(days=1), NOW + timedelta(days=5))
        report = _backfill(database, okx, redis_url, period)
        newest = max(int(params["after"]) for _, params in okx.asked if "after" in params)
    assert newest <= milliseconds(NOW)
    assert rows(superuser, "SELECT count(*) FROM price") == [(12 * 60 + 34,)]
    assert report.unpriced == ["USD"]


def test_candles_that_are_missing_or_come_in_a_wrong_order_end_the_walk_all_the_same(redis_url: str) -> None:
    start = NOW.replace(second=0) - timedelta(minutes=300)
    instants = [start + number * MINUTE for number in (0, 1, 150, 299)]

    def some(params: dict[str, str], _key: str) -> Any:
        newest = int(params["after"]) - 60_000
        return [[str(newest + 600_000), "5", "5", "5", "5", "1"], [str(newest), "4", "5", "5", "5", "1"]]

    with answering(history_index_candles=some) as okx:
        found = ask(redis_url, lambda s: read_candles(s.public(okx.base_url), "AAA", instants))
    assert [price.ts for price in found] == [str(milliseconds(instant)) for instant in instants]
    with answering(history_index_candles=lambda *_: []) as okx:
        assert ask(redis_url, lambda s: read_candles(s.public(okx.base_url), "AAA", instants)) == []
        assert okx.count("history_index_candles") == 1


def config(level: str, *, broken: str = "", uid: str | None = None) -> Answers:
    return lambda _, key: "50111" if key == f"key-{broken}" else [{"uid": uid or key[4:], "level": level}]


def fees(params: dict[str, str], _key: str) -> Any:
    grouped = [
        {"groupId": "1", "maker": "-0.0008", "taker": "-0.001"},
        {"groupId": "2", "maker": "0.0001", "taker": "-0.002"},
    ]
    flat = {"maker": "-0.0002", "taker": "-0.0005", "makerU": "-0.00015", "takerU": "", "takerUSDC": "x"}
    return [
        {"SPOT": flat | {"feeGroup": grouped}, "SWAP": flat, "FUTURES": {"taker": "-0.0004"}}.get(
            params["instType"], {}
        )
    ]


def test_the_best_rate_of_groups_settle_currencies_and_types_is_the_scheduled_one(redis_url: str) -> None:
    with answering(trade_fee=fees) as okx:
        assert ask(redis_url, lambda s: read_rates(s.client(account_of(okx, "1")))) == {
            ("spot", "maker"): "0.0001",
            ("spot", "taker"): "-0.001",
            ("futures", "maker"): "-0.00015",
            ("futures", "taker"): "-0.0004",
        }


def eligible(params: dict[str, str], key: str) -> Any:
    assert key == "key-900"
    told = {"type": "2", "brokerCode": "codeA", "affiliated": "true", "clientRebateRatio": "0.1", "lastRebate": "7.25"}
    plain = {"type": "0", "brokerCode": "codeA", "affiliated": False, "clientRebateRatio": "", "lastRebate": ""}
    return {"key-1": [told], "key-2": [plain], "key-3": "50119"}[params["apiKey"]]


def _snapshot_accounts(
    database: Database, redis_url: str, accounts: list[VenueAccount], broker: VenueAccount | None
) -> SnapshotReport:
    return ask(
        redis_url,
        lambda s: snapshots.snapshot_accounts(database, s, accounts=accounts, broker=broker, now=NOW, act=ACT),
    )


def test_levels_rates_and_eligibility_are_stored_and_an_account_that_fails_stops_no_other(
    database: Database, superuser: psycopg.Connection, redis_url: str
) -> None:
    with answering(config=config("VIP4", broken="2"), trade_fee=fees, if_rebate=eligible) as okx:
        accounts = [account_of(okx, account) for account in ("1", "2", "3")]
        report = _snapshot_accounts(database, redis_url, accounts, account_of(okx, "900", role="broker"))
    assert rows(superuser, "SELECT account, level FROM vip_level ORDER BY account") == [("1", 4), ("3", 4)]
    assert rows(superuser, "SELECT count(*) FROM fee_rate") == [(8,)]
    query = (
        "SELECT account, type, broker_code, affiliated, client_rebate_ratio::text, last_rebate::text"
        " FROM rebate_eligibility ORDER BY account"
    )
    assert rows(superuser, query) == [
        ("1", "2", "codeA", True, "0.1", "7.25"),
        ("2", "0", "codeA", False, None, None),
    ]
    assert {account: error.parks for account, error in report.failed.items() if isinstance(error, VenueError)} == {
        "2": True,
        "3": True,
    }
    assert report.eligibility_changes == 2
    assert "key-" not in str(report.as_json())


def test_without_a_broker_account_or_an_api_key_eligibility_is_skipped_and_said(
    database: Database, superuser: psycopg.Connection, redis_url: str
) -> None:
    with answering(config=config("Lv1"), trade_fee=fees, if_rebate=eligible) as okx:
        tokens = OAuthTokens(access_token="a", refresh_token="r")  # noqa: S106 - no secret, a test's
        user = VenueAccount(venue="okx", account="", base_url=okx.base_url, credentials=tokens)
        assert _snapshot_accounts(database, redis_url, [account_of(okx, "1")], None).skipped == [
            "rebate eligibility: no account of the role broker is added"
        ]
        report = _snapshot_accounts(database, redis_url, [account_of(okx, "1"), user], account_of(okx, "900"))
        assert report.skipped == ["rebate eligibility of 1 accounts that have no API key"]
    assert rows(superuser, "SELECT account FROM rebate_eligibility") == [("1",)]


def test_a_broker_that_is_answered_for_none_is_not_asked_for_the_rest(
    database: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "ELIGIBILITY_A_BATCH", 2)
    with answering(config=config("Lv1"), trade_fee=fees, if_rebate=lambda *_: "50030") as okx:
        accounts = [account_of(okx, str(number)) for number in range(5)]
        report = _snapshot_accounts(database, redis_url, accounts, account_of(okx, "900"))
        assert okx.count("if_rebate") == 2
    assert report.skipped == ["rebate eligibility of 3 accounts: OKX answered for none"]
    assert sorted(report.failed) == ["0", "1"]


UNUSABLE = [
    ([{"uid": "7", "level": "Lv1"}], "another account"),
    ([], "answers nothing"),
    ([{"uid": "1"}], "tells no level"),
]


@pytest.mark.parametrize(("answer", "told"), UNUSABLE, ids=[told for _, told in UNUSABLE])
def test_a_config_that_does_not_say_this_accounts_level_stores_nothing(
    database: Database, superuser: psycopg.Connection, redis_url: str, answer: Any, told: str
) -> None:
    with answering(config=lambda *_: answer, trade_fee=fees) as okx:
        report = _snapshot_accounts(database, redis_url, [account_of(okx, "1")], None)
    assert told in str(report.failed["1"])
    assert rows(superuser, "SELECT count(*) FROM vip_level") == [(0,)]
