"""Reviews of tiers, in the queue `ops`."""

from __future__ import annotations

from datetime import datetime

from settlement.pipeline import review
from workers import clock
from workers.app import task
from workers.process import database

BY = "settlement.review_tiers"


@task(name="settlement.review_tiers")
def review_tiers(month: str | None = None) -> int | None:
    """Reviews the tiers of a month such as "2026-10", or of the one that is due, and says how many reviews were made.

    Race: two at once wait for each other on the lock of loads, and the second finds every review standing. A month that is
    not settled yet is left alone: the sweep reminds of it each minute until it is done.
    """
    asked = datetime.fromisoformat(f"{month}-01T00:00:00Z") if month else None
    reviewed = review.review_due(database(), month=asked, by=BY, now=clock.now())
    return reviewed.made if reviewed else None
