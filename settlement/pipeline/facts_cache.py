"""The facts that a process is at work with, for as long as no others are loaded."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Lock

from settlement.rules.facts import Facts
from settlement.store.bases import StoredBases
from settlement.store.database import Connection
from settlement.store.facts import facts_version, load_facts
from settlement.store.lines import WINDOW

CACHED_MAX = 4
DAY = timedelta(days=1)


class FactsCache:
    """Facts of the windows, and bases of the lines, that a process has read already."""

    def __init__(self) -> None:
        self.bases = StoredBases()
        self._facts: dict[tuple[datetime, datetime | int], Facts] = {}
        self._reading = Lock()

    def of_window(self, connection: Connection, window_start: datetime, *, as_of: datetime | None = None) -> Facts:
        """The facts of a window as they stand; call it under the shard's lock, which keeps loads out.

        With `as_of`, those that were known then: they are read for a whole day of windows at once.
        """
        if as_of is None:
            return self._cached(connection, start=window_start, end=window_start + WINDOW)
        day = window_start.replace(hour=0)
        return self._cached(connection, start=day, end=day + DAY, as_of=as_of)

    def _cached(
        self, connection: Connection, *, start: datetime, end: datetime, as_of: datetime | None = None
    ) -> Facts:
        with self._reading:
            key = (start, as_of or facts_version(connection))
            if key not in self._facts:
                while len(self._facts) >= CACHED_MAX:
                    del self._facts[next(iter(self._facts))]
                self._facts[key] = load_facts(connection, start=start, end=end, as_of=as_of)
            return self._facts[key]
