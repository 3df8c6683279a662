"""The tree of brokers over time: a broker may never be its own ancestor, at any instant.

The parent of a broker at t is that of its row in force at t: of its rows, the one with the latest effective_from <= t,
if it has not ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter


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


def find_cycle(rows: Iterable[BrokerRow]) -> Cycle | None:
    """The earliest cycle in the tree, or None. Walks time once, and only from the brokers that move."""
    parents: dict[str, str | None] = {}
    moves = sorted(_moves(rows), key=itemgetter(0))
    for at, together in groupby(moves, key=itemgetter(0)):
        moved = {broker_id: parent_id for _, broker_id, parent_id in together}
        parents.update(moved)
        for broker_id in sorted(moved):
            if brokers := _walk(broker_id, parents):
                return Cycle(at=at, brokers=brokers)
    return None


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
