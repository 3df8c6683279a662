"""How long a month takes whose clients reach their monthly cap, as a ratio to the same month without a cap, in the same run.

The same fills are settled twice, each time in a PostgreSQL of its own: first capped, so that the peak of memory is that of
capping, then not. Last, a fill that comes late at the beginning of the month moves the crossing of its client in all of it.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from settlement import runtime
from settlement.bench.scratch import apart, count, load_facts, machine, peak_rss_mb, scratch_folder, settle
from settlement.sample.bench import FIRST_ACCOUNT, START, write_bench

if TYPE_CHECKING:
    from settlement.store.database import Database

CAP = '\n[cap]\nmonthly_usdt = "{amount}"\nvip_levels = [0, 1, 2, 3, 4]\n'
LATE_FEE = "-400"
CAPPED = "line JOIN basis USING (basis_id) WHERE reason = 'CAP_REACHED'"


def measure(*, fills: int, windows: int, seed: int, amount: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Makes the data, settles the month capped and uncapped, and returns the seconds of both, their ratio and the memory."""
    with scratch_folder() as folder:
        data = folder / "data"
        say(f"making {fills:,} fills in {windows:,} windows")
        apart(write_bench, data, fills=fills, seed=seed, hours=windows)
        uncapped_terms = (data / "terms.toml").read_text()
        (data / "terms.toml").write_text(uncapped_terms + CAP.format(amount=amount))
        with runtime.open_database(pool_size=8) as database:
            capped_s = _settle(database, data, windows)
            peak, capped = peak_rss_mb(), count(database, CAPPED)
            say(f"with a cap of {amount} USDT in {capped_s:.2f} s, {capped:,} fills were stopped by it")
            late_s, moved = _come_late(database, data, windows)
            say(f"a fill that came late moved {moved:,} lines in {late_s:.2f} s")
        (data / "terms.toml").write_text(uncapped_terms)
        with scratch_folder(), runtime.open_database(pool_size=8) as database:
            uncapped_s = _settle(database, data, windows)
            say(f"without a cap in {uncapped_s:.2f} s")
    say(machine())
    return {
        "fills": fills,
        "windows": windows,
        "capped": capped,
        "capped_s": round(capped_s, 3),
        "uncapped_s": round(uncapped_s, 3),
        "ratio": round(capped_s / uncapped_s, 3),
        "late_s": round(late_s, 3),
        "late_lines": moved,
        "peak_rss_mb": peak,
    }


def _settle(database: Database, data: Path, windows: int) -> float:
    load_facts(database, data)
    return settle(database, data, hours=windows)[1]


def _come_late(database: Database, data: Path, windows: int) -> tuple[float, int]:
    """The seconds until all windows rest again, and how many lines have another version by then."""
    from settlement.pipeline.ingest import ingest  # noqa: PLC0415 - only what is measured is up front
    from settlement.pipeline.settle import settle_window  # noqa: PLC0415
    from settlement.store.windows import waiting  # noqa: PLC0415
    from settlement.venues.reading import FillFile  # noqa: PLC0415

    now, late = datetime.now(UTC), data / "late.csv"
    _write_late(data / "fills.csv", late)
    started = perf_counter()
    ingest(database, FillFile(late), source="bench", file=late.name, loaded_by="bench", now=now)
    while True:
        with database.transaction() as connection:
            left = waiting(connection, ended_by=now, limit=windows)
        if not left:
            return perf_counter() - started, count(database, "line WHERE revision > 0")
        for window in left:
            settle_window(database, window.window_start, now=now)


def _write_late(fills: Path, late: Path) -> None:
    """One more fill of the busiest account, at the very beginning, whose commission alone comes near the cap."""
    with fills.open(newline="") as lines, late.open("w", newline="") as file:
        rows = csv.DictReader(lines)
        fill = next(row for row in rows if row["account"] == str(FIRST_ACCOUNT) and row["tag"])
        fill |= {"bill_id": "1", "executed_at": START.isoformat(), "fee": LATE_FEE, "fee_currency": "USDT"}
        writer = csv.DictWriter(file, fill)
        writer.writeheader()
        writer.writerow(fill)
