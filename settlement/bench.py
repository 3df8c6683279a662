"""How long a settlement takes, as a ratio to the bare COPY of the same fills in the same run.

The seconds depend on the machine and on what else it does; the ratio hardly. The data are made, and the yardstick is
encoded, in processes of their own, so that the peak of memory is that of the settlement.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

from settlement import runtime
from settlement.sample.bench import START, write_bench
from settlement.store.database import Database

COPY_CHUNK_BYTES = 1 << 20
MIB_IN_KIB = 1024

_CREATE_YARDSTICK = "CREATE TABLE bench_copy (LIKE fill INCLUDING DEFAULTS, PRIMARY KEY (venue, account, bill_id))"


def measure(*, fills: int, hours: int, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Makes the data, measures, and returns fills, settle_s, copy_s, ratio, peak_rss_mb and where the time went."""
    with tempfile.TemporaryDirectory(prefix="settlement-bench-") as directory:
        folder = Path(directory)
        os.environ["SETTLEMENT_HOME"] = str(folder / "home")
        os.environ.pop("SETTLEMENT_DATABASE_URL", None)
        say(f"making {fills:,} fills in {hours} window(s)")
        _apart(_prepare, folder, fills, hours, seed)
        with runtime.open_database(pool_size=8) as database:
            _load_facts(database, folder)
            copy_before = _copy_yardstick(database, folder)
            ingest_s, settle_s = _settle(database, folder, hours)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // MIB_IN_KIB
            copy_after = _copy_yardstick(database, folder)
            lines = _count_lines(database)
    if lines != fills:
        raise AssertionError(f"{fills} fills came to {lines} lines")
    copy_s, total_s = (copy_before + copy_after) / 2, ingest_s + settle_s
    say(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    say(f"bare COPY before {copy_before:.2f} s, after {copy_after:.2f} s")
    say(f"file to stored fills {ingest_s:.2f} s, stored fills to ledger and payouts {settle_s:.2f} s")
    return {
        "fills": fills,
        "settle_s": round(total_s, 3),
        "copy_s": round(copy_s, 3),
        "ratio": round(total_s / copy_s, 3),
        "peak_rss_mb": peak,
        "ingest_s": round(ingest_s, 3),
        "windows": hours,
    }


def _apart(work: Callable[..., None], *arguments: Any) -> None:
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{work.__name__} failed with exit code {process.exitcode}")


def _prepare(folder: Path, fills: int, hours: int, seed: int) -> None:
    import pyarrow as pa  # noqa: PLC0415 - in a process of its own
    from pyarrow import compute, csv  # noqa: PLC0415

    from settlement.store.copying import encode_csv  # noqa: PLC0415

    written = write_bench(folder / "data", fills=fills, seed=seed, hours=hours)
    header = written.fills.open().readline().strip().split(",")
    text_columns = csv.ConvertOptions(
        column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True, null_values=[""]
    )
    table = csv.read_csv(written.fills, convert_options=text_columns)
    table = table.sort_by([("venue", "ascending"), ("account", "ascending"), ("bill_id", "ascending")])
    executed_at = compute.cast(table["executed_at"], pa.int64()).cast(pa.timestamp("ms", "UTC"))
    table = table.set_column(header.index("executed_at"), "executed_at", executed_at)
    table = table.append_column("load_id", pa.array([1]).take(pa.array([0] * len(table))))
    (folder / "columns").write_text(", ".join(table.column_names))
    (folder / "encoded.csv").write_bytes(encode_csv(table))


def _load_facts(database: Database, folder: Path) -> None:
    from settlement.pipeline.load_instruments import load_instruments  # noqa: PLC0415 - only what is measured is up front
    from settlement.pipeline.load_prices import load_prices  # noqa: PLC0415
    from settlement.pipeline.load_registry import load_registry  # noqa: PLC0415
    from settlement.pipeline.load_report import Act  # noqa: PLC0415
    from settlement.pipeline.load_terms import load_terms  # noqa: PLC0415
    from settlement.venues.okx.instruments import parse_instruments  # noqa: PLC0415

    act, data = Act(loaded_by="bench"), folder / "data"
    load_registry(database, data / "registry", act=act)
    load_terms(database, (data / "terms.toml").read_text(), source="terms.toml", act=act)
    instruments = parse_instruments((data / "instruments.json").read_bytes(), source="instruments.json")
    load_instruments(database, instruments, act=act)
    load_prices(database, data / "prices.csv", act=act)


def _copy_yardstick(database: Database, folder: Path) -> float:
    from settlement.store.copying import raw_cursor  # noqa: PLC0415

    data, columns = (folder / "encoded.csv").open("rb"), (folder / "columns").read_text()
    with database.owner_engine().begin() as connection, raw_cursor(connection) as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_copy")
        cursor.execute(_CREATE_YARDSTICK)
    started = perf_counter()
    command = f"COPY bench_copy ({columns}) FROM STDIN WITH (FORMAT csv)"
    with (
        data,
        database.owner_engine().begin() as connection,
        raw_cursor(connection) as cursor,
        cursor.copy(command) as stream,
    ):
        while chunk := data.read(COPY_CHUNK_BYTES):
            stream.write(chunk)
    return perf_counter() - started


def _settle(database: Database, folder: Path, hours: int) -> tuple[float, float]:
    from settlement.pipeline.ingest import ingest  # noqa: PLC0415
    from settlement.pipeline.settle import settle_window  # noqa: PLC0415
    from settlement.venues.reading import FillFile  # noqa: PLC0415

    now, path = datetime.now(UTC), folder / "data" / "fills.csv"
    started = perf_counter()
    ingest(database, FillFile(path), source="bench", file=path.name, loaded_by="bench", now=now)
    stored = perf_counter()
    for number in range(hours):
        settle_window(database, START + timedelta(hours=number), now=now)
    return stored - started, perf_counter() - stored


def _count_lines(database: Database) -> int:
    from settlement.store.copying import raw_cursor  # noqa: PLC0415

    with database.transaction() as connection, raw_cursor(connection) as cursor:
        return int(cursor.execute("SELECT count(*) FROM line").fetchone()[0])
