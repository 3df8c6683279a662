"""Values as reports write them: decimals without exponents or trailing zeros, times as RFC 3339 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any


def amount(value: Decimal) -> str:
    """1.500 is "1.5", 1E+3 is "1000"."""
    written = format(value, "f")
    return written.rstrip("0").rstrip(".") if "." in written else written


def instant(value: datetime) -> str:
    """2026-03-02T06:00:00Z, with a fraction only where there is one."""
    moment = value.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat().rstrip("0" if moment.microsecond else "") + "Z"


def plain(value: Any) -> Any:
    """A document whose decimals and times are text; everything else as it is."""
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, Decimal):
        return amount(value)
    return instant(value) if isinstance(value, datetime) else value


def words(value: Any) -> str:
    """One value in a sentence."""
    return str(plain(value))
