"""Pulling fills from the venue, in the queue `ingest`; what is due, in the queue `ops`."""

from __future__ import annotations

from settlement import runtime
from settlement.pipeline import pulling, sweep
from workers import clock
from workers.app import task
from workers.handover import hand_over
from workers.process import database


@task(name="settlement.pull_due")
def pull_due() -> int:
    """Hands over the accounts that are due, at :02 and :32; the sweep finds what is left.

    Race: none that matters. Accounts that somebody pulls already are left to him.
    """
    return sweep.pull_due(database(), now=clock.now(), hand_over=hand_over)


@task(name="settlement.read_again")
def read_again() -> int:
    """Hands over every account, to have its last day read again.

    Race: none that matters, as for pull_due.
    """
    return sweep.read_again(database(), hand_over=hand_over)


@task(name="settlement.pull_fills")
def pull_fills(chunk: int, chunks: int, again: bool = False) -> str | None:  # noqa: FBT001, FBT002 - a message's argument
    """Pulls what is new of one part of the accounts, or (`again`) reads their last day again.

    Race: delivered twice, the second finds no account due, or every account locked by the first, and leaves it alone. Killed at any point, each
    batch is stored with its cursors or not at all, and the next pull goes on from there.
    """
    now = clock.now()
    accounts = sweep.accounts_to_pull(database(), sweep.PullFills(chunk, chunks, again), now=now)
    if not accounts:
        return None
    plan = pulling.last_day(now) if again else pulling.scheduled(now)
    puller = runtime.puller(database(), now=now, loaded_by="settlement.pull_fills")
    return puller.pull(accounts, plan).summary()
