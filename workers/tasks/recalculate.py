"""Recalculations that an administrator asks for: planned in the queue `settle`, a slice at a time; the rest in `ops`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from celery import Task

from settlement.pipeline import recalculate, recalculation_plan
from settlement.pipeline.facts_cache import FactsCache
from settlement.pipeline.sweep import PlanRecalculation
from workers.app import task
from workers.handover import hand_over
from workers.process import database

FACTS = FactsCache()
PLANNERS = 2
# Then other work of the queue gets its turn: windows are settled while a year is being planned.
SLICE_SECONDS = 20


@task(name="settlement.request_recalculation", bind=True)
def request_recalculation(  # noqa: PLR0913, PLR0917 - a message's arguments
    self: Task,
    start: str,
    end: str,
    broker: str | None,
    reason: str,
    by: str,
    re_review: bool = False,  # noqa: FBT001, FBT002
) -> int:
    """Asks for a plan and has it planned; the answer is the event recalculation.planned.

    Race: delivered twice, it carries the same task id, under which there is one plan only.
    """
    asked: dict[str, Any] = {"start": datetime.fromisoformat(start), "end": datetime.fromisoformat(end)}
    asked |= {"broker": broker, "reason": reason, "by": by, "re_review": re_review}
    plan_id = recalculate.request(database(), **asked, request_key=self.request.id)
    for _ in range(PLANNERS):
        hand_over(PlanRecalculation(plan_id))
    return plan_id


@task(name="settlement.plan_recalculation")
def plan_recalculation(plan_id: int) -> None:
    """Plans windows of a plan for a while, then hands over what is left.

    Race: any number of these share a plan; a window is claimed by one of them. Killed, it leaves whole windows planned.
    """
    if recalculation_plan.plan_for(database(), plan_id, seconds=SLICE_SECONDS, cache=FACTS):
        hand_over(PlanRecalculation(plan_id))


@task(name="settlement.approve_recalculation")
def approve_recalculation(plan_id: int, by: str) -> str:
    """Approves a plan.

    Race: the plan's row is locked; approved twice, the first one counts.
    """
    return recalculate.approve(database(), plan_id, by=by).status


@task(name="settlement.apply_recalculation")
def apply_recalculation(plan_id: int, by: str) -> int:
    """Opens the runs of an approved plan; the relay then queues a task for each of their shards.

    Race: the plan's row is locked; the second finds the runs open.
    """
    return len(recalculate.open_runs(database(), plan_id, by=by))


@task(name="settlement.cancel_recalculation")
def cancel_recalculation(plan_id: int, by: str) -> str:
    """Gives a plan up.

    Race: the plan's row is locked; against an apply at the same moment, the first one counts.
    """
    return recalculate.cancel(database(), plan_id, by=by).status
