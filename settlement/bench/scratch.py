"""What both benchmarks stand on: a database of one's own, the program's facts in it, its fills taken in and settled."""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from settlement.sample.bench import START

if TYPE_CHECKING:
    from settlement.store.database import Database

MIB_IN_KIB = 1024


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A directory in which this process's embedded PostgreSQL is from now on; removed when the block ends."""
    with tempfile.TemporaryDirectory(prefix="settlement-bench-") as directory:
        folder = Path(directory)
        os.environ["SETTLEMENT_HOME"] = str(folder / "home")
        os.environ.pop("SETTLEMENT_DATABASE_URL", None)
        yield folder


def apart(work: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    """Runs `work` in a process of its own, so that it adds nothing to this one's peak of memory."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments, kwargs=options)
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{work.__name__} failed with exit code {process.exitcode}")


def load_facts(database: Database, data: Path) -> None:
    """Everything but the fills of what `settlement.sample.bench.write_bench` wrote."""
    from settlement.pipeline.load_instruments import load_instruments  # noqa: PLC0415 - only what is measured is up front
    from settlement.pipeline.load_prices import load_prices  # noqa: PLC0415
    from settlement.pipeline.load_registry import load_registry  # noqa: PLC0415
    from settlement.pipeline.load_report import Act  # noqa: PLC0415
    from settlement.pipeline.load_terms import load_terms  # noqa: PLC0415
    from settlement.venues.okx.instruments import parse_instruments  # noqa: PLC0415

    act = Act(loaded_by="bench")
    load_registry(database, data / "registry", act=act)
    load_terms(database, (data / "terms.toml").read_text(), source="terms.toml", act=act)
    instruments = parse_instruments((data / "instruments.json").read_bytes(), source="instruments.json")
    load_instruments(database, instruments, act=act)
    load_prices(database, data / "prices.csv", act=act)


def settle(database: Database, data: Path, *, hours: int) -> tuple[float, float]:
    """The seconds from file to stored fills, and from there to ledger and payouts."""
    from settlement.pipeline.ingest import ingest  # noqa: PLC0415 - only what is measured is up front
    from settlement.pipeline.settle import settle_window  # noqa: PLC0415
    from settlement.venues.reading import FillFile  # noqa: PLC0415

    now, path = datetime.now(UTC), data / "fills.csv"
    started = perf_counter()
    ingest(database, FillFile(path), source="bench", file=path.name, loaded_by="bench", now=now)
    stored = perf_counter()
    for number in range(hours):
        settle_window(database, START + timedelta(hours=number), now=now)
    return stored - started, perf_counter() - stored


def count(database: Database, rows: str) -> int:
    """How many `rows` (what follows FROM) there are."""
    from settlement.store.copying import raw_cursor  # noqa: PLC0415 - only what is measured is up front

    with database.transaction() as connection, raw_cursor(connection) as cursor:
        return int(cursor.execute(f"SELECT count(*) FROM {rows}").fetchone()[0])  # noqa: S608 - the benchmarks' own words


def peak_rss_mb() -> int:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // MIB_IN_KIB


def machine() -> str:
    """What it ran on."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
