"""How long a what-if over a settled month takes, as a ratio to settling the same month in the same run.

First the terms that stand are asked about: what comes out has to be what settling them has really come to, digit for digit,
the tiers of its review included. Then other terms are, which is what is measured. Both in a process of their own, so that
the peak of memory is that of a what-if.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from settlement import runtime
from settlement.bench.scratch import apart, load_facts, machine, peak_rss_mb, scratch_folder, settle
from settlement.sample.bench import START, write_bench

if TYPE_CHECKING:
    from settlement.store.database import Database

OTHER_TERMS = "guide"
FIRST_BILL_ID = 2_700_000_000_000_000_000


def measure(*, fills: int, windows: int, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Makes the data, settles, asks, and returns the seconds of settling and of the what-if, their ratio, and its memory."""
    with scratch_folder() as folder:
        data = folder / "data"
        say(f"making {fills:,} fills in {windows:,} windows")
        apart(_prepare, data, fills, windows, seed)
        with runtime.open_database(pool_size=8) as database:
            load_facts(database, data)
            settle_s = _settle(database, data, windows)
            say(f"settled in {settle_s:.2f} s")
            apart(_ask, folder, data, windows)
        asked: dict[str, Any] = json.loads((folder / "asked.json").read_text())
    say(
        f"the terms that stand came to the same in {asked['same_s']:.2f} s, others were settled in {asked['simulate_s']:.2f} s"
    )
    say(machine())
    return {
        "fills": fills,
        "windows": windows,
        "settle_s": round(settle_s, 3),
        **asked,
        "ratio": round(asked["simulate_s"] / settle_s, 3),
    }


def _prepare(data: Path, fills: int, windows: int, seed: int) -> None:
    """Writes the data, with the fills in the order of time and bill ids that grow, as a venue hands them out."""
    import numpy as np  # noqa: PLC0415 - in a process of its own
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import csv  # noqa: PLC0415

    path = write_bench(data, fills=fills, seed=seed, hours=windows).fills
    header = path.open().readline().strip().split(",")
    text = csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()))
    table = csv.read_csv(path, convert_options=text).sort_by("executed_at")
    bill_ids = pa.array(FIRST_BILL_ID + np.arange(table.num_rows)).cast(pa.string())
    table = table.set_column(header.index("bill_id"), "bill_id", bill_ids)
    csv.write_csv(table, path, csv.WriteOptions(quoting_style="needed"))


def _settle(database: Database, data: Path, windows: int) -> float:
    """Takes the fills in and settles them, with the reviews that fall due; the seconds of settling alone."""
    from settlement.pipeline.review import review_month  # noqa: PLC0415 - only what is measured is up front
    from settlement.pipeline.settle import settle_window  # noqa: PLC0415
    from settlement.rules.review import month_before, month_of  # noqa: PLC0415

    _, seconds = settle(database, data, hours=0)
    started = perf_counter()
    for start in (START + timedelta(hours=number) for number in range(windows)):
        if start == month_of(start):
            review_month(database, month_before(start), by="bench", now=start, anyway=True)
        settle_window(database, start, now=datetime.now(UTC))
    return seconds + perf_counter() - started


def _ask(folder: Path, data: Path, windows: int) -> None:
    """Writes down how long both what-ifs took, and the memory it took. Fails if the first says other than the books."""
    with runtime.open_database(pool_size=8) as database:
        same_s, same = _simulate(database, str(data / "terms.toml"), windows)
        if differing := [name for name in ("winners", "losers", "moves") if same[name]]:
            raise AssertionError(f"a what-if of the terms that stand differs from the books: {', '.join(differing)}")
        simulate_s, other = _simulate(database, OTHER_TERMS, windows)
    asked = {
        "same_s": round(same_s, 3),
        "simulate_s": round(simulate_s, 3),
        "peak_rss_mb": peak_rss_mb(),
        "stretches": other["totals"]["stretches"],
        "lines": other["totals"]["lines"],
        "reviews": len(same["reviews"]),
        "payees_equal": len(same["unchanged"]),
        "commission_usdt": f"{same['totals']['commission_usdt']:f}",
        "simulated_commission_usdt": f"{other['totals']['commission_usdt']:f}",
    }
    (folder / "asked.json").write_text(json.dumps(asked))


def _simulate(database: Database, terms: str, windows: int) -> tuple[float, dict[str, Any]]:
    """The seconds of a what-if over all windows, and what it came to."""
    from settlement.pipeline.find_terms import find_terms  # noqa: PLC0415 - only what is measured is up front
    from settlement.pipeline.what_if import Question, ask  # noqa: PLC0415
    from settlement.pipeline.what_if_stretches import simulate_all  # noqa: PLC0415
    from settlement.store.what_if_report import parts, totals  # noqa: PLC0415

    started = perf_counter()
    end = START + timedelta(hours=windows)
    question = Question(start=START, end=end, terms=[find_terms(database, terms)])
    what_if_id = ask(database, question, by="bench")
    simulate_all(database, what_if_id)
    with database.transaction() as connection:
        result = {"totals": totals(connection, what_if_id), **parts(connection, what_if_id)}
    return perf_counter() - started, result
