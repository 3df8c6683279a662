"""When something is recorded: by the database's clock, and never before what was recorded already.

1. Whoever records lines or entries holds the recording lock, shared, from before the time is taken until its transaction
   has ended.
2. `quiet_moment` waits for all of them. What was recorded until that moment is committed, and whatever comes later is
   recorded later: a report as of it can be made again, digit for digit.
3. Should the clock be set back, or another machine with a slower one take over, nothing is recorded as of a time for
   which a statement was issued.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, text

# Any fixed number; recording_time() in SQL takes the same lock, shared.
RECORDING_LOCK = 3_902_447_185


def begin(connection: Connection) -> datetime:
    """The time, once nobody is waiting for a quiet moment; none can come until the transaction ends."""
    return _clock(connection)


def quiet_moment(connection: Connection) -> datetime:
    """A moment at which nobody is recording; held until the transaction ends, so end it soon."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": RECORDING_LOCK})
    return _clock(connection)


def _clock(connection: Connection) -> datetime:
    moment: datetime = connection.execute(text("SELECT recording_time()")).scalar_one()
    return moment
