"""Settling, in the queue `settle`."""

from __future__ import annotations

from datetime import datetime

from settlement.pipeline import settle
from settlement.pipeline.facts_cache import FactsCache
from workers import clock
from workers.app import task
from workers.process import database

FACTS = FactsCache()


@task(name="settlement.settle_window")
def settle_window(window_start: str) -> settle.OpenedRun | None:
    """Opens a run of the window, after those of earlier ones; the relay then queues a task for each of its shards.

    Race: the sweep, the schedule and a person may ask for one window at once. A window has at most one open run (a
    unique index), and a run that would change nothing is never opened, so all but the first find nothing to do, and see
    that at a glance.
    """
    return settle.open_if_waiting(database(), datetime.fromisoformat(window_start), now=clock.now())


@task(name="settlement.settle_shard")
def settle_shard(run_id: int, root: str) -> bool:
    """Settles one root broker's part of a run.

    Race: delivered twice, both try for the root's advisory lock, and the second finds the shard settled. Killed at any
    point, its one transaction never happened. The shard that finishes last closes the run.
    """
    return settle.settle_shard(database(), run_id, root, now=clock.now(), cache=FACTS)
