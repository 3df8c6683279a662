"""The Celery application. `celery -A workers.app worker -Q settle` runs a worker, `celery -A workers.app beat` the clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from celery import Celery
from celery.signals import worker_init

from settlement import runtime
from settlement.errors import Refused
from workers import logs  # noqa: F401 - decides how every worker logs
from workers.base import SettlementTask
from workers.queues import QUEUES, ROUTES
from workers.schedule import SCHEDULE

P = ParamSpec("P")
R = TypeVar("R")

TASK_MODULES = (
    "workers.tasks.ingest",
    "workers.tasks.pull",
    "workers.tasks.snapshot",
    "workers.tasks.settle",
    "workers.tasks.payouts",
    "workers.tasks.recalculate",
    "workers.tasks.reviews",
    "workers.tasks.what_if",
    "workers.tasks.relay",
    "workers.tasks.sweep",
    "workers.tasks.audit",
)

# Hard: the child is killed. Soft: the task gets an exception five minutes before, and its transaction rolls back.
HARD_LIMIT_SECONDS = 30 * 60
SOFT_LIMIT_SECONDS = 25 * 60
VISIBILITY_TIMEOUT_SECONDS = 60 * 60


def configuration() -> dict[str, Any]:
    """The whole configuration, read when it is first needed (importing this module reaches no server)."""
    return {
        "broker_url": runtime.broker_url(),
        # A Redis that is still starting is waited for; one that stays away does not end the worker.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            # Redis gives a message that was not acknowledged in this time to another worker, so a task that ran longer
            # would run again while it still runs: it has to be above the hard limit. refuse_unsafe() holds it.
            "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
            # The shortest timeout of all applications that share these keys wins; so share them with none.
            "unacked_key": "settlement.unacked",
            "unacked_index_key": "settlement.unacked_index",
            "unacked_mutex_key": "settlement.unacked_mutex",
        },
        # A message is acknowledged when its task is done, not when it starts: a dead worker's task runs again.
        "task_acks_late": True,
        # Celery acknowledges the message of a killed child all the same, unless told not to.
        "task_reject_on_worker_lost": True,
        # The cap on that: a lost task is sent again as a retry, and SettlementTask.max_retries ends the loop of a task
        # that kills its worker every time. It fails then, with an alert; the sweep reminds of its row again.
        "task_retry_on_worker_lost": True,
        # A task that failed or ran out of time is not sent round again at once either; the sweep does that.
        "task_acks_on_failure": True,
        "task_acks_on_timeout": True,
        "task_time_limit": HARD_LIMIT_SECONDS,
        "task_soft_time_limit": SOFT_LIMIT_SECONDS,
        # A connection loss does not stop what runs: its commit counts, not its acknowledgement.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # A worker takes a message only when a process is free for it: the others stay for the other machines.
        "worker_prefetch_multiplier": 1,
        # Processes are replaced now and then: foreign-key plans are cached per connection, and memory is given back.
        "worker_max_tasks_per_child": 500,
        # No result is kept or waited for: what a task did stands in PostgreSQL.
        "task_ignore_result": True,
        "result_backend": None,
        # JSON only: a message can carry ids, never code.
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        # A queue or a task that is not in the table is a mistake, not a new queue.
        "task_queues": {name: {"exchange": name} for name in QUEUES},
        "task_default_queue": "ops",
        "task_create_missing_queues": False,
        "task_routes": ROUTES,
        # Publishing gives up within two seconds; the events stay in the outbox and the next relay tries again.
        "task_publish_retry_policy": {"max_retries": 3, "interval_start": 0, "interval_step": 0.3, "interval_max": 0.6},
        "enable_utc": True,
        "timezone": "UTC",
        "beat_schedule": SCHEDULE,
        # Beat needs no memory of when it ran last, and leaves no file: the sweep finds what was missed.
        "beat_scheduler": "celery.beat:Scheduler",
        # The handlers of settlement/logging.py write to standard error themselves.
        "worker_redirect_stdouts": False,
    }


def longest_hard_limit(celery: Celery) -> float:
    """The longest time, in seconds, that any task may run."""
    default = celery.conf.task_time_limit
    limits = [getattr(task, "time_limit", None) or default for task in celery.tasks.values()]
    return float("inf") if None in limits else float(max(limits))


def refuse_unsafe(celery: Celery) -> None:
    """Raises Refused if Redis would give a running task to a second worker."""
    timeout = celery.conf.broker_transport_options.get("visibility_timeout", 0)
    longest = longest_hard_limit(celery)
    if timeout <= longest:
        raise Refused(
            f"visibility_timeout is {timeout} s, and a task may run for {longest:.0f} s",
            where="workers/app.py",
            mend="make visibility_timeout longer than the longest hard time limit",
        )


def task(*, name: str, **options: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Registers a function as the task `name`; no task goes without a name, so that moving a function breaks no message."""

    def register(function: Callable[P, R]) -> Callable[P, R]:
        registered: Callable[P, R] = app.task(name=name, shared=False, **options)(function)
        return registered

    return register


def _refuse_to_start(**_: Any) -> None:
    # Celery logs the exceptions of signal handlers and goes on; only SystemExit stops the worker.
    try:
        refuse_unsafe(app)
    except Refused as refusal:
        raise SystemExit(f"settlement: {refusal}") from None


app = Celery("settlement", task_cls=SettlementTask, include=list(TASK_MODULES))
app.add_defaults(configuration)
worker_init.connect(_refuse_to_start)
