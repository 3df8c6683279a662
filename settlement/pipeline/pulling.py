"""What the tasks and the commands want of a harvest, each as a plan."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from settlement.pipeline import harvest_plan
from settlement.pipeline.harvest import PlanOf
from settlement.pipeline.harvest_plan import Key, Plan
from settlement.store import harvests
from settlement.store.database import Connection
from settlement.store.harvests import Standing

# Read again once a day: more than a day, so that no minute falls between two of them.
READ_AGAIN = timedelta(hours=26)


def scheduled(now: datetime) -> PlanOf:
    """What is new."""
    return lambda _, standings: harvest_plan.by_schedule(standings, now=now)


def last_day(now: datetime) -> PlanOf:
    """The last day, once more: what appeared late under an old time is found there.

    It ends on the hour, so that whoever takes over within the hour goes on with the same walks.
    """
    end = now.replace(minute=0, second=0, microsecond=0)
    return requested(end - READ_AGAIN, end, now=now)


def requested(start: datetime, end: datetime, *, now: datetime) -> PlanOf:
    """The range, whatever was read before."""
    return lambda _, standings: harvest_plan.on_request(standings, start=start, end=end, now=now)


def missing(start: datetime, end: datetime, *, venue: str, now: datetime) -> PlanOf:
    """What of the range was never read."""

    def plan(connection: Connection, standings: Mapping[Key, Standing]) -> Plan:
        accounts = sorted({account for account, _ in standings})
        gaps = harvests.uncovered(connection, venue=venue, accounts=accounts, start=start, end=end)
        return harvest_plan.to_fill_up(standings, gaps, end=end, now=now)

    return plan
