"""Many seeds in several processes, each with a database of its own, on servers of the product's own or those configured."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from psycopg import sql
from sqlalchemy import make_url

from schemas.storage import migrate
from settlement import embedded, runtime
from settlement.logging import configure_logging
from settlement.store.database import Database
from tests.simulation.arena import Arena, administrator, cloned
from tests.simulation.simulate import SCHEDULES_OF_A_WORLD, simulating, world_of

PROCESSES = 2


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one seed came to: findings, and which faults struck how often."""

    seed: int
    findings: tuple[str, ...]
    hit: Counter[str] = field(default_factory=Counter)


@contextmanager
def servers() -> Iterator[str]:
    """The name of a migrated database to clone; embedded servers live in a temporary home until the block ends."""
    with tempfile.TemporaryDirectory(prefix="settlement-simulation-") as folder:
        os.environ["SETTLEMENT_HOME"] = folder
        os.environ["SETTLEMENT_LOG_LEVEL"] = "ERROR"
        be_small()
        name = f"template_{uuid.uuid4().hex[:16]}"
        with administrator() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = make_url(runtime.database_url()).set(database=name).render_as_string(hide_password=False)
        try:
            migrate.upgrade(Database(url).owner_engine())
            yield name
        finally:
            with administrator() as connection:
                connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
            embedded.leave(Path(folder))


def run_seeds(template: str, seeds: range) -> Iterator[Report]:
    """Every seed of the range, as each is done."""
    context = multiprocessing.get_context("spawn")
    reports: Any = context.Queue()
    shares = [
        context.Process(target=_run_share, args=(template, seeds, number, reports), daemon=True)
        for number in range(PROCESSES)
    ]
    for share in shares:
        share.start()
    for _ in seeds:
        report = reports.get()
        if isinstance(report, str):
            raise RuntimeError(report)  # noqa: TRY004 - what a process could not do
        yield report
    for share in shares:
        share.join()


def share_of(seeds: range, number: int) -> Iterator[int]:
    """The seeds of one process: whole worlds, so that none is run without faults twice."""
    return (seed for seed in seeds if seed // SCHEDULES_OF_A_WORLD % PROCESSES == number)


def redis_url_of(number: int) -> str:
    """A Redis database for each process: the embedded server's 1, 2, ..., or the configured one counted down."""
    url = runtime.redis_url()
    if url.startswith("unix://"):
        return url.partition("?")[0] + f"?db={number + 1}"
    base, _, configured = url.rpartition("/")
    return f"{base}/{int(configured) - number}"


def be_small() -> None:
    """For tables of a few rows, one thread is faster than a pool of them."""
    pa.set_cpu_count(1)
    configure_logging(runtime.settings())


def _run_share(template: str, seeds: range, number: int, reports: Any) -> None:
    be_small()
    try:
        with cloned(template) as url, simulating(Arena(url), redis_url_of(number)) as simulator:
            for seed in share_of(seeds, number):
                simulator.hit.clear()
                findings = simulator.findings(world_of(seed))
                reports.put(Report(seed=seed, findings=tuple(findings), hit=Counter(simulator.hit)))
    except BaseException as error:
        reports.put(f"process {number} ended: {error!r}")
        raise
