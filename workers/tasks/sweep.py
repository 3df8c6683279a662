"""What is due by the clock, in the queue `ops`."""

from __future__ import annotations

from celery import Task

from settlement.pipeline import sweep
from workers import clock
from workers.app import task
from workers.handover import hand_over, room
from workers.process import database

RETRY_SECONDS = 60
RETRIES_UNTIL_DEADLINE = 60


@task(name="settlement.sweep", time_limit=5 * 60, soft_time_limit=4 * 60)
def sweep_windows() -> sweep.Swept | None:
    """Reminds of everything that is due and missing.

    Race: two sweeps remind of the same things, which is harmless: a task whose row no longer waits does nothing.
    """
    swept = sweep.sweep(database(), now=clock.now(), hand_over=hand_over, room=room())
    return swept if swept.anything else None


@task(name="settlement.settle_last_window", bind=True, max_retries=RETRIES_UNTIL_DEADLINE)
def settle_last_window(self: Task) -> None:
    """Settles the window that has just ended, as soon as it may close.

    Race: none that matters. It only hands over, as the sweep does, and the window's task claims the window.
    """
    if not sweep.settle_last(database(), now=clock.now(), hand_over=hand_over):
        raise self.retry(countdown=RETRY_SECONDS)
