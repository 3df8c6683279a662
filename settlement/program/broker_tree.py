"""The tree of brokers over time: at no instant is a broker its own ancestor, or deeper than DEPTH_LIMIT levels.

The parent of a broker at t is that of its row in force at t: of its rows, the one with the latest effective_from <= t,
if it has not ended. A root is at level 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter

DEPTH_LIMIT = 32


@dataclass(frozen=True, kw_only=True)
class BrokerRow:
    """What a row of the registry says about a broker's place in the tree."""

    broker_id: str
    parent_id: str | None
    effective_from: datetime
    effective_to: datetime | None


@dataclass(frozen=True, kw_only=True)
class Cycle:
    """Brokers that are their own ancestors from `at` on, each the child of the next and the last of the first."""

    at: datetime
    brokers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TooDeep:
    """From `at` on the first of `brokers` stands one level below the limit, each the child of the next."""

    at: datetime
    brokers: tuple[str, ...]


def find_cycle(rows: Iterable[BrokerRow]) -> Cycle | None:
    """The earliest cycle in the tree, or None. Walks time once, and only from the brokers that move."""
    for at, moved, parents in _over_time(rows):
        for broker_id in moved:
            if brokers := _walk(broker_id, parents):
                return Cycle(at=at, brokers=brokers)
    return None


def find_too_deep(rows: Iterable[BrokerRow], *, limit: int = DEPTH_LIMIT) -> TooDeep | None:
    """The earliest path of more than `limit` brokers in a tree without cycles, or None.

    Walks time once, and down from the brokers that move.
    """
    children: dict[str, set[str]] = {}
    former: dict[str, str | None] = {}
    for at, moved, parents in _over_time(rows):
        for broker_id in moved:
            children.get(former.get(broker_id) or "", set()).discard(broker_id)
            if (parent := parents[broker_id]) is not None:
                children.setdefault(parent, set()).add(broker_id)
            former[broker_id] = parent
        for broker_id in moved:
            if deep := _below_limit(broker_id, parents, children, limit=limit):
                return TooDeep(at=at, brokers=_path(deep, parents))
    return None


def _over_time(rows: Iterable[BrokerRow]) -> Iterator[tuple[datetime, list[str], Mapping[str, str | None]]]:
    """Each instant at which brokers move, who does, and everybody's parent from then on."""
    parents: dict[str, str | None] = {}
    moves = sorted(_moves(rows), key=itemgetter(0))
    for at, together in groupby(moves, key=itemgetter(0)):
        moved = {broker_id: parent_id for _, broker_id, parent_id in together}
        parents.update(moved)
        yield at, sorted(moved), parents


def _moves(rows: Iterable[BrokerRow]) -> Iterable[tuple[datetime, str, str | None]]:
    """When which broker gets which parent; None at the end of a row that no other row has taken over from."""
    by_broker = sorted(rows, key=lambda row: (row.broker_id, row.effective_from))
    for _, group in groupby(by_broker, key=lambda row: row.broker_id):
        own = list(group)
        for row, following in zip(own, [*own[1:], None], strict=True):
            yield row.effective_from, row.broker_id, row.parent_id
            ends = row.effective_to
            if ends is not None and (following is None or ends < following.effective_from):
                yield ends, row.broker_id, None


def _walk(start: str, parents: Mapping[str, str | None]) -> tuple[str, ...]:
    """The brokers from `start` up to `start` again, or nothing if the way up ends."""
    path, seen = [start], {start}
    while (parent := parents.get(path[-1])) is not None:
        if parent in seen:
            return tuple(path[path.index(parent) :])
        path.append(parent)
        seen.add(parent)
    return ()


def _path(start: str, parents: Mapping[str, str | None]) -> tuple[str, ...]:
    """The brokers from `start` up to its root."""
    path = [start]
    while (parent := parents.get(path[-1])) is not None:
        path.append(parent)
    return tuple(path)


def _below_limit(
    start: str, parents: Mapping[str, str | None], children: Mapping[str, set[str]], *, limit: int
) -> str | None:
    """A broker one level below the limit, `start` or one below it; None where there is none."""
    path = _path(start, parents)
    if len(path) > limit:
        return path[len(path) - limit - 1]
    level = [start]
    for _ in range(limit + 1 - len(path)):
        level = [child for broker_id in level for child in children.get(broker_id, ())]
    return min(level, default=None)
