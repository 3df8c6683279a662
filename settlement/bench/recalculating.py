"""How long it takes to recalculate a settled month, as ratios to settling the same month in the same run.

Every rate of the lowest tier turns out to have been a little too low: nearly every line that earns changes. That is planned,
approved by somebody else and posted; then the same is asked for again, and nothing may change any more.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from settlement import runtime
from settlement.bench.scratch import apart, count, load_facts, machine, peak_rss_mb, scratch_folder, settle
from settlement.sample.bench import START, write_bench

if TYPE_CHECKING:
    from settlement.store.database import Database

_RATE = re.compile(r'"(0\.\d+)"')


def measure(*, fills: int, windows: int, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Makes the data, settles, corrects, and returns the seconds of planning and posting, their ratios, and what changed."""
    with scratch_folder() as folder:
        data = folder / "data"
        say(f"making {fills:,} fills in {windows:,} windows")
        apart(write_bench, data, fills=fills, seed=seed, hours=windows)
        with runtime.open_database(pool_size=8) as database:
            load_facts(database, data)
            ingest_s, settle_s = settle(database, data, hours=windows)
            say(f"file to stored fills {ingest_s:.2f} s, stored fills to ledger and payouts {settle_s:.2f} s")
            settled_mb = peak_rss_mb()
            _correct_rates(database, data)
            plan_s, apply_s = _recalculate(database, windows)
            say(f"planned in {plan_s:.2f} s, posted in {apply_s:.2f} s")
            peak, changed = peak_rss_mb(), count(database, "line WHERE revision > 0")
            again_s = sum(_recalculate(database, windows))
            if count(database, "line WHERE revision > 0") != changed:
                raise AssertionError("the same recalculation once more changed lines")
    say(machine())
    return {
        "fills": fills,
        "windows": windows,
        "lines_changed": changed,
        "settle_s": round(settle_s, 3),
        "plan_s": round(plan_s, 3),
        "apply_s": round(apply_s, 3),
        "again_s": round(again_s, 3),
        "plan_ratio": round(plan_s / settle_s, 3),
        "apply_ratio": round(apply_s / settle_s, 3),
        "peak_rss_mb": peak,
        "settle_peak_rss_mb": settled_mb,
    }


def _correct_rates(database: Database, data: Path) -> None:
    """Replaces the terms by the same ones with slightly higher rates for the lowest tier, in which everybody is."""
    from settlement.pipeline.load_report import Act  # noqa: PLC0415 - only what is measured is up front
    from settlement.pipeline.load_terms import load_terms  # noqa: PLC0415

    before, rates, rest = (data / "terms.toml").read_text().partition("\nrates = ")
    lowest, newline, others = rest.partition("\n")
    document = before + rates + _RATE.sub(r'"\g<1>1"', lowest) + newline + others
    act = Act(loaded_by="bench", correction="the rates of the lowest tier were too low")
    load_terms(database, document, source="corrected.toml", act=act)


def _recalculate(database: Database, windows: int) -> tuple[float, float]:
    """The seconds of planning, and of posting."""
    from settlement.pipeline import recalculate  # noqa: PLC0415 - only what is measured is up front
    from settlement.pipeline.recalculation_plan import plan_all  # noqa: PLC0415

    started = perf_counter()
    plan_id = recalculate.request(
        database,
        start=START,
        end=START + timedelta(hours=windows),
        broker=None,
        reason="the rates were too low",
        by="bench",
    )
    plan_all(database, plan_id, progress=_unseen)
    planned = perf_counter()
    recalculate.approve(database, plan_id, by="somebody else")
    recalculate.apply(database, plan_id, by="bench", now=lambda: datetime.now(UTC), progress=_unseen)
    return planned - started, perf_counter() - planned


def _unseen(_done: int, _all: int) -> None:
    """Nobody looks."""
