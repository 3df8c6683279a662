"""A rebate file that a broker ordered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Ordered:
    """A file that was ordered: the days from `begin` to `end`, both in it."""

    begin: datetime
    end: datetime
    at_ms: int
