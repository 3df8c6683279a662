"""The rate limits that the documents name, counted over a sliding time: what is over is refused and counted."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from settlement.venues.okx.sandbox.codes import Refusal


@dataclass(frozen=True)
class Limit:
    """`count` requests in `seconds`; `by` is a user, an IP, or one of them with a parameter ("ip+instType")."""

    count: int
    seconds: float
    by: str = "user"
    code: str = "50011"


class RateLimits:
    """Every request that was let through in the longest time of its limit, by what the limit counts."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._passed: dict[tuple[str, str], deque[float]] = {}
        self.over: Counter[str] = Counter()

    def count(self, endpoint: str, who: str, limit: Limit) -> None:
        """Lets the request through, or refuses it: 50011 alternates between HTTP 429 and 200, as at OKX."""
        now = self._clock()
        passed = self._passed.setdefault((endpoint, who), deque(maxlen=limit.count))
        if len(passed) == limit.count and now - passed[0] < limit.seconds:
            self.over[endpoint] += 1
            under_200 = limit.code == "50011" and self.over.total() % 2 == 0
            raise Refusal(limit.code, status=200 if under_200 else None)
        passed.append(now)
