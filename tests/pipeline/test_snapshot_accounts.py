"""Levels and rates that a venue tells now are dated so that nothing settled changes; eligibility is kept as it changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from settlement.pipeline.load_registry import load_registry
from settlement.pipeline.load_report import LoadReport
from settlement.pipeline.snapshot import AccountFacts, store_account_facts, store_eligibility
from settlement.store.database import Database
from settlement.store.eligibility import Eligibility
from settlement.venues.okx.account_facts import OKX
from tests.pipeline.loads.settled import ACT, HEADERS, HOUR, SettledHour

# HOUR is 2026-09-14 08:00: levels were reckoned last at 16:00 of the day before.
SIXTEEN = datetime(2026, 9, 13, 16, tzinfo=UTC)
SETTLED_END = HOUR + timedelta(hours=1)
NOW = datetime(2026, 9, 14, 12, tzinfo=UTC)
MAKER = ("spot", "maker")


@pytest.fixture
def settled_hour(superuser: psycopg.Connection) -> SettledHour:
    return SettledHour(superuser)


def see(
    database: Database, level: str, *, rate: str | None = None, at: datetime = NOW, account: str = "1"
) -> LoadReport:
    facts = AccountFacts(account=account, level=level, rates={MAKER: rate} if rate else {})
    return store_account_facts(database, [facts], venue=OKX, seen_at=at, act=ACT)


def registry_says(database: Database, directory: Path, level: str, since: datetime) -> LoadReport:
    (directory / "vip_levels.csv").write_text(f"{HEADERS['vip_levels']}\nokx,1,{level},{since.isoformat()}\n")
    return load_registry(database, directory, act=ACT)


def levels(superuser: psycopg.Connection) -> list[tuple[Any, ...]]:
    """The rows that stand: level, since when."""
    query = "SELECT level, effective_from FROM vip_level WHERE replaced_by_load IS NULL ORDER BY effective_from"
    return superuser.execute(query).fetchall()


def rates(superuser: psycopg.Connection) -> list[tuple[Any, ...]]:
    query = "SELECT rate::text, effective_from FROM fee_rate WHERE replaced_by_load IS NULL ORDER BY effective_from"
    return superuser.execute(query).fetchall()


@pytest.mark.parametrize(
    ("seen_at", "since"),
    [("2026-09-14T12:00", "13"), ("2026-09-14T15:59", "13"), ("2026-09-14T16:00", "14"), ("2026-09-15T00:00", "14")],
)
def test_a_level_holds_since_it_was_reckoned_last(seen_at: str, since: str) -> None:
    at = datetime.fromisoformat(seen_at).replace(tzinfo=UTC)
    assert OKX.levels_since(at) == datetime.fromisoformat(f"2026-09-{since}T16:00+00:00")


def test_the_first_level_of_an_account_reaches_back_and_settles_what_was_pending(
    database: Database, superuser: psycopg.Connection, settled_hour: SettledHour
) -> None:
    settled_hour.line(status="pending")
    settled_hour.line(status="excluded")
    report = see(database, "Lv3")
    assert levels(superuser) == [(0, SIXTEEN)]
    assert report.windows_marked == 1
    assert settled_hour.rechecked()


def test_the_first_rate_of_an_account_begins_where_nothing_is_settled(
    database: Database, superuser: psycopg.Connection, settled_hour: SettledHour
) -> None:
    settled_hour.line()
    see(database, "VIP1", rate="-0.0008")
    assert rates(superuser) == [("-0.0008", SETTLED_END)]


def test_what_is_in_force_already_is_not_loaded_again(database: Database, superuser: psycopg.Connection) -> None:
    assert see(database, "vip 3", rate="-0.0008").load_id is not None
    for hours in (1, 5, 24, 240):
        assert see(database, "VIP3", rate="-0.00080", at=NOW + timedelta(hours=hours)).load_id is None
    assert levels(superuser) == [(3, SIXTEEN)]


def test_a_changed_level_begins_at_the_last_reckoning_or_where_nothing_is_settled(
    database: Database, superuser: psycopg.Connection, settled_hour: SettledHour
) -> None:
    see(database, "VIP1", rate="-0.0008", at=NOW - timedelta(days=3))
    see(database, "VIP2", rate="-0.0007", at=NOW - timedelta(days=1))
    settled_hour.line()
    see(database, "VIP7", rate="-0.0006", at=NOW)
    first, second = SIXTEEN - timedelta(days=3), SIXTEEN - timedelta(days=1)
    assert levels(superuser) == [(1, first), (2, second), (7, SETTLED_END)]
    assert rates(superuser) == [("-0.0008", first), ("-0.0007", second), ("-0.0006", SETTLED_END)]


def test_a_level_seen_twice_since_its_reckoning_is_corrected_as_long_as_nothing_is_settled(
    database: Database, superuser: psycopg.Connection
) -> None:
    see(database, "VIP1")
    see(database, "VIP2", at=NOW + timedelta(hours=1))
    assert levels(superuser) == [(2, SIXTEEN)]
    assert superuser.execute("SELECT count(*) FROM vip_level").fetchone() == (2,)


def test_a_level_that_goes_back_to_an_earlier_one_is_stored(
    database: Database, superuser: psycopg.Connection, tmp_path: Path
) -> None:
    see(database, "VIP1")
    registry_says(database, tmp_path, "VIP2", NOW - timedelta(hours=1))
    see(database, "VIP1")
    assert levels(superuser) == [(1, SIXTEEN), (2, NOW - timedelta(hours=1)), (1, NOW)]


def test_what_the_registry_says_of_later_is_left_and_the_venue_counts_from_when_it_was_asked(
    database: Database, superuser: psycopg.Connection, tmp_path: Path
) -> None:
    registry_says(database, tmp_path, "VIP5", SIXTEEN)
    see(database, "VIP6")
    assert levels(superuser) == [(5, SIXTEEN), (6, NOW)]
    assert see(database, "VIP6", at=NOW + timedelta(hours=2)).load_id is None
    assert registry_says(database, tmp_path, "VIP5", SIXTEEN).load_id is None


def test_a_row_of_the_registry_that_is_yet_to_come_does_not_count(
    database: Database, superuser: psycopg.Connection, tmp_path: Path
) -> None:
    registry_says(database, tmp_path, "VIP5", NOW + timedelta(days=1))
    see(database, "VIP1")
    assert levels(superuser) == [(1, SIXTEEN), (5, NOW + timedelta(days=1))]


def test_no_answer_of_the_venue_is_refused_whatever_was_settled(
    database: Database, superuser: psycopg.Connection, settled_hour: SettledHour, tmp_path: Path
) -> None:
    registry_says(database, tmp_path, "VIP1", HOUR - timedelta(days=1))
    settled_hour.line()
    settled_hour.line(status="excluded", minute=59)
    for number, level in enumerate(("VIP2", "Lv1", "VIP9", "VIP2")):
        see(database, level, rate=f"-0.000{number + 1}", at=NOW + timedelta(minutes=number))
    assert levels(superuser)[-1] == (2, SETTLED_END)
    assert levels(superuser)[0] == (1, HOUR - timedelta(days=1))


def test_a_level_that_is_none_is_put_aside_once_and_the_others_are_loaded(
    database: Database, superuser: psycopg.Connection
) -> None:
    facts = [AccountFacts(account="1", level="MM1", rates={}), AccountFacts(account="2", level="Lv1", rates={})]
    for minutes in range(3):
        store_account_facts(database, facts, venue=OKX, seen_at=NOW + timedelta(minutes=minutes), act=ACT)
    assert levels(superuser) == [(0, SIXTEEN)]
    query = "SELECT file, row_number, reason LIKE 'level \"MM1\" is not a VIP level%' FROM quarantine"
    assert superuser.execute(query).fetchall() == [("okx account/config", 1, True)]


def test_two_thousand_accounts_are_one_load(database: Database, superuser: psycopg.Connection) -> None:
    facts = [
        AccountFacts(
            account=str(number), level=f"VIP{number % 8}", rates={MAKER: "-0.0008", ("spot", "taker"): "-0.001"}
        )
        for number in range(2000)
    ]
    report = store_account_facts(database, facts, venue=OKX, seen_at=NOW, act=ACT)
    assert {name: counts.added for name, counts in report.files.items()} == {
        "vip_levels.csv": 2000,
        "fee_rates.csv": 4000,
    }
    assert superuser.execute("SELECT kind, source FROM load").fetchall() == [("registry", "okx account/config")]
    assert store_account_facts(database, facts, venue=OKX, seen_at=NOW, act=ACT).load_id is None


def said(account: str = "1", **changes: Any) -> Eligibility:
    told = {"type": "0", "broker_code": "code", "affiliated": False, "client_rebate_ratio": "0", "last_rebate": None}
    return Eligibility(venue="okx", account=account, **(told | changes))


def kept(superuser: psycopg.Connection) -> list[tuple[Any, ...]]:
    query = """
        SELECT account, type, last_rebate::text, extract(hour FROM observed_at)::int, extract(hour FROM last_seen_at)::int
        FROM rebate_eligibility ORDER BY account, observed_at
    """
    return superuser.execute(query).fetchall()


def test_eligibility_is_a_row_a_change_and_is_seen_last_when_it_was_asked_last(
    database: Database, superuser: psycopg.Connection
) -> None:
    answers = [
        (12, [said(), said("2", type="3")], 2),
        (13, [said(client_rebate_ratio="0.0"), said("2", type="3")], 0),
        (14, [said(type="2", last_rebate="12.5")], 1),
        (15, [said(), said("2", type="3")], 1),
        (15, [said()], 0),
    ]
    for hour, seen, changes in answers:
        assert store_eligibility(database, seen, now=NOW.replace(hour=hour)) == changes
    assert kept(superuser) == [
        ("1", "0", None, 12, 13),
        ("1", "2", "12.5", 14, 14),
        ("1", "0", None, 15, 15),
        ("2", "3", None, 12, 15),
    ]


def test_an_answer_older_than_the_last_one_changes_nothing(database: Database, superuser: psycopg.Connection) -> None:
    store_eligibility(database, [said()], now=NOW)
    assert store_eligibility(database, [said(type="1")], now=NOW - timedelta(hours=1)) == 0
    assert store_eligibility(database, [said()], now=NOW - timedelta(hours=1)) == 0
    assert store_eligibility(database, [], now=NOW) == 0
    assert kept(superuser) == [("1", "0", None, 12, 12)]
