"""Planning a recalculation, window by window: what the lines would be by what is known now, beside what stands.

1. Each window is planned in a transaction of its own, by whoever claims it first, on any machine; nothing of the books is
   touched. What it was planned from (its fills, its latest run) is kept with it.
2. Fills and lines are read as of one moment, facts as of the moment at which the plan was asked for. It is about settled
   lines: what is pending, or has no line yet, is settled by the supplementary run that it waits for.
3. Where the terms have a monthly cap, the windows of one month are planned one after the other: what the cap leaves of a
   window's lines depends on what the windows before it would come to.
4. Whoever plans the last window says what past reviews would have come out otherwise, takes the fingerprint of all facts,
   and the plan is planned. If the consequence of reviews was asked for, their later windows are planned first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import count

import pyarrow as pa

from settlement.errors import Unavailable
from settlement.pipeline.ahead import ahead
from settlement.pipeline.capping import EXECUTED, Aside, considered, limited_in, rows_of
from settlement.pipeline.facts_cache import FactsCache
from settlement.pipeline.recalculation_reviews import review_again, with_reviews
from settlement.pipeline.recalculation_runs import counts_months, scope_of
from settlement.pipeline.recalculation_sums import WindowSums
from settlement.pipeline.revision import Revision, revision_of
from settlement.store import lines, recalculation_report, recalculation_windows, recalculations, runs
from settlement.store.database import Connection, Database
from settlement.store.fingerprint import fingerprint
from settlement.store.outbox import emit
from settlement.store.recalculations import Plan
from settlement.store.verification import one_moment

STUCK_SECONDS = 120
WAIT_SECONDS = 1


def plan_window(database: Database, plan_id: int, window_start: datetime, *, cache: FactsCache | None = None) -> bool:
    """Plans one window; False if it is planned, or somebody else is at it, or the plan is over.

    Raises Unavailable while a run of the window is open: it is planned once that is settled.
    """
    cache = cache or FactsCache()
    with database.transaction() as connection, database.transaction() as reading:
        one_moment(reading)
        plan = recalculations.plan_of(connection, plan_id)
        if plan.status != "planning" or not _claim(connection, plan, window_start):
            return False
        run = runs.latest_run(reading, window_start)
        if run is None or not run.closed:
            raise Unavailable(f"window {window_start.isoformat()} is being settled; it can be planned once it is")
        sums, fills = _compare(connection, reading, plan, window_start, cache=cache)
        recalculation_windows.write(connection, plan_id, window_start, roots=sorted(sums.roots), parts=sums.parts())
        recalculation_windows.finish(connection, plan_id, window_start, revision=run.revision, fills=fills)
        _finish_if_planned(connection, plan_id)
        return True


def plan_all(database: Database, plan_id: int, *, progress: Callable[[int, int], None]) -> None:
    """Plans what is left of a plan in this process, two windows at once, and waits for what others are at.

    `progress` is told how many windows of how many are planned. Raises Unavailable if for a while nobody gets further.
    """
    planned = count(1)
    moved_at = time.monotonic()
    while left := _left(database, plan_id):
        halves = [left[: len(left) // 2], left[len(left) // 2 :]]
        say = partial(_say, progress, planned, len(left))
        with ThreadPoolExecutor(max_workers=len(halves), thread_name_prefix="plan") as pool:
            moved = sum(pool.map(lambda half: _plan_each(database, plan_id, half, say), halves))  # noqa: B023 - awaited here
        if moved:
            moved_at = time.monotonic()
        elif time.monotonic() - moved_at > STUCK_SECONDS:
            raise Unavailable(f"plan {plan_id}: {len(left)} windows are being settled, or planned by somebody else")
        else:
            time.sleep(WAIT_SECONDS)


def plan_for(database: Database, plan_id: int, *, seconds: int, cache: FactsCache) -> bool:
    """Plans windows one after the other for some seconds; says whether there is more to plan."""
    ends_at = time.monotonic() + seconds
    for window_start in _left(database, plan_id):
        if time.monotonic() > ends_at:
            return True
        with suppress(Unavailable):
            plan_window(database, plan_id, window_start, cache=cache)
    return False


def _plan_each(database: Database, plan_id: int, windows: list[datetime], say: Callable[[], None]) -> int:
    """How many of these windows could be planned."""
    cache = FactsCache()
    moved = 0
    for window_start in windows:
        with suppress(Unavailable):
            if plan_window(database, plan_id, window_start, cache=cache):
                moved += 1
                say()
    return moved


def _say(progress: Callable[[int, int], None], planned: Iterator[int], total: int) -> None:
    progress(next(planned), total)


def _left(database: Database, plan_id: int) -> list[datetime]:
    with database.transaction() as connection:
        if recalculations.plan_of(connection, plan_id).status != "planning":
            return []
        return recalculation_windows.unplanned(connection, plan_id)


def _claim(connection: Connection, plan: Plan, window_start: datetime) -> bool:
    in_order = counts_months(connection, plan)
    return recalculation_windows.claim(connection, plan.plan_id, window_start, in_order=in_order)


def _compare(
    connection: Connection, reading: Connection, plan: Plan, window_start: datetime, *, cache: FactsCache
) -> tuple[WindowSums, int]:
    """The window's differences, and of how many fills."""
    facts = cache.of_window(reading, window_start, as_of=plan.facts_at)
    facts = with_reviews(connection, facts, plan_id=plan.plan_id)
    scope = scope_of(connection, plan.plan_id, window_start)
    cache.bases.read_window(reading, window_start)
    limited, aside = limited_in(facts, window_start), Aside()

    def revisions() -> Iterator[tuple[int, Revision]]:
        for batch in lines.all_fills(reading, window_start):
            others = batch
            if limited:
                waits = rows_of(limited, batch)
                others = batch.filter(pa.array(~waits))
                part = considered(batch.filter(pa.array(waits)), facts, stored=cache.bases, scope=scope)
                aside.add(part, columns=(*EXECUTED, "tag"))
            yield batch.num_rows, scope.of(revision_of(others, facts, stored=cache.bases).settled())
        for revision in aside.capped(reading, window_start, facts, plan_id=plan.plan_id):
            yield 0, revision

    sums, fills = WindowSums(), 0
    for rows, revision in ahead(revisions()):
        fills += rows
        sums.add(revision)
    return sums, fills


def _finish_if_planned(connection: Connection, plan_id: int) -> None:
    """The plan's row is locked first, so of two who plan its last windows at once, the second sees the first."""
    plan = recalculations.plan_of(connection, plan_id, lock=True)
    if recalculation_windows.unplanned(connection, plan_id) or review_again(connection, plan):
        return
    start, end = recalculation_windows.extent(connection, plan_id)
    recalculations.move(
        connection, plan_id, "planned", facts=fingerprint(connection, start=start, end=end, as_of=plan.facts_at)
    )
    totals = recalculation_report.totals(connection, plan_id)
    data = {
        "plan_id": plan_id,
        "range_start": plan.range_start.isoformat(),
        "range_end": plan.range_end.isoformat(),
        "reason": plan.reason,
        "planned_by": plan.planned_by,
        "windows": totals.windows_changed,
        "lines": totals.lines,
        "commission_usdt": f"{totals.commission_usdt:f}",
    }
    emit(connection, "recalculation.planned", subject=f"recalculation/{plan_id}", data=data)
