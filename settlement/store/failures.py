"""Which failures of PostgreSQL pass by themselves."""

from __future__ import annotations

import psycopg
from sqlalchemy import exc

# Serialization failure, deadlock, lock not available. Everything else of an operational kind (server gone, starting,
# out of connections, statement cancelled) is an OperationalError of the driver.
PASSING_STATES = frozenset({"40001", "40P01", "55P03"})


def passes_by_itself(error: BaseException) -> bool:
    """Whether the same transaction, run again later, may succeed.

    Understands errors of SQLAlchemy and, where COPY works on the driver's own cursor, of psycopg.
    """
    if isinstance(error, exc.TimeoutError):  # no connection of the pool became free
        return True
    if isinstance(error, exc.DBAPIError):
        if error.connection_invalidated:
            return True
        error = error.orig or error
    return isinstance(error, psycopg.OperationalError) or getattr(error, "sqlstate", None) in PASSING_STATES
