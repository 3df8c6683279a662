"""A what-if comes to what really settling the same world under the same terms comes to, digit for digit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

import psycopg
import pytest
from sqlalchemy import make_url

from settlement.pipeline.load_registry import load_registry
from settlement.pipeline.load_report import Act
from settlement.pipeline.review import review_month
from settlement.pipeline.settle import settle_window
from settlement.rules.review import month_after, month_before, month_of
from settlement.store.database import Database
from settlement.store.lines import WINDOW
from tests.reviews import desk as reviewing
from tests.reviews.worlds import DAY, World, draw
from tests.store import random_world
from tests.store.random_world import RandomWorld
from tests.store.small_world import HOUR
from tests.store.worked_example import insert
from tests.what_if.desk import Desk
from tests.workers import program

NOW = datetime.now(UTC)
OLD_TIERS = """
[[tiers]]
name = "T1"
min_volume = "0"
min_clients = 0
rates = { spot = "0.05", futures = "0.15" }
[[tiers]]
name = "T2"
min_volume = "20"
min_clients = 1
rates = { spot = "0.07", futures = "0.16" }
"""
KEYS = {
    "brokers": ("broker", "broker_id"),
    "codes": ("broker_code", "code"),
    "clients": ("client_link", "account"),
    "overrides": ("broker_override", "broker_id"),
    "vip_levels": ("vip_level", "account"),
}


def as_superuser(database: Database) -> psycopg.Connection:
    url = make_url(database.url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(url, autocommit=True)


def live(desk: Desk, *, start: datetime, end: datetime) -> None:
    """Settles the windows of a period, and reviews each month when it has ended."""
    moments = [start]
    while moments[-1] < end:
        moments.append(min(month_after(month_of(moments[-1])), end))
    for begins, ends in pairwise(moments):
        windows = """SELECT window_start FROM settlement_window
                     WHERE status = 'open' AND window_start >= :begins AND window_start < :ends ORDER BY window_start"""
        for (window,) in desk.rows(windows, begins=begins, ends=ends):
            settle_window(desk.database, window, now=NOW)
        if ends == month_of(ends):
            review_month(desk.database, month_before(ends), by="desk", now=NOW, anyway=True)


def found(desk: Desk, world: World, *documents: tuple[datetime, str]) -> None:
    """Brings a world in, under these versions of the terms."""
    bringing = reviewing.Desk(desk.database)
    bringing.found(world)
    bringing.trade(world.fills)
    with as_superuser(desk.database) as connection:
        connection.execute("DELETE FROM program_terms")
        rows = [
            {"name": f"v{number}", "effective_from": since, "document": document, "load_id": 1}
            for number, (since, document) in enumerate(documents)
        ]
        insert(connection, "program_terms", rows)
        override = {"broker_id": "r2", "tier": "T2", "effective_from": world.effective_from - 20 * DAY, "load_id": 1}
        insert(connection, "tier_override", [override | {"effective_to": world.effective_from + DAY / 2}])


def old_terms(document: str) -> str:
    """The same terms but for the tiers, as they were before."""
    head = document.partition("[[tiers]]")[0]
    return head.replace("max_of_spot_and_contracts", "all") + OLD_TIERS


@pytest.mark.parametrize("seed", range(6))
def test_months_under_other_terms_with_the_tiers_that_would_have_been_reached(
    database: Database, second_database: Database, tmp_path: Path, seed: int
) -> None:
    world = draw(seed)
    asking, settling = Desk(database, tmp_path), Desk(second_database, tmp_path)
    before, after = old_terms(reviewing.terms_of(world)), reviewing.terms_of(world)
    begin, end = world.effective_from - 80 * DAY, world.effective_from + DAY
    # Of some worlds the first part is settled under the old terms, and counts in the reviews of the others.
    start = [begin, world.effective_from - 40 * DAY, world.effective_from - 12 * DAY][seed % 3]
    found(asking, world, (reviewing.LONG_AGO, before))
    found(settling, world, (reviewing.LONG_AGO, before), (start, after))
    live(asking, start=begin, end=start if seed % 2 else end)
    live(settling, start=begin, end=end)
    untouched = asking.everything()

    result = asking.simulate(asking.document("new", after), start=start, end=end)
    assert asking.simulated(result["id"]) == settling.books(start=start, end=end)
    assert asking.everything() == untouched
    stands = asking.books(start=start, end=end)
    assert result["totals"]["stands_commission_usdt"] == sum(row[6] for row in stands["sums"])
    assert result["totals"]["stands_lines"] == sum(row[4] for row in stands["sums"])


@pytest.mark.parametrize("seed", range(8, 11))
def test_months_with_a_broker_that_had_been_elsewhere_in_the_tree(
    database: Database, second_database: Database, tmp_path: Path, seed: int
) -> None:
    world = draw(seed)
    asking, settling = Desk(database, tmp_path), Desk(second_database, tmp_path)
    document, start, end = reviewing.terms_of(world), world.effective_from - 80 * DAY, world.effective_from + DAY
    registry = asking.registry(
        brokers=[
            f"s1,S1,api,r1,0.75,active,{reviewing.LONG_AGO.isoformat()},",
            f"s1,S1,api,s2,0.5,active,{(world.effective_from - 14 * DAY).isoformat()},",
        ],
        clients=[f"okx,7,s1,{reviewing.LONG_AGO.isoformat()},,true,,0.125"],
    )
    found(asking, world, (reviewing.LONG_AGO, document))
    found(settling, world, (reviewing.LONG_AGO, document))
    in_the_place_of(settling.database, registry, brokers=["s1"], clients=["7"])
    live(asking, start=start, end=end)
    live(settling, start=start, end=end)

    result = asking.simulate(asking.document("same", document), start=start, end=end, registry=registry)
    assert asking.simulated(result["id"]) == settling.books(start=start, end=end)
    assert [row["payee"] for row in result["winners"]][-1:] != []


def in_the_place_of(database: Database, registry: Path, **keys: list[str]) -> None:
    """Really loads a registry, in the place of all rows of its keys."""
    with as_superuser(database) as connection:
        for name, values in keys.items():
            table, column = KEYS[name]
            connection.execute(f"DELETE FROM {table} WHERE {column} = ANY(%s)", [values])  # noqa: S608 - names of this file
    load_registry(database, registry, act=Act(loaded_by="test"))


def hour_of_edges(database: Database, seed: int) -> RandomWorld:
    """An hour in which everything begins and ends."""
    with as_superuser(database) as connection:
        world = RandomWorld(connection, seed)
        world.load(fills=250)
        connection.execute("INSERT INTO settlement_window (window_start) VALUES (%s)", [HOUR])
        return world


def versions(seed: int) -> list[tuple[datetime, str]]:
    """Two versions of the terms, the second taking over in the middle of the hour."""
    random = Random(seed)  # noqa: S311 - a drawing, not a secret
    return [
        (
            since,
            random_world.TERMS.format(
                name=f"asked {seed}.{number}",
                effective_from=since.isoformat(),
                max_vip=random.choice([3, 5]),
                fee_discount=random.choice(["exclude", "net"]),
                max_age=random.choice([600, 3600, 7200]),
                events=random.choice(["", ', events = "0.1"']),
            ),
        )
        for number, since in enumerate([HOUR - 60 * DAY, HOUR + timedelta(minutes=20)])
    ]


@pytest.mark.parametrize("seed", range(6))
def test_an_hour_of_edges_under_other_terms_trees_and_clients(
    database: Database, second_database: Database, tmp_path: Path, seed: int
) -> None:
    asking, settling = Desk(database, tmp_path), Desk(second_database, tmp_path)
    hour_of_edges(database, seed)
    hour_of_edges(second_database, seed)
    documents = versions(seed)
    since = HOUR.isoformat()
    registry = asking.registry(
        brokers=[
            f"a,A,oauth,r2,0.333333,active,{since},",
            f"d,D,api,a,0.5,active,{since},{(HOUR + WINDOW / 2).isoformat()}",
        ],
        codes=[f"codeC,b,{since},", f"unknown,d,{since},"],
        clients=[f"okx,{account},d,{since},,{account == 1},msa,0.25" for account in (1, 2)]
        + [f"okx,3,r1,{since},,,,1"],
        overrides=[f"r1,floor,spot,all,0.9,{since}", f"r1,rate,,maker,0.123456,{since}"],
        vip_levels=[f"okx,4,VIP3,{since}"],
    )
    in_the_place_of(
        second_database,
        registry,
        brokers=["a", "d"],
        codes=["codeC", "unknown"],
        clients=["1", "2", "3"],
        vip_levels=["4"],
    )
    with as_superuser(second_database) as connection:
        connection.execute("DELETE FROM program_terms")
        rows = [{"name": "v", "effective_from": at, "document": document, "load_id": 1} for at, document in documents]
        insert(connection, "program_terms", rows)
    # Of overrides only rows of the very same kind, product and liquidity give way.
    settle_window(database, HOUR, now=NOW)
    settle_window(second_database, HOUR, now=NOW)

    asked = [asking.document(f"v{number}", document) for number, (_, document) in enumerate(documents)]
    result = asking.simulate(*asked, start=HOUR, end=HOUR + WINDOW, registry=registry)
    assert asking.simulated(result["id"]) == settling.books(start=HOUR, end=HOUR + WINDOW)
    assert result["totals"]["fills"] == 250


@pytest.mark.parametrize("cap", ["0.4", "3.123456789", "25"])
def test_a_monthly_cap_with_what_was_earned_before_the_range(
    database: Database, second_database: Database, tmp_path: Path, cap: str
) -> None:
    capped = program.TERMS.replace("[pricing]", f'[cap]\nmonthly_usdt = "{cap}"\nvip_levels = [1]\n[pricing]')
    start, end = program.FIRST + WINDOW, program.FIRST + 4 * WINDOW
    asking, settling = Desk(database, tmp_path), Desk(second_database, tmp_path)
    for desk in (asking, settling):
        program.load_program(desk.database)
        settle_window(desk.database, program.FIRST, now=NOW)
    with as_superuser(second_database) as connection:
        insert(connection, "program_terms", [{"name": "c", "effective_from": start, "document": capped, "load_id": 1}])
    for window_start in program.WINDOWS[1:]:
        settle_window(second_database, window_start, now=NOW)

    result = asking.simulate(asking.document("capped", capped), start=start, end=end)
    assert asking.simulated(result["id"]) == settling.books(start=start, end=end)
    assert "CAP_REACHED" in {row["reason"] for row in result["reasons"]}
