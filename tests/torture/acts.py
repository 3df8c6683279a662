"""What users do, by the use cases that the commands call; and the same world without faults, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from settlement.pipeline import recalculate
from settlement.pipeline.ingest import ingest
from settlement.pipeline.load_instruments import load_instruments
from settlement.pipeline.load_prices import load_prices
from settlement.pipeline.load_registry import load_registry
from settlement.pipeline.load_report import Act
from settlement.pipeline.load_terms import load_terms, read_document
from settlement.pipeline.recalculation_plan import plan_all
from settlement.pipeline.settle import settle_window
from settlement.store import windows
from settlement.store.database import Database
from settlement.store.failures import passes_by_itself
from settlement.venues.okx.instruments import parse_instruments
from settlement.venues.reading import FillFile
from tests.torture.world import FactLoad, Recalculation, World

T = TypeVar("T")

PLANNER, APPROVER, APPLIER = "anna", "bert", "carl"
WINDOWS_MAX = 10_000
SETTLED_EVERY = 4


def load(database: Database, fact: FactLoad) -> None:
    """Loads facts; loading the same again changes nothing."""
    act = Act(loaded_by=PLANNER, correction=fact.correction)
    match fact.kind:
        case "registry":
            load_registry(database, fact.path, act=act)
        case "terms":
            document, source = read_document(str(fact.path))
            load_terms(database, document, source=source, act=act)
        case "instruments":
            load_instruments(database, parse_instruments(fact.path.read_bytes(), source=str(fact.path)), act=act)
        case "prices":
            load_prices(database, fact.path, act=act)


def until_done(act: Callable[[], T]) -> T:
    """What somebody at a terminal does whose command fails because PostgreSQL restarts: again."""
    while True:
        try:
            return act()
        except Exception as error:
            if not passes_by_itself(error):
                raise
            time.sleep(0.5)


def run_calmly(database: Database, world: World, *, hours: int) -> None:
    """The first hours of the world, without a fault; what came is settled every few hours, and before it is recalculated."""
    for fact in world.base:
        load(database, fact)
    for number in range(hours):
        step = world.step(number)
        for fact in step.facts:
            load(database, fact)
        for file in step.files:
            ingest(database, FillFile(file), source="file", file=file.name, loaded_by=PLANNER, now=_now())
        if step.recalculation:
            _settle_what_waits(database)
            _recalculate(database, step.recalculation)
        elif number % SETTLED_EVERY == 0:
            _settle_what_waits(database)
    _settle_what_waits(database)


def _settle_what_waits(database: Database) -> None:
    with database.transaction() as connection:
        waiting = windows.waiting(connection, ended_by=_now(), limit=WINDOWS_MAX)
    for window in waiting:
        settle_window(database, window.window_start, now=_now())


def _recalculate(database: Database, asked: Recalculation) -> None:
    plan_id = recalculate.request(
        database, start=asked.start, end=asked.end, broker=asked.broker, reason=asked.reason, by=PLANNER
    )
    plan_all(database, plan_id, progress=lambda _done, _all: None)
    recalculate.approve(database, plan_id, by=APPROVER)
    recalculate.apply(database, plan_id, by=APPLIER, now=_now)


def _now() -> datetime:
    return datetime.now(UTC)
