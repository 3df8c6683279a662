"""The relay, in the queue `ops`."""

from __future__ import annotations

from settlement.pipeline import relay
from workers import clock
from workers.app import task
from workers.handover import act_on
from workers.process import database, redis


@task(name="settlement.relay", time_limit=5 * 60, soft_time_limit=4 * 60)
def relay_events() -> int:
    """Hands committed events on.

    Race: two relays lock different events (SKIP LOCKED). Killed between handing on and commit, the same events go out
    again with the same ids, and the tasks they start find their work done.
    """
    return relay.relay(database(), stream=redis(), act=act_on, now=clock.now())
