"""The product's Celery application, whose minutes last five seconds; and which can be told to die at a certain task.

What waits a minute for the next sweep, or for the grace to be over, waits five seconds here: hours pass at speed. All else
is the product's own. Whoever wants a process to be killed in the middle of a certain task writes that into Redis (`DOOMED`):
the next process that begins such a task is killed a moment later.
"""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from threading import Timer
from typing import Any

from celery.schedules import schedule
from celery.signals import task_prerun

from settlement.pipeline import sweep
from tests.torture.stage import DOOMED
from workers.app import app
from workers.process import redis

MINUTE_SECONDS = 5

sweep.SHARD_GRACE = sweep.PLAN_GRACE = sweep.EVENT_GRACE = timedelta(seconds=MINUTE_SECONDS)
SWEEP = {
    "task": "settlement.sweep",
    "schedule": schedule(run_every=float(MINUTE_SECONDS)),
    "options": {"expires": MINUTE_SECONDS},
}
app.conf.beat_schedule = {**app.conf.beat_schedule, "sweep": SWEEP}


@task_prerun.connect
def die_if_doomed(task: Any, **_: Any) -> None:
    seconds = redis().getdel(DOOMED.format(task=task.name))
    if seconds is not None:
        Timer(float(seconds), os.kill, [os.getpid(), signal.SIGKILL]).start()
