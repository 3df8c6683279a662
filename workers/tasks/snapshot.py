"""What settlement needs from a venue beside fills, in the queue `ops`. Without an account there is nobody to ask.

Race, for each: two at once load the same values, and the second finds them standing. Killed, nothing of a load is stored.
"""

from __future__ import annotations

from settlement import runtime
from settlement.store import harvests
from settlement.venues.okx.observing import Observer
from settlement.venues.okx.parse import VENUE
from workers import clock
from workers.app import task
from workers.process import database


@task(name="settlement.snapshot_prices")
def snapshot_prices() -> str | None:
    """What the currencies in use are worth now, and were worth where a price is missing."""
    observer = _observer()
    return f"{observer.prices().line()}; missing: {observer.missing_prices().line()}" if observer else None


@task(name="settlement.snapshot_instruments")
def snapshot_instruments() -> str | None:
    """What can be traded, and the contract values."""
    observer = _observer()
    return observer.instruments().line() if observer else None


@task(name="settlement.snapshot_levels")
def snapshot_levels() -> str | None:
    """The accounts' levels and scheduled fee rates."""
    observer = _observer()
    return observer.levels().line() if observer else None


@task(name="settlement.snapshot_eligibility")
def snapshot_eligibility() -> str | None:
    """Whether the venue pays the broker a rebate on the accounts."""
    observer = _observer()
    return observer.eligibility().line() if observer else None


def _observer() -> Observer | None:
    with database().transaction() as connection:
        if harvests.number_of_accounts(connection, venue=VENUE) == 0:
            return None
    return runtime.observer(database(), now=clock.now(), loaded_by="settlement.snapshot")
