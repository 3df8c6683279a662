"""The rating of a line in words where its root has something of its own: the terms' rate, what counts instead, and why."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from settlement.pipeline.override_broker import Override, override_broker
from settlement.pipeline.registry_by_hand import HandAct
from settlement.reports.explain import explain
from settlement.store.database import Database
from tests.store.small_world import START, load_small_world, settle_hour

ACT = HandAct(by="ana", reason="as agreed")
SPOT, SWAP = ("101", "1"), ("102", "3")


@pytest.fixture
def program(database: Database, superuser: psycopg.Connection) -> Database:
    load_small_world(superuser)
    return database


def give(database: Database, kind: str, value: str, **more: Any) -> None:
    override_broker(database, Override(broker_id="alpha", kind=kind, value=value, begins=START, **more), act=ACT)


def rating(database: Database, fill: tuple[str, str]) -> dict[str, Any]:
    with database.transaction() as connection:
        document = explain(connection, "okx", *fill)
    assert document["differences"] == []
    return next(step for step in document["steps"] if step["step"] == "rating")


def test_the_override_is_named_with_its_scope_its_period_and_its_version(program: Database) -> None:
    give(program, "rate", "0.27", product="futures", liquidity="taker", ends=START.replace(year=2027))
    give(program, "floor", "0.26")
    settle_hour(program)
    swap, spot = rating(program, SWAP), rating(program, SPOT)
    assert swap["says"][2:4] == [
        "futures, taker, not affiliated: 0.3",
        "alpha has a rate of its own for futures, taker: 0.27, in force since 2026-01-01T00:00:00Z until 2027-01-01T00:00:00Z",
    ]
    assert swap["says"][-1].startswith("2.100035 x 0.27 = ")
    assert (swap["rate"], swap["inputs"][-1]["table"]) == ("0.27", "broker_override")
    assert swap["inputs"][-1]["file"] == "by hand: override.set alpha rate futures taker"
    assert spot["says"][2:4] == [
        "spot, taker, not affiliated: 0.25",
        "alpha has a floor of its own for everything: 0.26, in force since 2026-01-01T00:00:00Z",
    ]
    assert spot["rate"] == "0.26"


def test_without_overrides_the_rating_says_nothing_of_them(program: Database) -> None:
    settle_hour(program)
    spot = rating(program, SPOT)
    assert len(spot["says"]) == 4
    assert [version["table"] for version in spot["inputs"]] == ["program_terms"]
