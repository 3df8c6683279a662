"""Acts and tasks, done by the product's own use cases."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

from settlement.errors import Refused
from settlement.pipeline import recalculate, review, settle
from settlement.pipeline.ingest import ingest
from settlement.pipeline.load_instruments import load_instruments
from settlement.pipeline.load_prices import load_prices
from settlement.pipeline.load_registry import load_registry
from settlement.pipeline.load_report import Act as LoadedBy
from settlement.pipeline.load_terms import load_terms
from settlement.pipeline.pay import plan_payouts
from settlement.store.database import Database
from settlement.venues.okx.instruments import parse_instruments
from settlement.venues.reading import FillFile
from tests.simulation.acts import (
    REVIEWED_MONTH,
    Act,
    Ingest,
    Load,
    PayOnSchedule,
    Pull,
    Recalculate,
    ReviewTiers,
    SettleByHand,
)
from tests.simulation.exchange import Venue
from tests.venues.fill_files import as_csv

DONE = "done"
USER, APPROVER = "anna", "bert"


def perform(act: Act, database: Database, *, venue: Venue, now: datetime) -> str:
    """Does what a user does; what became of it, refusals included."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            _perform(act, database, venue=venue, folder=Path(folder), now=now)
        except Refused as refused:
            return f"refused: {refused}".replace(folder, "")
    return DONE


def _perform(act: Act, database: Database, *, venue: Venue, folder: Path, now: datetime) -> None:
    match act:
        case Load():
            load_facts(act, database, folder=folder)
        case Ingest():
            path = folder / act.file
            path.write_bytes(as_csv(act.rows))
            ingest(database, FillFile(path), source="desk", file=act.file, loaded_by=USER, now=now)
        case Pull():
            venue.pull(act, database, now=now)
        case SettleByHand(window_start):
            settle.settle_window(database, window_start, now=now)
        case PayOnSchedule():
            plan_payouts(database, now)
        case ReviewTiers(anyway):
            review.review_month(database, REVIEWED_MONTH, by=USER, now=now, anyway=anyway)
        case Recalculate():
            _recalculate(act, database)
        case _:
            pass  # the workers do it


def _recalculate(act: Recalculate, database: Database) -> None:
    """The plan is known by its request: asked for again, it is the same one."""
    plan_id = recalculate.request(
        database,
        start=act.start,
        end=act.end,
        broker=act.broker,
        reason=act.reason,
        by=USER,
        re_review=act.re_review,
        request_key=act.reason,
    )
    match act.step:
        case "approve":
            recalculate.approve(database, plan_id, by=APPROVER)
        case "apply":
            recalculate.open_runs(database, plan_id, by=APPROVER)
        case "cancel":
            recalculate.cancel(database, plan_id, by=APPROVER)
        case _:
            pass


def load_facts(load: Load, database: Database, *, folder: Path) -> None:
    """Writes the files into `folder` and loads them."""
    by = LoadedBy(loaded_by=USER, correction=load.correction)
    for name, content in load.files.items():
        (folder / name).write_text(content)
    file = folder / next(iter(load.files))
    match load.what:
        case "registry":
            load_registry(database, folder, act=by)
        case "terms":
            load_terms(database, file.read_text(), source=file.name, act=by)
        case "instruments":
            load_instruments(database, parse_instruments(file.read_bytes(), source=file.name), act=by)
        case "prices":
            load_prices(database, file, act=by)
