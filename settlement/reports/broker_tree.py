"""How each level of the brokers' tree does: what its clients trade and earn, what it gets, whom its codes bring, who stays.

1. The tree is that of an instant; figures of a month are those of its windows, wherever their brokers stood then.
2. Volume, commission, clients, conversion and retention are of a broker's whole subtree, a client counted once; what it gets
   is its own: the credits less debits that its payable account was booked for those windows.
3. Conversion goes from referral codes to clients linked by one, to those who traded since, to those who earned since.
4. Retention: of the clients who first earned in a month, how many earned in each of the three months after it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from settlement.errors import Refused
from settlement.reports import tree_queries as queries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

COHORTS = 12
MONTHS_AFTER = 3
ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """Clients who first earned in `month`, and of them those who earned 1, 2 and 3 months later; None: not come yet."""

    month: datetime
    first_earned: int
    after: tuple[int | None, ...]


@dataclass(kw_only=True)
class Level:
    """One broker and its subtree; amounts in USDT. `level` is 1 for who has nobody above it that stands."""

    broker_id: str
    name: str
    parent_id: str | None
    level: int
    share: Decimal | None
    status: str
    volume_usdt: Decimal = Decimal(0)
    commission_usdt: Decimal = Decimal(0)
    gets_usdt: Decimal = Decimal(0)
    clients: int = 0
    active: int = 0
    codes: int = 0
    linked: int = 0
    traded: int = 0
    earning: int = 0
    retention: list[Cohort] = field(default_factory=list)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing happened here in the month and nobody is linked."""
        return not (self.volume_usdt or self.gets_usdt or self.clients or self.active)


@dataclass(frozen=True, kw_only=True)
class Month:
    """A calendar month in UTC, by its first instant and that of the next."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, moment: datetime) -> Month:
        """The month that `moment` is in."""
        start = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return cls(start=start, end=later(start, 1))


def later(month: datetime, months: int) -> datetime:
    """The first instant of the month that comes `months` after the one that begins at `month`; before, if negative."""
    number = month.year * 12 + month.month - 1 + months
    return month.replace(year=number // 12, month=number % 12 + 1)


def read_tree(connection: Connection, *, at: datetime, month: Month, broker: str | None = None) -> list[Level]:
    """The tree as it stands at `at`, or that of `broker`, each broker right before those below it.

    Brokers that have ended are left out where they have nothing to show, unless asked for by name. Raises `Refused` for a
    broker that nobody knows.
    """
    levels = {level.broker_id: level for level in _in_order(_standing(connection, at))}
    if broker is not None and broker not in levels:
        raise Refused("there is no such broker", where=broker, mend="settlement brokers list shows which there are")
    parameters = {"at": at, "start": month.start, "end": month.end}
    for query in (queries.ACTIVITY, queries.GETS, queries.CLIENTS, queries.CONVERSION):
        for row in connection.execute(text(query), parameters).mappings():
            _fill(levels, dict(row))
    parameters["first_cohort"] = later(month.start, 1 - COHORTS)
    for row in connection.execute(text(queries.RETENTION), parameters).mappings():
        levels[row["broker_id"]].retention.append(_cohort(dict(row), at=at))
    shown = list(levels.values()) if broker is None else list(_subtree(levels, broker))
    return [level for level in shown if level.status != ENDED or level.broker_id == broker or not level.is_quiet]


def _standing(connection: Connection, at: datetime) -> list[Mapping[str, Any]]:
    return [dict(row) for row in connection.execute(text(queries.BROKERS), {"at": at}).mappings()]


def _in_order(rows: Sequence[Mapping[str, Any]]) -> Iterator[Level]:
    """Each broker right before those below it, siblings by their ids."""
    below: dict[str | None, list[Mapping[str, Any]]] = defaultdict(list)
    for row in reversed(rows):
        below[row["above"]].append(row)
    waiting = [(row, 1) for row in below[None]]
    while waiting:
        row, level = waiting.pop()
        yield Level(
            broker_id=row["broker_id"],
            name=row["name"],
            parent_id=row["above"],
            level=level,
            share=row["share"],
            status=row["status"],
        )
        waiting += [(child, level + 1) for child in below[row["broker_id"]]]


def _subtree(levels: Mapping[str, Level], broker: str) -> Iterator[Level]:
    """`broker` and those below it, out of levels in order."""
    top = levels[broker].level
    following = iter(levels.values())
    for level in following:
        if level.broker_id == broker:
            yield level
            break
    for level in following:
        if level.level <= top:
            return
        yield level


def _fill(levels: Mapping[str, Level], row: Mapping[str, Any]) -> None:
    """Figures of one broker; a payee that is none, or no longer one, has no level."""
    level = levels.get(row["broker_id"])
    if level is not None:
        for name, value in row.items():
            setattr(level, name, value)


def _cohort(row: Mapping[str, Any], *, at: datetime) -> Cohort:
    after = tuple(
        row[f"after_{months}"] if later(row["month"], months) <= at else None for months in range(1, MONTHS_AFTER + 1)
    )
    return Cohort(month=row["month"], first_earned=row["first_earned"], after=after)
