"""From what is due to the task that does it: the two routing tables. Ids are all that a message carries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schemas.wire.events import CloudEvent
from settlement.pipeline.sweep import (
    PlanRecalculation,
    PullFills,
    RelayEvents,
    ReviewTiers,
    SettleShard,
    SettleWindow,
    SimulateTerms,
    Step,
)
from workers.app import app
from workers.process import redis
from workers.queues import SETTLE_QUEUE_LIMIT, SWEEP_SECONDS


def act_on(event: CloudEvent) -> None:
    """Queues the work that an event asks for; most events are news only."""
    act = EVENT_TASKS.get(event.type)
    if act is not None:
        act(event.data)


def hand_over(step: Step) -> None:
    """Queues one step that the sweep found due."""
    match step:
        case SettleWindow(window_start):
            app.send_task("settlement.settle_window", [window_start.isoformat()])
        case SettleShard(run_id, root):
            app.send_task("settlement.settle_shard", [run_id, root])
        case RelayEvents():
            app.send_task("settlement.relay")
        case PlanRecalculation(plan_id):
            app.send_task("settlement.plan_recalculation", [plan_id])
        case SimulateTerms(what_if_id):
            app.send_task("settlement.simulate_terms", [what_if_id])
        case ReviewTiers(month):
            app.send_task("settlement.review_tiers", [month.strftime("%Y-%m")])
        case PullFills(chunk, chunks, again=True):
            app.send_task("settlement.pull_fills", [chunk, chunks, True])
        case PullFills(chunk, chunks):
            # The next sweep reminds again; a reminder that waited for so long would only come twice.
            app.send_task("settlement.pull_fills", [chunk, chunks], expires=SWEEP_SECONDS)


def room() -> int:
    """How many more reminders the settle queue takes."""
    return SETTLE_QUEUE_LIMIT - redis().llen("settle")


def _settle_each_shard(data: Mapping[str, Any]) -> None:
    for root in data["roots"]:
        app.send_task("settlement.settle_shard", [data["run_id"], root])


EVENT_TASKS: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "window.due": _settle_each_shard,
}
