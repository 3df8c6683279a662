"""One line of the exchange's table of contents: who answers a request, who may ask, and how often."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from settlement.venues.okx.sandbox.call import Answer, Call
from settlement.venues.okx.sandbox.exchange import Exchange
from settlement.venues.okx.sandbox.limits import Limit

Handler = Callable[[Exchange, Call], Awaitable[Answer]]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One line of the exchange's table of contents. `needs` is the key's permission, "" for public data."""

    method: str
    path: str
    handler: Handler
    limit: Limit | None = None
    needs: str = ""
    role: str = ""

    @property
    def name(self) -> str:
        """As statistics and fault scripts call it."""
        return f"{self.method} {self.path}"
