"""The broker tree as it stood.

1. Brokers form a tree; a root has no parent. The tree is effective-dated: a broker may change parent, share or status.
2. A path leads from the root to a broker. It is active if every broker on it has a row in force whose status is
   `active`.
3. Where a broker on the way up has no row in force, the path ends there: the topmost broker that can be reached stands
   in for the root, and the path is not active.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from settlement.rules.in_force import Codes, microseconds

ACTIVE = "active"
LONGEST_PATH = 64


@dataclass(frozen=True)
class Path:
    """Brokers from the root down, and the share each receives of what the one before it received (the root's is 1)."""

    brokers: tuple[str, ...]
    shares: tuple[Decimal, ...]
    active: bool
    own_accounts: frozenset[str]

    @property
    def root(self) -> str:
        """The broker at the top."""
        return self.brokers[0]


NO_PATH = Path((), (), active=False, own_accounts=frozenset())


class Tree:
    """All paths, at any instant. A path is worked out once for each (broker, stretch of time without a change)."""

    def __init__(self, brokers: pd.DataFrame) -> None:
        starts, ends = microseconds(brokers["effective_from"]), microseconds(brokers["effective_to"])
        self.instants: Codes = np.unique(np.concatenate([starts, ends]))
        self._rows: dict[str, list[tuple[int, int, dict[str, Any]]]] = defaultdict(list)
        records: list[dict[str, Any]] = brokers.to_dict("records")  # type: ignore[assignment]  # columns are text
        for start, end, row in zip(starts, ends, records, strict=True):
            self._rows[row["broker_id"]].append((int(start), int(end), row))
        for rows in self._rows.values():
            rows.sort(key=lambda row: row[0])

    def paths(self, brokers: Codes, names: pd.Index[str], times: Codes) -> tuple[Codes, list[Path]]:
        """The path of each broker (a code into `names`; -1: none) at each time: codes into the list of distinct paths."""
        stretch = np.searchsorted(self.instants, times, side="right")
        width = len(self.instants) + 1
        cases = np.where(brokers >= 0, brokers * width + stretch, -1)
        codes, distinct = pd.factorize(cases)
        paths = [
            NO_PATH if case < 0 else self.path(str(names[case // width]), int(self._instant_of(case % width)))
            for case in distinct
        ]
        return codes.astype(np.int64), paths

    def path(self, broker_id: str, time: int) -> Path:
        """The path of one broker at one instant (microseconds since 1970)."""
        upwards: list[tuple[str, Decimal | None]] = []
        own: set[str] = set()
        active, current = True, broker_id
        while len(upwards) < LONGEST_PATH:
            row = self._row(current, time)
            if row is None:
                upwards.append((current, None))
                return _path(upwards, active=False, own=own)
            upwards.append((current, row["share"]))
            active = active and row["status"] == ACTIVE
            own.update(part.strip() for part in (row["own_accounts"] or "").split(";") if part.strip())
            if not row["parent_id"]:
                break
            current = row["parent_id"]
        return _path(upwards, active=active and len(upwards) < LONGEST_PATH, own=own)

    def _row(self, broker_id: str, time: int) -> dict[str, Any] | None:
        rows = self._rows.get(broker_id, [])
        latest = bisect_right(rows, time, key=lambda row: row[0]) - 1
        if latest < 0 or time >= rows[latest][1]:
            return None
        return {name: None if value is pd.NA else value for name, value in rows[latest][2].items()}

    def _instant_of(self, stretch: int) -> int:
        # Any instant of a stretch does: its beginning, or one before the first change.
        if not len(self.instants):
            return 0
        return int(self.instants[stretch - 1]) if stretch else int(self.instants[0]) - 1


def _path(upwards: list[tuple[str, Decimal | None]], *, active: bool, own: set[str]) -> Path:
    downwards = upwards[::-1]
    shares = (Decimal(1), *(share if share is not None else Decimal(0) for _, share in downwards[1:]))
    return Path(tuple(broker for broker, _ in downwards), shares, active=active, own_accounts=frozenset(own))
