"""What the runs that post a recalculation ask of their plan: which lines it is about, and whether it is done."""

from __future__ import annotations

from datetime import datetime

from settlement.pipeline.revision import Scope
from settlement.store import recalculations
from settlement.store.database import Connection
from settlement.store.facts import terms_versions
from settlement.store.outbox import emit
from settlement.store.recalculations import Plan


def scope_of(connection: Connection, plan_id: int, window_start: datetime) -> Scope:
    """Which lines of a window a plan is about."""
    plan = recalculations.plan_of(connection, plan_id)
    return Scope(
        brokers=recalculations.scope_brokers(connection, plan),
        roots=recalculations.window_roots(connection, plan_id, window_start),
    )


def counts_months(connection: Connection, plan: Plan) -> bool:
    """Whether a monthly cap makes a window of the plan depend on those before it in the month."""
    return any(version.cap for version in terms_versions(connection, as_of=plan.facts_at))


def close_if_applied(connection: Connection, plan_id: int) -> None:
    """The plan is applied once its last run is closed; its row is locked, so of two that close at once one is last."""
    plan = recalculations.plan_of(connection, plan_id, lock=True)
    if recalculations.has_open_runs(connection, plan_id):
        return
    recalculations.move(connection, plan_id, "applied", applied_at=recalculations.clock(connection))
    recalculations.forget_workings(connection, plan_id)
    data = {"plan_id": plan_id, "range_start": plan.range_start.isoformat(), "range_end": plan.range_end.isoformat()}
    emit(
        connection,
        "recalculation.applied",
        subject=f"recalculation/{plan_id}",
        data={**data, "applied_by": plan.applied_by},
    )
