"""Times on the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import typer

HOUR = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_MILLISECOND_DIGITS = (12, 13, 14)


def parse_time(text: str, *, option: str) -> datetime:
    """RFC 3339 with a zone (a date alone is midnight UTC) or epoch milliseconds; anything else is wrong usage."""
    if text.strip().isdecimal() and len(text.strip()) in EPOCH_MILLISECOND_DIGITS:
        return EPOCH + timedelta(milliseconds=int(text))
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"{option}: {text!r} is not a time; write it like 2026-09-14T06:00:00Z") from None
    if moment.tzinfo is None and len(text.strip()) > len("2026-09-14"):
        raise typer.BadParameter(f"{option}: {text!r} has no zone; write it like 2026-09-14T06:00:00Z")
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def parse_hours(start: str, end: str) -> list[datetime]:
    """The starts of the hour windows in [start, end), both on the hour."""
    first, last = parse_time(start, option="--from"), parse_time(end, option="--to")
    for option, moment in (("--from", first), ("--to", last)):
        if moment != moment.replace(minute=0, second=0, microsecond=0):
            raise typer.BadParameter(f"{option}: {moment.isoformat()} is not on the hour; windows start on the hour")
    if last <= first:
        raise typer.BadParameter(f"--to {last.isoformat()} is not after --from {first.isoformat()}")
    return [first + HOUR * number for number in range(int((last - first) / HOUR))]
