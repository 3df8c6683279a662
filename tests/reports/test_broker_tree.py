"""How each level of the tree does: first from figures that a test writes, then against the lines of a settled sample."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import BytesIO, StringIO
from pathlib import Path

import psycopg
import pytest

from settlement.errors import Refused
from settlement.pipeline.load_registry import load_registry
from settlement.reports.broker_tree import Level, Month, later, read_tree
from settlement.reports.exports import Selection, export
from settlement.store.database import Database
from tests.pipeline.loads.by_hand import add_code
from tests.pipeline.loads.settled import ACT, Registry
from tests.reports.conftest import BEFORE_TERMS, CHANGE_OF_TERMS

T = "2026-01-01T00:00:00Z"
NOW = datetime(2026, 5, 20, tzinfo=UTC)
MAY = Month.of(NOW)
BROKERS = f"""
alpha,A,api,,,active,{T},,,
alpha-1,A1,api,alpha,0.4,active,{T},,,
alpha-1-x,AX,api,alpha-1,0.5,active,{T},,,
beta,B,api,,,active,{T},,,
"""


@dataclass
class Books:
    """Writes activity straight into the table, as runs would."""

    owner: psycopg.Connection
    runs: int = 0

    def earned(self, when: str, account: str, broker: str, volume: int, *, lines: int = 1) -> None:
        """What a run found an account to have earned in the hour `when`: a hundredth of its volume."""
        window = datetime.fromisoformat(when).replace(tzinfo=UTC)
        self.runs += 1
        self.owner.execute("INSERT INTO settlement_window (window_start) VALUES (%s) ON CONFLICT DO NOTHING", [window])
        insert = "INSERT INTO run (window_start, revision, kind, closed_at) VALUES (%s, %s, 'scheduled', now()) RETURNING run_id"
        row = self.owner.execute(insert, [window, self.runs]).fetchone()
        assert row is not None
        self.owner.execute("INSERT INTO run_shard (run_id, root) VALUES (%s, 'alpha')", row)
        self.owner.execute(
            "INSERT INTO activity (run_id, root, window_start, venue, account, broker_id, product, earned_lines,"
            " volume_usdt, commission_usdt) VALUES (%s, 'alpha', %s, 'okx', %s, %s, 'spot', %s, %s, %s)",
            [row[0], window, account, broker, lines, volume, Decimal(volume) / 100],
        )

    def traded(self, day: str, account: str) -> None:
        """An account has fills on a day."""
        self.owner.execute("INSERT INTO fill_reach VALUES ('okx', %s, %s, '1', '2')", [account, day])


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


@pytest.fixture
def books(database: Database, registry: Registry, superuser: psycopg.Connection) -> Books:
    load_registry(database, registry.write(brokers=BROKERS), act=ACT)
    return Books(superuser)


def tree(database: Database, *, month: Month = MAY, broker: str | None = None) -> dict[str, Level]:
    with database.transaction() as connection:
        return {level.broker_id: level for level in read_tree(connection, at=NOW, month=month, broker=broker)}


def test_levels_come_in_the_order_of_the_tree(database: Database, books: Books) -> None:
    assert books.runs == 0
    assert [(level.broker_id, level.level, level.parent_id) for level in tree(database).values()] == [
        ("alpha", 1, None),
        ("alpha-1", 2, "alpha"),
        ("alpha-1-x", 3, "alpha-1"),
        ("beta", 1, None),
    ]
    assert list(tree(database, broker="alpha-1")) == ["alpha-1", "alpha-1-x"]
    with pytest.raises(Refused, match="ghost: there is no such broker"):
        tree(database, broker="ghost")


def test_volume_commission_and_active_clients_are_of_the_whole_subtree_and_the_month(
    database: Database, books: Books
) -> None:
    books.earned("2026-05-01T00:00", "1", "alpha", 100)
    books.earned("2026-05-02T00:00", "1", "alpha-1-x", 200)
    books.earned("2026-05-31T23:00", "2", "alpha-1", 300)
    books.earned("2026-06-01T00:00", "3", "alpha", 5000)
    books.earned("2026-04-30T23:00", "3", "alpha", 7000)
    found = tree(database)
    assert {name: (level.volume_usdt, level.commission_usdt, level.active) for name, level in found.items()} == {
        "alpha": (600, 6, 2),
        "alpha-1": (500, 5, 2),
        "alpha-1-x": (200, 2, 1),
        "beta": (0, 0, 0),
    }


def test_what_a_later_run_took_back_is_not_counted(database: Database, books: Books) -> None:
    books.earned("2026-05-01T00:00", "1", "alpha", 100)
    books.earned("2026-05-01T00:00", "1", "alpha", -100, lines=-1)
    books.earned("2026-05-01T00:00", "1", "beta", 100)
    found = tree(database)
    assert (found["alpha"].volume_usdt, found["alpha"].active, found["alpha"].retention) == (0, 0, [])
    assert (found["beta"].volume_usdt, found["beta"].active) == (100, 1)


def test_a_broker_that_moved_stands_where_it_is_now_and_one_that_ended_by_itself(
    database: Database, registry: Registry, books: Books
) -> None:
    books.earned("2026-05-01T00:00", "1", "alpha-1-x", 100)
    rows = "alpha-1-x,AX,api,beta,0.5,active,2026-05-10T00:00:00Z,,,\nalpha-1,A1,api,alpha,0.4,active,2026-05-10T00:00:00Z,2026-05-11T00:00:00Z,,"
    load_registry(database, registry.write(brokers=rows), act=ACT)
    found = tree(database)
    assert (found["alpha"].volume_usdt, found["beta"].volume_usdt, found["alpha-1-x"].parent_id) == (0, 100, "beta")
    assert "alpha-1" not in found
    books.earned("2026-05-02T00:00", "2", "alpha-1", 100)
    ended = tree(database)["alpha-1"]
    assert (ended.status, ended.level, ended.volume_usdt) == ("ended", 1, 100)
    assert list(tree(database, broker="alpha-1")) == ["alpha-1"]


def test_clients_are_those_linked_now(database: Database, registry: Registry, books: Books) -> None:
    assert books.runs == 0
    links = f"""
    okx,1,alpha,{T},,,,,
    okx,2,alpha-1-x,{T},,,,,
    okx,3,alpha-1,{T},2026-05-01T00:00:00Z,,,,
    okx,4,alpha,{T},,,,,
    okx,4,beta,2026-05-01T00:00:00Z,,,,,
    okx,5,alpha,2026-06-01T00:00:00Z,,,,,
    """
    load_registry(database, registry.write(clients=links), act=ACT)
    assert {name: level.clients for name, level in tree(database).items()} == {
        "alpha": 2,
        "alpha-1": 1,
        "alpha-1-x": 1,
        "beta": 1,
    }


def test_conversion_goes_from_codes_to_linked_to_traded_to_earning(
    database: Database, registry: Registry, books: Books
) -> None:
    add_code(database, "one", "alpha-1")
    add_code(database, "two", "alpha")
    links = "\n".join(f"okx,{account},alpha-1,2026-03-10T08:30:00Z,,one,,," for account in "12345")
    load_registry(database, registry.write(clients=f"{links}\nokx,6,alpha-1,{T},,,,,"), act=ACT)
    books.traded("2026-03-09", "1")
    for account in "23456":
        books.traded("2026-03-10", account)
    books.earned("2026-03-10T07:00", "3", "alpha-1", 10)
    books.earned("2026-03-10T08:00", "4", "alpha-1", 10)
    books.earned("2026-03-11T08:00", "5", "beta", 10)
    books.earned("2026-03-11T08:00", "6", "alpha-1", 10)
    found = tree(database)
    figures = {name: (level.codes, level.linked, level.traded, level.earning) for name, level in found.items()}
    assert figures == {"alpha": (2, 5, 4, 2), "alpha-1": (1, 5, 4, 2), "alpha-1-x": (0, 0, 0, 0), "beta": (0, 0, 0, 0)}


def test_retention_follows_those_who_first_earned_in_a_month(database: Database, books: Books) -> None:
    for account, broker, months in (
        ("1", "alpha", "1245"),
        ("2", "alpha-1", "13"),
        ("3", "alpha-1", "4"),
        ("4", "alpha", "3"),
        ("4", "alpha-1", "45"),
    ):
        for month in months:
            books.earned(f"2026-0{month}-07T00:00", account, broker, 10)
    found = tree(database)

    def kept(broker: str) -> list[tuple[int, int, tuple[int | None, ...]]]:
        return [(cohort.month.month, cohort.first_earned, cohort.after) for cohort in found[broker].retention]

    assert kept("alpha") == [(1, 2, (1, 1, 1)), (3, 1, (1, 1, None)), (4, 1, (0, None, None))]
    assert kept("alpha-1") == [(1, 1, (0, 1, 0)), (4, 2, (1, None, None))]
    assert kept("beta") == []


def test_cohorts_are_those_of_a_year_to_the_month(database: Database, books: Books) -> None:
    books.earned("2025-05-07T00:00", "1", "alpha", 10)
    books.earned("2025-06-07T00:00", "2", "alpha", 10)
    books.earned("2026-06-07T00:00", "3", "alpha", 10)
    assert [cohort.month.isoformat()[:7] for cohort in tree(database)["alpha"].retention] == ["2025-06"]


def test_months_are_counted_over_the_turn_of_the_year() -> None:
    december = datetime(2025, 12, 1, tzinfo=UTC)
    assert [later(december, months).isoformat()[:7] for months in (-12, 0, 1, 13)] == [
        "2024-12", "2025-12", "2026-01", "2027-01",
    ]  # fmt: skip


def test_the_tree_of_a_settled_sample_says_what_its_lines_and_shares_say(settled: Database) -> None:
    for month in (Month.of(BEFORE_TERMS), Month.of(CHANGE_OF_TERMS)):
        with settled.transaction() as connection:
            at = month.end + timedelta(days=40)
            levels = {level.broker_id: level for level in read_tree(connection, at=at, month=month)}
            tops = [level for level in levels.values() if level.level == 1]
            lines = [row for row in _rows(connection, "lines", month) if row["status"] == "earned"]
            shares = list(_rows(connection, "shares", month))
        assert lines
        assert sum(level.volume_usdt for level in tops) == sum(Decimal(row["notional_usdt"]) for row in lines)
        assert sum(level.commission_usdt for level in tops) == sum(Decimal(row["commission_usdt"]) for row in lines)
        got: dict[str, Decimal] = defaultdict(Decimal)
        for row in shares:
            got[row["payee"]] += Decimal(row["amount_usdt"])
        assert {name: level.gets_usdt for name, level in levels.items() if level.gets_usdt} == {
            payee: amount for payee, amount in got.items() if amount and not payee.startswith("client:")
        }
        roots = Counter({root: len(accounts) for root, accounts in _earning(lines, levels).items()})
        assert {level.broker_id: level.active for level in tops if level.active} == dict(roots)


def _rows(connection: object, what: str, month: Month) -> Iterator[dict[str, str]]:
    sink = BytesIO()
    export(connection, what, file_format="csv", selection=Selection(start=month.start, end=month.end), sink=sink)  # type: ignore[arg-type]
    return iter(csv.DictReader(StringIO(sink.getvalue().decode())))


def _earning(lines: list[dict[str, str]], levels: dict[str, Level]) -> dict[str, set[str]]:
    """The accounts that earned under each root."""
    earning: dict[str, set[str]] = defaultdict(set)
    for row in lines:
        root = row["broker_id"]
        while (above := levels[root].parent_id) is not None:
            root = above
        earning[root].add(row["account"])
    return earning
