"""The product's Celery application with tasks that misbehave, for `celery -A tests.workers.probe worker`.

Everything but the time limits and the visibility timeout is the product's own configuration; those are shortened so
that a test does not wait an hour for Redis to give up on a dead worker. The limits stay above the five seconds in which a
worker notices the death of a process at the latest.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from settlement.errors import Refused, Unavailable
from workers.app import app, task
from workers.process import redis

app.conf.task_annotations = {"*": {"time_limit": 8, "soft_time_limit": 6}}
app.conf.broker_transport_options = {
    **app.conf.broker_transport_options,
    "visibility_timeout": int(os.environ.get("PROBE_VISIBILITY_TIMEOUT", "9")),
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}
app.conf.task_routes = {**app.conf.task_routes, "probe.*": {"queue": "settle"}}

QUICK: dict[str, Any] = {"default_retry_delay": 0, "max_retries": 2}


@task(name="probe.kill_own_process", **QUICK)
def kill_own_process(name: str, times: int) -> None:
    if redis().incr(f"{name}:runs") <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    redis().incr(f"{name}:done")


@task(name="probe.sleep_once")
def sleep_once(name: str) -> None:
    if redis().incr(f"{name}:runs") == 1:
        time.sleep(5)
    redis().incr(f"{name}:done")


@task(name="probe.overrun")
def overrun(name: str) -> None:
    redis().incr(f"{name}:runs")
    time.sleep(60)


@task(name="probe.fail", **QUICK)
def fail(name: str, times: int, kind: str) -> None:
    if redis().incr(f"{name}:runs") <= times:
        raise Unavailable("the venue does not answer") if kind == "passing" else Refused("it is not allowed")
    redis().incr(f"{name}:done")
