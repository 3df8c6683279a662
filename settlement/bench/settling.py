"""How long a settlement takes, as a ratio to the bare COPY of the same fills in the same run.

The seconds depend on the machine and on what else it does; the ratio hardly. The data are made, and the yardstick is
encoded, in processes of their own, so that the peak of memory is that of the settlement.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from settlement import runtime
from settlement.bench.scratch import apart, count, load_facts, machine, peak_rss_mb, scratch_folder, settle
from settlement.sample.bench import write_bench
from settlement.store.database import Database

COPY_CHUNK_BYTES = 1 << 20

_CREATE_YARDSTICK = "CREATE TABLE bench_copy (LIKE fill INCLUDING DEFAULTS, PRIMARY KEY (venue, account, bill_id))"


def measure(*, fills: int, hours: int, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Makes the data, measures, and returns fills, settle_s, copy_s, ratio, peak_rss_mb and where the time went."""
    with scratch_folder() as folder:
        say(f"making {fills:,} fills in {hours} window(s)")
        apart(_prepare, folder, fills, hours, seed)
        with runtime.open_database(pool_size=8) as database:
            load_facts(database, folder / "data")
            copy_before = _copy_yardstick(database, folder)
            ingest_s, settle_s = settle(database, folder / "data", hours=hours)
            peak = peak_rss_mb()
            copy_after = _copy_yardstick(database, folder)
            lines = count(database, "line")
    if lines != fills:
        raise AssertionError(f"{fills} fills came to {lines} lines")
    copy_s, total_s = (copy_before + copy_after) / 2, ingest_s + settle_s
    say(machine())
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


def _copy_yardstick(database: Database, folder: Path) -> float:
    from settlement.store.copying import raw_cursor  # noqa: PLC0415 - only what is measured is up front

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
