"""Recalculating settled windows: asked for, planned, approved by a second person, posted.

    request     a plan, and a row for each window that is to be planned (recalculation_plan.py)
    approve     by somebody other than who asked for it
    open_runs   if nothing changed since it was planned: a run for each window that changes, all in one transaction
    apply       settles those runs as any others are settled: in shards, resumable, each at most once

What is posted are the differences, dated to their windows. Tiers stay as they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import count
from typing import Any
from uuid import uuid4

from settlement.errors import Refused
from settlement.pipeline.facts_cache import FactsCache
from settlement.pipeline.recalculation_reviews import follow, includes_reviews, record_reviews
from settlement.pipeline.recalculation_runs import close_if_applied, counts_months
from settlement.pipeline.settle import settle_shard
from settlement.store import loads, recalculation_windows, recalculations, recording
from settlement.store.database import Connection, Database
from settlement.store.facts import facts_version
from settlement.store.fingerprint import changed_since, fingerprint
from settlement.store.outbox import emit
from settlement.store.recalculations import Plan

SHARDS_AT_ONCE = 2
WINDOWS_NAMED = 3


def request(  # noqa: PLR0913 - what is recalculated, and who says so and why
    database: Database,
    *,
    start: datetime,
    end: datetime,
    broker: str | None,
    reason: str,
    by: str,
    re_review: bool = False,
    request_key: str | None = None,
) -> int:
    """A new plan for the windows of `[start, end)`, to be planned window by window; its id.

    Under a `request_key` that was used before it is the plan of then, whatever else is asked for now.
    Raises Refused if a window of the range is not settled, none is there, the broker is unknown, or no reason is given.
    """
    if not reason.strip():
        raise Refused("a recalculation needs a reason", mend='say why: --reason "..."')
    with database.transaction() as connection:
        loads.keep_out(connection)
        if broker is not None and not recalculations.is_known_broker(connection, broker):
            raise Refused(f"no broker {broker!r} is registered", mend="see brokers.csv of the registry that was loaded")
        if broker is not None and re_review and not recalculations.was_root(connection, broker):
            raise Refused(
                f"{broker!r} has a parent, and a tier is the root's",
                mend="recalculate the tree of its root, or leave out --re-review",
            )
        windows = _settled_windows(connection, start=start, end=end)
        values = {
            "range_start": start,
            "range_end": end,
            "broker_id": broker,
            "reason": reason,
            "re_review": re_review,
            "planned_by": by,
            "request_key": request_key or str(uuid4()),
            "facts_at": recording.quiet_moment(connection),
        }
        return recalculations.add_plan(connection, values=values, windows=windows)


def unplanned(database: Database, plan_id: int) -> list[datetime]:
    """The windows of a plan that are still to be planned, the oldest first."""
    with database.transaction() as connection:
        return recalculation_windows.unplanned(connection, plan_id)


def approve(database: Database, plan_id: int, *, by: str) -> Plan:
    """Approves a plan. Raises Refused for one that is not planned, and for who planned it; approved again: no change."""
    with database.transaction() as connection:
        plan = recalculations.plan_of(connection, plan_id, lock=True)
        if plan.status != "approved":
            _refuse_unless(plan, ("planned",), "approved")
            if by == plan.planned_by:
                raise Refused(
                    f"{by} planned it and cannot approve it",
                    where=f"plan {plan_id}",
                    mend="somebody else approves: --by NAME",
                )
            now = recalculations.clock(connection)
            recalculations.move(connection, plan_id, "approved", approved_by=by, approved_at=now)
        return recalculations.plan_of(connection, plan_id)


def cancel(database: Database, plan_id: int, *, by: str) -> Plan:
    """Gives a plan up. Raises Refused once it is being applied; cancelled again: no change."""
    with database.transaction() as connection:
        plan = recalculations.plan_of(connection, plan_id, lock=True)
        if plan.status != "cancelled":
            _refuse_unless(plan, ("planning", "planned", "approved"), "cancelled")
            now = recalculations.clock(connection)
            recalculations.move(connection, plan_id, "cancelled", cancelled_by=by, cancelled_at=now)
            recalculations.forget_workings(connection, plan_id)
        return recalculations.plan_of(connection, plan_id)


def open_runs(database: Database, plan_id: int, *, by: str) -> list[tuple[int, str]]:
    """Opens the runs of an approved plan, all or none; returns the (run_id, root) that are still to be settled.

    Called again, it opens nothing and returns what is left. Raises Refused for a plan that is not approved, and for one
    of which any input changed since it was planned: a fact, a late fill, another run.
    """
    with database.transaction() as connection:
        # Reviews are facts too: if the plan corrects any, no shard may be reading them.
        corrects_reviews = includes_reviews(connection, plan_id)
        (loads.lock_facts if corrects_reviews else loads.keep_out)(connection)
        plan = recalculations.plan_of(connection, plan_id, lock=True)
        if plan.status not in ("applying", "applied"):
            _refuse_unless(plan, ("approved",), "applied")
            recalculation_windows.lock_windows(connection, plan_id, others=corrects_reviews)
            _refuse_changed(connection, plan)
            record_reviews(connection, plan, by=by)
            follow(connection, plan)
            now = recalculations.clock(connection)
            recalculations.move(connection, plan_id, "applying", applied_by=by, applying_at=now)
            _open(connection, plan_id)
        return recalculations.unsettled_shards(connection, plan_id)


def apply(
    database: Database,
    plan_id: int,
    *,
    by: str,
    now: Callable[[], datetime],
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Plan:
    """Posts an approved plan in this process, a root at a time in each of a few threads; goes on where it was left.

    `progress` is told how many shards of how many are done. Raises Refused as `open_runs` does.
    """
    shards = open_runs(database, plan_id, by=by)
    of_root: dict[str, list[int]] = defaultdict(list)
    for run_id, root in shards:
        of_root[root].append(run_id)
    settled_shards = count(1)

    def settle_root(root: str) -> None:
        cache = FactsCache()
        for run_id in of_root[root]:
            settle_shard(database, run_id, root, now=now(), cache=cache)
            progress(next(settled_shards), len(shards))

    with ThreadPoolExecutor(max_workers=SHARDS_AT_ONCE, thread_name_prefix="shard") as pool:
        for settled in [pool.submit(settle_root, root) for root in sorted(of_root)]:
            settled.result()
    with database.transaction() as connection:
        return recalculations.plan_of(connection, plan_id)


def _settled_windows(connection: Connection, *, start: datetime, end: datetime) -> list[datetime]:
    where = f"{start.isoformat()} to {end.isoformat()}"
    unsettled = recalculations.unsettled(connection, start=start, end=end)
    if unsettled:
        (first, status), others = unsettled[0], len(unsettled) - 1
        more = f", and {others} others are not settled" if others else ""
        raise Refused(
            f"window {first.isoformat()} is {status}{more}",
            where=where,
            mend="recalculate settled windows only: settle them first, or give a range that ends before",
        )
    windows = recalculations.windows_between(connection, start=start, end=end)
    if not windows:
        raise Refused("no window was settled in this range", where=where, mend="see: settlement export windows")
    return windows


def _refuse_unless(plan: Plan, statuses: tuple[str, ...], act: str) -> None:
    if plan.status in statuses:
        return
    mends = {
        "planning": "wait until it is planned: settlement recalc show",
        "planned": "it has to be approved first: settlement recalc approve",
        "cancelled": "plan it anew: settlement recalc plan",
        "applied": "to change the windows once more, plan it anew: settlement recalc plan",
    }
    raise Refused(
        f"it is {plan.status} and cannot be {act}", where=f"plan {plan.plan_id}", mend=mends.get(plan.status, "")
    )


def changed_inputs(connection: Connection, plan: Plan) -> list[str]:
    """What a plan that waits was planned from and is not so any more, in words; empty if it can be applied."""
    if plan.status not in ("planned", "approved"):
        return []
    start, end = recalculation_windows.extent(connection, plan.plan_id)
    now = fingerprint(connection, start=start, end=end, as_of=recalculations.clock(connection))
    facts = changed_since(connection, plan.facts, now)
    windows = [_stale_in_words(stale) for stale in recalculation_windows.stale(connection, plan.plan_id)]
    if counts_months(connection, plan):
        earlier = recalculation_windows.moved_before(connection, plan.plan_id)
        windows += [f"window {start.isoformat()}, earlier in the month, was settled again" for start in earlier]
    more = [f"and {len(windows) - WINDOWS_NAMED} more windows"] if len(windows) > WINDOWS_NAMED else []
    return [*(f"{changed.table} (by {changed.source})" for changed in facts), *windows[:WINDOWS_NAMED], *more]


def _refuse_changed(connection: Connection, plan: Plan) -> None:
    found = changed_inputs(connection, plan)
    if found:
        raise Refused(
            f"what it was planned from has changed since: {', '.join(found)}",
            where=f"plan {plan.plan_id}",
            mend="cancel it and plan it anew, so that what is approved is what is posted",
        )


def _stale_in_words(stale: recalculation_windows.Stale) -> str:
    late = stale.fills_now - stale.fills_then
    what = f"has {late} more fills" if late else "was settled again"
    return f"window {stale.window_start.isoformat()} {what}"


def _open(connection: Connection, plan_id: int) -> None:
    opened = recalculation_windows.open_runs(connection, plan_id, facts_version=facts_version(connection))
    for run in opened:
        data: dict[str, Any] = {**run, "window_start": run["window_start"].isoformat()}
        emit(connection, "window.due", subject=data["window_start"], data=data)
    close_if_applied(connection, plan_id)
