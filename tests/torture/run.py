"""One torture from beginning to end: feed, kill, come to rest, compare with the faultless run."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import make_url

from schemas.storage import migrate
from settlement import embedded, runtime
from settlement.pipeline.audit import verify_ledger
from settlement.store.database import Database
from tests.torture.acts import run_calmly
from tests.torture.books import Books, books_of, differences
from tests.torture.faults import Faults
from tests.torture.stage import Stage, staged
from tests.torture.users import SECONDS_OF_HOUR, Users
from tests.torture.world import World

CALM = "calm"
GIVEN_UP = "task given up"
ERROR_CHARACTERS = 60
HOURS_MIN = 12
REST_SECONDS_MAX = 600.0
TICK_SECONDS = 0.1
TOLD_EVERY_SECONDS = 60.0

Say = Callable[[str], None]


def torture(directory: Path, *, seconds: float, seed: int, say: Say) -> dict[str, Any]:
    """What happened, with `differences` between the tortured books and the faultless ones: none, if all is well."""
    began = time.monotonic()
    home, logs, folder = (directory / name for name in ("home", "logs", "world"))
    logs.mkdir(parents=True)
    folder.mkdir()
    world = World(folder, seed=seed, hours=max(HOURS_MIN, int(seconds / SECONDS_OF_HOUR) + 1))
    try:
        with runtime.open_database(pool_size=3) as database:
            users = Users(database, world, hours_min=HOURS_MIN)
            told = _tortured(users, home, logs, seconds=seconds, seed=seed, say=say)
            say(f"at rest after {told['hours']:,} hours; the same without faults")
            found = _books(database, world, hours=users.hours)
            expected = _calm_books(world, hours=users.hours)
        told |= {"fills": found[0]["fills"].total(), "wall_s": _since(began), "alerts": _alerts(logs)}
        return {**told, "differences": _compare(expected, found)}
    finally:
        embedded.leave(home)


def _tortured(  # noqa: PLR0913 - the users, the stage, how long, and who is told
    users: Users, home: Path, logs: Path, *, seconds: float, seed: int, say: Say
) -> dict[str, Any]:
    """Feeds and kills for so many seconds, then waits until everything is at rest."""
    began = time.monotonic()
    with staged(home, logs) as stage, runtime.open_redis() as redis, _working(users) as (work, stop):
        faults = Faults(stage, redis, seed=seed, seconds=seconds)
        told_at = began
        while not _finished(work) and not (faults.greater_done and time.monotonic() - began > seconds):
            faults.strike_if_due()
            if time.monotonic() - told_at > TOLD_EVERY_SECONDS:
                told_at = time.monotonic()
                say(f"{_since(began):,} s: {users.hours:,} hours fed, {faults.done.total():,} faults")
            _tick(stage)
        stop.set()
        fed = time.monotonic()
        while not (_finished(work) and users.at_rest()):
            if time.monotonic() - fed > REST_SECONDS_MAX:
                raise TimeoutError(f"after {REST_SECONDS_MAX:.0f} s there is still {users.unfinished()}; see {logs}")
            _tick(stage)
    return {
        "hours": users.hours,
        "recalculations": users.recalculations(),
        "recalculations_asked": users.attempts(),
        "files_sent_again": users.files_sent_again,
        "faults": dict(sorted(faults.done.items())),
        "ended_by_themselves": dict(stage.ended_by_themselves),
        "fed_s": round(fed - began, 1),
        "rest_s": _since(fed),
    }


def _since(began: float) -> float:
    return round(time.monotonic() - began, 1)


@contextmanager
def _working(users: Users) -> Iterator[tuple[Future[None], Event]]:
    """The users at work in a thread, and what tells them to feed no more; however the block ends, they stop."""
    stop, give_up = Event(), Event()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="users") as pool:
        try:
            yield pool.submit(users.work, stop, give_up), stop
        finally:
            give_up.set()


def _finished(work: Future[None]) -> bool:
    """Whether the users have nothing more to do; raises what made them give up."""
    if work.done():
        work.result()
    return work.done()


def _tick(stage: Stage) -> None:
    stage.keep()
    time.sleep(TICK_SECONDS)


def _books(database: Database, world: World, *, hours: int) -> tuple[Books, list[str]]:
    """The books, and what the audit finds, with every line rated again."""
    report = verify_ledger(database, sample=None)
    findings = [f"{check.name}: {finding}" for check in report.checks for finding in check.findings[:5]]
    return books_of(database, end=world.window(hours)), findings


def _calm_books(world: World, *, hours: int) -> tuple[Books, list[str]]:
    """The same hours without a fault, in this process and a second database of the same server."""
    url = make_url(runtime.database_url())
    with psycopg.connect(
        url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
    ) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(CALM)))
    calm = Database(url.set(database=CALM).render_as_string(hide_password=False))
    migrate.upgrade(calm.owner_engine())
    try:
        run_calmly(calm, world, hours=hours)
        return _books(calm, world, hours=hours)
    finally:
        calm.dispose()


def _compare(expected: tuple[Books, list[str]], found: tuple[Books, list[str]]) -> list[str]:
    (calm, calm_findings), (tortured, findings) = expected, found
    audited = [
        *(f"faultless: {finding}" for finding in calm_findings),
        *(f"tortured: {finding}" for finding in findings),
    ]
    return [*audited, *differences(calm, tortured)]


def _alerts(logs: Path) -> dict[str, int]:
    """How often tasks were given up, by task and error; what waits for them stands in PostgreSQL and was found again."""
    found: Counter[str] = Counter()
    for path in logs.glob("*.log"):
        for line in path.read_text(errors="replace").splitlines():
            if GIVEN_UP in line and line.startswith("{"):
                event = json.loads(line)
                found[f"{event['task']}: {event['error'].splitlines()[0][:ERROR_CHARACTERS]}"] += 1
    return dict(found.most_common())
