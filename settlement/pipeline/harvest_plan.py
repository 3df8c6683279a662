"""Which stretches of record time a harvest reads, per account and instrument type.

1. By schedule: from OVERLAP before what is complete up to now. A walk that was begun is finished first. Two pulls an hour with
   this overlap read every record at least twice, so what appeared late, or only on a second reading, is found. What is
   longer than the overlap, at first or after an outage, is read twice at once.
2. On request: exactly the range, whatever was read before. Records made after its end are read for LATE more, because a
   fill is recorded after it is executed; executions after the end are left out.
3. To fill up: what of the range was never read, cut by the day, so that each day that is done stays done.

What is read now is taken for complete only up to SETTLING ago: a record may become visible a moment after its own time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from settlement.store.harvests import Standing, Walk

OVERLAP = timedelta(minutes=40)
LATE = timedelta(hours=1)
SETTLING = timedelta(seconds=60)
CHUNK = timedelta(days=1)

Key = tuple[str, str]
"""(account, instrument type)."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """One walk to make, and what is covered once it is over (None: nothing yet)."""

    walk: Walk
    covered: tuple[datetime, datetime] | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The stretches of each account and type, in the order to be read.

    `executed_before` leaves out later executions; `known_keys_expected` says that much of it was read before.
    """

    stretches: Mapping[Key, Sequence[Stretch]]
    executed_before: datetime | None = None
    known_keys_expected: bool = False


def by_schedule(standings: Mapping[Key, Standing], *, now: datetime) -> Plan:
    """Everything that is new, and the overlap."""
    stretches = {key: list(_new_stretches(standing, now=now)) for key, standing in standings.items()}
    known = any(standing.complete_to > standing.expected_from for standing in standings.values())
    return Plan(stretches=stretches, known_keys_expected=known)


def on_request(standings: Mapping[Key, Standing], *, start: datetime, end: datetime, now: datetime) -> Plan:
    """The range [start, end), read again where it was read before."""
    stretches = {key: [_asked(standing.walk, start, end, now=now)] for key, standing in standings.items()}
    known = any(standing.complete_to > max(start, standing.expected_from) for standing in standings.values())
    return Plan(stretches=stretches, executed_before=end, known_keys_expected=known)


def to_fill_up(
    standings: Mapping[Key, Standing],
    gaps: Mapping[Key, Sequence[tuple[datetime, datetime]]],
    *,
    end: datetime,
    now: datetime,
) -> Plan:
    """The gaps of a range that ends at `end`, oldest first."""
    stretches = {
        key: [
            _asked(standing.walk, begins, ends, now=now) for gap in gaps.get(key, ()) for begins, ends in _chunks(*gap)
        ]
        for key, standing in standings.items()
    }
    return Plan(stretches=stretches, executed_before=end)


def _new_stretches(standing: Standing, *, now: datetime) -> Iterator[Stretch]:
    complete_to, walk = standing.complete_to, standing.walk
    if walk is not None and walk.begin <= complete_to < walk.end:
        yield from _readings(walk, complete_to=complete_to, now=now)
        complete_to = min(walk.end, now - SETTLING)
    begin = max(complete_to - OVERLAP, standing.expected_from)
    if begin < now:
        yield from _readings(Walk(begin=begin, end=now), complete_to=complete_to, now=now)


def _readings(walk: Walk, *, complete_to: datetime, now: datetime) -> Iterator[Stretch]:
    """The next pull reads the last OVERLAP of a walk again; one that brings more is read again from its beginning."""
    if walk.end - complete_to > OVERLAP:
        yield Stretch(walk=walk, covered=None)
        walk = Walk(begin=walk.begin, end=walk.end)
    yield _stretch(walk, now=now)


def _asked(begun: Walk | None, start: datetime, end: datetime, *, now: datetime) -> Stretch:
    """The range with its late records; one that was begun goes on at its cursor."""
    walk = Walk(begin=start, end=end + LATE)
    if begun is not None and (begun.begin, begun.end) == (walk.begin, walk.end):
        walk = begun
    return _stretch(walk, now=now, until=end)


def _stretch(walk: Walk, *, now: datetime, until: datetime | None = None) -> Stretch:
    ends = min(until or walk.end, now - SETTLING)
    return Stretch(walk=walk, covered=(walk.begin, ends) if ends > walk.begin else None)


def _chunks(begins: datetime, ends: datetime) -> Iterator[tuple[datetime, datetime]]:
    while begins < ends:
        yield begins, min(begins + CHUNK, ends)
        begins += CHUNK
