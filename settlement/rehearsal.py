"""A rehearsal: an hour of many accounts pulled from the sandbox exchange as the schedule does it, compared row by row, settled.

1. The sandbox runs as a process of its own and serves a market made from a seed, with faults.
2. Three pulls, as at :32, :02 and :32 of the clock, each in a process of its own so that its peak of memory is its own: every
   row of the hour is read at least twice.
3. Every row that the exchange recorded in the hour is compared with what is stored, value for value, and the window settled.
4. The yardstick is the last pull's walk again, by the same client with no fault, its pages thrown away: what HTTP alone costs.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copyfile
from time import perf_counter
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from schemas.frames import AMOUNT
from settlement import runtime
from settlement.pipeline import accounts, harvest_plan, pulling
from settlement.pipeline.load_registry import load_registry
from settlement.pipeline.load_report import Act
from settlement.pipeline.load_terms import load_terms, read_document
from settlement.pipeline.settle import settle_window
from settlement.program.account_documents import parse_accounts
from settlement.sample import world
from settlement.sample.registry import write_registry
from settlement.store import recorded_fills, venue_accounts
from settlement.store.database import Database
from settlement.store.runs import totals_of_windows
from settlement.venues.okx.fills import INSTRUMENT_TYPES, OkxFills
from settlement.venues.okx.limits import RateLimits
from settlement.venues.okx.parse import VENUE
from settlement.venues.okx.sandbox.remote import RemoteSandbox, started
from settlement.venues.okx.session import open_session

Say = Callable[[str], None]

HOUR = timedelta(hours=1)
# When the schedule pulls what was recorded in an hour, counted from its start.
PULLS = (timedelta(minutes=32), timedelta(minutes=62), timedelta(minutes=92))
# The records of the hour, their pulls and the late ones lie behind us.
LEAD = timedelta(minutes=95)
MIB_IN_KIB = 1024
LONGEST_PULL_SECONDS = 1_800
ACT = Act(loaded_by="settlement rehearse")
_SANDBOX = "from settlement.cli.main import main; main()"


def rehearse(*, number: int, fills: int, faults: float, seed: int, say: Say) -> dict[str, Any]:
    """Rehearses `fills` fills an hour of `number` accounts; raises AssertionError if a row is missing, twice or other."""
    with tempfile.TemporaryDirectory(prefix="settlement-rehearsal-") as directory:
        os.environ["SETTLEMENT_HOME"] = str(Path(directory) / "home")
        os.environ.pop("SETTLEMENT_DATABASE_URL", None)
        os.environ.pop("SETTLEMENT_REDIS_URL", None)
        options = {"--seed": seed, "--accounts": number, "--fills-per-hour": fills, "--faults": faults}
        words = [str(word) for option in options.items() for word in option]
        with (
            started([sys.executable, "-P", "-c", _SANDBOX, "sandbox", "--port", "0", *words]) as sandbox,
            runtime.open_database() as database,
        ):
            hour = (datetime.now(UTC) - LEAD).replace(minute=0, second=0, microsecond=0)
            _prepare(database, sandbox, Path(directory), hour=hour, number=number, seed=seed)
            measured: dict[str, Any] = {"accounts": number, "fills_an_hour": fills, "faults": faults}
            measured |= _pull(hour, say)
            stats = sandbox.stats()
            measured |= {"requests": sum(stats["requests"].values()), "over_limit": stats["over_limit"]}
            measured |= {"faults_met": sum(stats["faults"].values())}
            measured |= _compare(database, sandbox, hour=hour)
            say(
                f"{measured['compared']:,} rows of {hour:%Y-%m-%d %H:%M} compared: each is stored once, value for value"
            )
            measured |= _settle(database, hour=hour)
            sandbox.set_fault_rate(0)
            measured["http_only_s"] = _read_only(database, hour)
            measured["ratio"] = round(measured["pulls_s"][-1] / measured["http_only_s"], 2)
    say(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    return measured


def _prepare(  # noqa: PLR0913 - the parts of the rehearsal
    database: Database, sandbox: RemoteSandbox, folder: Path, *, hour: datetime, number: int, seed: int
) -> None:
    """The program of the market's population, and its accounts."""
    write_registry(folder / "registry", world.population_of(seed, accounts=number))
    load_registry(database, folder / "registry", act=ACT)
    for name in ("terms-1.toml", "terms-2.toml"):
        document, source = read_document(str(copyfile(world.HERE / name, folder / name)))
        load_terms(database, document, source=source, act=ACT)
    given = orjson.dumps({**sandbox.line, "pull_from": hour.isoformat()}, default=str)
    accounts.add(
        database,
        runtime.vault(),
        parse_accounts(given, source="the sandbox"),
        instrument_types={VENUE: INSTRUMENT_TYPES},
        added_by=ACT.loaded_by,
        now=hour,
    )


def _pull(hour: datetime, say: Say) -> dict[str, Any]:
    seconds, peaks = [], []
    for after in PULLS:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
            told, took, peak = apart.submit(_pull_apart, hour + after).result()
        say(f"pull at {hour + after:%H:%M}: {told}, {took:.1f} s, peak {peak} MB")
        seconds.append(round(took, 2))
        peaks.append(peak)
    return {"pulls_s": seconds, "peak_rss_mb": max(peaks)}


def _pull_apart(now: datetime) -> tuple[str, float, int]:
    with runtime.open_database() as database:
        begun = perf_counter()
        puller = runtime.puller(database, now=now, loaded_by=ACT.loaded_by)
        report = puller.pull(None, pulling.scheduled(now))
        told, failed = report.summary(), report.failures
        while failed:  # as the sweep does, five minutes later
            again = sorted({failure.account for failure in failed})
            failed = puller.pull(again, pulling.scheduled(now)).failures
            if perf_counter() - begun > LONGEST_PULL_SECONDS:
                raise AssertionError(f"{len(again)} accounts keep failing, the first: {failed[0].error}")
        took = perf_counter() - begun
    return told, took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // MIB_IN_KIB


def _compare(database: Database, sandbox: RemoteSandbox, *, hour: datetime) -> dict[str, Any]:
    theirs = _comparable(sandbox.rows(start=hour, end=hour + HOUR))
    with database.transaction() as connection:
        ours = _comparable(recorded_fills.read(connection, venue=VENUE, start=hour, end=hour + HOUR))
    if not theirs.equals(ours):
        raise AssertionError(f"the exchange recorded {theirs.num_rows} rows, stored are {ours.num_rows}, or others")
    return {"compared": ours.num_rows}


def _comparable(rows: pa.Table) -> pa.Table:
    """Sorted by the key, amounts by value."""
    for name in ("fillPx", "fillSz", "fee"):
        rows = rows.set_column(rows.column_names.index(name), name, pc.cast(rows[name], AMOUNT))
    ordered = rows.select(sorted(rows.column_names)).sort_by([("account", "ascending"), ("billId", "ascending")])
    return ordered.combine_chunks()


def _settle(database: Database, *, hour: datetime) -> dict[str, Any]:
    now = datetime.now(UTC)
    observer = runtime.observer(database, now=now, loaded_by=ACT.loaded_by)
    observer.instruments()
    observer.missing_prices((hour, hour + HOUR))
    begun = perf_counter()
    settle_window(database, hour, now=now)
    took = perf_counter() - begun
    with database.transaction() as connection:
        totals = totals_of_windows(connection, hour, hour)
        fills = recorded_fills.executed(connection, start=hour, end=hour + HOUR)
    lines = sum(totals[status] for status in ("earned", "excluded", "pending"))
    if lines != fills:
        raise AssertionError(f"{fills} fills came to {lines} lines")
    return {"settle_s": round(took, 2), "lines": lines, **totals}


def _read_only(database: Database, hour: datetime) -> float:
    """Seconds that the pages of the last pull take when they are read and thrown away."""
    with database.transaction() as connection:
        opened = venue_accounts.active(connection, vault=runtime.vault(), venue=VENUE, role="client")
    end = hour + PULLS[-1]
    begin = hour + PULLS[-2] - harvest_plan.SETTLING - harvest_plan.OVERLAP

    async def walk(account: OkxFills, turns: asyncio.Semaphore) -> None:
        async with turns:
            for kind in INSTRUMENT_TYPES:
                after: str | None = None
                while True:
                    page = await account.read_page(kind, begin=begin, end=end, after=after)
                    if (after := page.older) is None:
                        break

    async def everything() -> None:
        turns = asyncio.Semaphore(100)
        async with open_session(RateLimits(runtime.redis_url())) as session, asyncio.TaskGroup() as group:
            for account in opened:
                group.create_task(walk(OkxFills.of(session.client(account)), turns))

    begun = perf_counter()
    asyncio.run(everything())
    return round(perf_counter() - begun, 2)
