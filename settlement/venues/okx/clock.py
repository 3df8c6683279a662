"""OKX's clock as seen from here: requests more than 30 seconds off are refused (50102), so the difference is measured.

Measured before the first signed request to a host and whenever OKX refuses a timestamp, from `public/time`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from settlement.venues.okx.errors import OkxError

AskTime = Callable[[], Awaitable[datetime]]
"""Asks the host what time it is; raises OkxError."""


class VenueClock:
    """The clock of one host; all clients of the host share it."""

    def __init__(self) -> None:
        self.ahead: timedelta | None = None
        self._measuring = asyncio.Lock()

    async def now(self, ask: AskTime) -> datetime:
        """OKX's time; a host that does not tell its time is taken to have ours."""
        if self.ahead is None:
            async with self._measuring:
                if self.ahead is None:
                    try:
                        await self.measure(ask)
                    except OkxError:
                        self.ahead = timedelta()
        return datetime.now(UTC) + (self.ahead or timedelta())

    async def measure(self, ask: AskTime) -> timedelta:
        """Asks for the time and returns how far OKX's clock is ahead of ours; raises OkxError."""
        before = datetime.now(UTC)
        told = await ask()
        after = datetime.now(UTC)
        self.ahead = told - (before + (after - before) / 2)
        return self.ahead
