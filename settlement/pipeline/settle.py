"""Settling a window: one run, one shard per root broker, one transaction and one lock per shard.

    open_run      what is there to do?  -> run, its shards, the event window.due
    settle_shard  fills -> rules -> lines -> entries -> payouts -> outbox, all or nothing; the last one closes the run

Everything here may be called again, at the same moment, on another machine: a run that is open is joined, a shard that
is settled is left alone, and a window with nothing to change opens no run.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from settlement.errors import Refused
from settlement.pipeline.capping import recheck_later
from settlement.pipeline.facts_cache import FactsCache
from settlement.pipeline.gate import Gate, gate, lagging
from settlement.pipeline.plan import shards_of_window
from settlement.pipeline.recalculation_runs import close_if_applied, scope_of
from settlement.pipeline.seal import sum_of
from settlement.pipeline.shard import Shard
from settlement.store import lines, runs, windows
from settlement.store.database import Connection, Database
from settlement.store.facts import facts_version, load_facts
from settlement.store.lines import WINDOW
from settlement.store.outbox import emit
from settlement.store.verification import one_moment

SHARDS_AT_ONCE = 2


@dataclass(frozen=True, kw_only=True)
class OpenedRun:
    """A run with shards to settle; no roots: nothing was left and it is closed already."""

    run_id: int
    window_start: datetime
    roots: list[str]


def open_run(database: Database, window_start: datetime, *, now: datetime) -> OpenedRun | None:
    """Opens (or joins) the run that the window needs; None if the window needs none.

    Raises Refused for a window that is not a whole hour or has not ended.
    """
    _refuse_unfinished(window_start, now=now)
    with database.transaction() as connection:
        lines.ensure_line_partition(connection, window_start)
    with database.transaction() as connection:
        runs.lock_window(connection, window_start)
        latest = runs.latest_run(connection, window_start)
        if latest and not latest.closed:
            return OpenedRun(
                run_id=latest.run_id, window_start=window_start, roots=runs.roots_of(connection, latest.run_id)
            )
        # Before the facts are read: a load that comes between is then seen at the end as one that came later.
        planned_by = facts_version(connection)
        facts = load_facts(connection, start=window_start, end=window_start + WINDOW)
        keys = shards_of_window(connection, window_start, facts, first=latest is None)
        runs.mark_settling(connection, window_start)
        if keys.empty and latest is not None:
            return None
        run = runs.add_run(
            connection,
            window_start=window_start,
            revision=latest.revision + 1 if latest else 0,
            kind="supplementary" if latest else "scheduled",
            incomplete=latest is None and _incomplete(connection, window_start, now=now),
            facts_version=planned_by,
        )
        roots = runs.add_shards(connection, run.run_id, keys)
        if not roots:
            _close_if_settled(connection, run)
            return OpenedRun(run_id=run.run_id, window_start=window_start, roots=[])
        emit(
            connection,
            "window.due",
            subject=window_start.isoformat(),
            data={"run_id": run.run_id, "window_start": window_start.isoformat(), "roots": roots},
        )
        return OpenedRun(run_id=run.run_id, window_start=window_start, roots=roots)


def open_in_order(database: Database, window_start: datetime, *, now: datetime) -> OpenedRun | None:
    """Opens the run of every earlier window that was never settled, oldest first, then that of this one.

    Together with `settle_shard`, which settles a root's earlier shards first, this makes a backlog come out the same
    however many workers share it and whichever of them die: payouts are cut from a balance in the order of windows.
    """
    with database.transaction() as guard:
        runs.lock_opening(guard)
        for earlier in runs.never_settled(guard, before=window_start):
            open_run(database, earlier, now=now)
        return open_run(database, window_start, now=now)


def open_if_waiting(database: Database, window_start: datetime, *, now: datetime) -> OpenedRun | None:
    """As `open_in_order`, where the window still waits: reminders of a long backlog come many times over."""
    with database.transaction() as connection:
        if not windows.waits(connection, window_start):
            return None
    return open_in_order(database, window_start, now=now)


def settle_shard(database: Database, run_id: int, root: str, *, now: datetime, cache: FactsCache | None = None) -> bool:
    """Settles one root's part of a run, its parts of earlier windows first; False if it was settled already."""
    cache = cache or FactsCache()
    with database.transaction() as connection:
        earlier = runs.unsettled_before(connection, run_id, root)
    for earlier_run_id in earlier:
        _settle_shard(database, earlier_run_id, root, now=now, cache=cache)
    return _settle_shard(database, run_id, root, now=now, cache=cache)


def settle_window(
    database: Database, window_start: datetime, *, now: datetime, at_once: int = SHARDS_AT_ONCE
) -> OpenedRun | None:
    """Settles a window in this process, `at_once` shards at a time: what the tasks do, by the same code."""
    opened = open_run(database, window_start, now=now)
    if not opened or not opened.roots:
        return opened
    cache = FactsCache()
    with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="shard") as pool:
        waiting = [
            pool.submit(settle_shard, database, opened.run_id, root, now=now, cache=cache) for root in opened.roots
        ]
        for settled in waiting:
            settled.result()
    return opened


def _settle_shard(database: Database, run_id: int, root: str, *, now: datetime, cache: FactsCache) -> bool:
    with database.transaction() as connection, database.transaction() as reading:
        run = runs.run_of(connection, run_id)
        if not runs.claim_shard(connection, run, root):
            return False
        # Other shards of the run go on writing: of each line this one sees its basis too, or neither.
        one_moment(reading)
        facts = cache.of_window(reading, run.window_start, as_of=run.facts_at)
        scope = None if run.plan_id is None else scope_of(connection, run.plan_id, run.window_start)
        shard = Shard(connection, run=run, root=root, facts=facts, stored=cache.bases, scope=scope)
        shard.write(reading)
        shard.post(now=now)
        runs.finish_shard(
            connection, run_id, root, fills=shard.seal.fills, inputs=shard.seal.as_json(), outcomes=shard.outcomes()
        )
        closed = _close_if_settled(connection, run)
        # Windows are locked in their order, and the plan's row after them: nobody who closes a run waits in a circle.
        recheck_later(connection, run, root, facts)
        if closed and run.plan_id is not None:
            close_if_applied(connection, run.plan_id)
        return True


def _close_if_settled(connection: Connection, run: runs.Run) -> bool:
    if not runs.close_if_settled(connection, run.run_id):
        return False
    seal = sum_of(runs.inputs_of_window(connection, run.window_start)).as_json()
    # By facts that were loaded since the run was planned, a fill may belong to a root that had no shard.
    recheck = facts_version(connection) != run.facts_version
    runs.mark_settled(connection, run, seal=seal, recheck=recheck)
    data: dict[str, Any] = {
        "run_id": run.run_id,
        "window_start": run.window_start.isoformat(),
        "kind": run.kind,
        "fills": seal["fills"],
        **runs.totals_of_windows(connection, run.window_start, run.window_start),
    }
    emit(connection, "window.settled", subject=run.window_start.isoformat(), data=data)
    if run.incomplete:
        sources = lagging(run.window_start, watermarks=windows.watermarks(connection))
        emit(
            connection,
            "window.incomplete",
            subject=run.window_start.isoformat(),
            data={"window_start": run.window_start.isoformat(), "sources": sources},
        )
    return True


def _incomplete(connection: Connection, window_start: datetime, *, now: datetime) -> bool:
    return gate(window_start, watermarks=windows.watermarks(connection), now=now) is Gate.INCOMPLETE


def _refuse_unfinished(window_start: datetime, *, now: datetime) -> None:
    where = f"window {window_start.isoformat()}"
    if window_start.replace(minute=0, second=0, microsecond=0) != window_start:
        raise Refused("a window starts on the hour", where=where, mend="give a time such as 2026-09-14T06:00Z")
    if now < window_start + WINDOW:
        raise Refused("has not ended yet", where=where, mend=f"settle it after {(window_start + WINDOW).isoformat()}")
