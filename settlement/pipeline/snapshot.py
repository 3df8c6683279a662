"""Use cases: store what a venue says now of prices, of its accounts and of the rebates it pays.

Reading from the venue is the adapter's part (settlement/venues); here are rows in and a report out. None of this changes
anything that was settled, so none of it is ever refused for that: prices come in where nothing settled could have been
valued by them (settlement/store/needed_prices.py), levels and rates from the end of what was settled on
(settlement/store/seen_rows.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from settlement.errors import SettlementError
from settlement.pipeline.load_prices import load_price_rows
from settlement.pipeline.load_registry import load_registry_rows
from settlement.pipeline.load_report import Act, LoadReport
from settlement.program.csv_columns import Columns
from settlement.program.prices import check_prices
from settlement.program.registry import CheckedFile, check_rows
from settlement.store import eligibility, fills_seen, needed_prices
from settlement.store.database import Database
from settlement.store.eligibility import Eligibility
from settlement.store.lines import WINDOW

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
# For as long after a trade its currency counts as in use.
IN_USE = timedelta(hours=6)
PENDING_WINDOWS_MAX = 72
# What could not be priced for so long is asked about by hand (settlement snapshot prices), not every few minutes.
LOOKED_BACK = timedelta(days=30)
OPTIONS_OF_LATE = timedelta(days=3)


@dataclass(kw_only=True)
class SnapshotReport:
    """What a snapshot brought in, and what could not be asked.

    `failed` says why, by instrument type, currency or account; `unpriced` are currencies in use that the venue has no
    index of; `skipped` says what was left out on purpose.
    """

    loads: list[LoadReport] = field(default_factory=list)
    failed: dict[str, SettlementError] = field(default_factory=dict)
    unpriced: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    eligibility_changes: int = 0

    def line(self) -> str:
        """One line for a person or a log; no account is named."""
        counts = [counts for load in self.loads for counts in load.files.values()]
        told = [
            f"{sum(one.added + one.changed for one in counts)} rows new, {sum(one.unchanged for one in counts)} unchanged",
            f"{self.eligibility_changes} changes of eligibility" if self.eligibility_changes else "",
            f"no index of {', '.join(self.unpriced)}" if self.unpriced else "",
            f"{len(self.failed)} not answered" if self.failed else "",
        ]
        return ", ".join(part for part in told if part)

    def as_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return vars(self) | {
            "loads": [load.as_json() for load in self.loads],
            "failed": {name: str(error) for name, error in self.failed.items()},
        }


@dataclass(frozen=True, kw_only=True)
class IndexPrice:
    """A price as the venue wrote it; `ts` in epoch milliseconds."""

    currency: str
    ts: str
    price_usdt: str


@dataclass(frozen=True, kw_only=True)
class AccountFacts:
    """What the venue says of an account: its level, as written, and its scheduled rates by (product, liquidity)."""

    account: str
    level: str
    rates: Mapping[tuple[str, str], str]


@dataclass(frozen=True, kw_only=True)
class NeededPrices:
    """The instants in [start, end) at which prices may come in, by currency; none for a currency that needs no more."""

    start: datetime
    end: datetime
    instants: Mapping[str, Sequence[datetime]]


def currencies_in_use(database: Database, *, now: datetime) -> list[str]:
    """The currencies that the fills of late need a price of."""
    with database.transaction() as connection:
        return needed_prices.currencies_in_use(connection, start=now - IN_USE, end=now + MINUTE)


def options_without_instrument(database: Database, *, now: datetime) -> list[str]:
    """The options of late fills that no instrument is loaded of."""
    with database.transaction() as connection:
        return fills_seen.options_without_instrument(connection, since=now - OPTIONS_OF_LATE)


def periods_to_fill(database: Database, *, now: datetime) -> list[tuple[datetime, datetime]]:
    """Where prices are looked for by default: the hours of late, and settled windows that wait for a price."""
    this_minute = now.replace(second=0, microsecond=0)
    start = this_minute.replace(minute=0) - IN_USE
    with database.transaction() as connection:
        waiting = needed_prices.windows_without_price(connection, limit=PENDING_WINDOWS_MAX)
    earlier = [(window, window + WINDOW) for window in waiting if start - LOOKED_BACK <= window < start]
    return [(start, this_minute), *earlier]


def split_by_day(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """[start, end) in parts of at most a day, whole minutes: what is asked for and stored at once."""
    begin = start.replace(second=0, microsecond=0)
    while begin < end:
        yield begin, min(begin + DAY, end)
        begin += DAY


def find_needed_prices(database: Database, *, start: datetime, end: datetime) -> NeededPrices:
    """The minutes of [start, end) for which prices of the currencies in use there may come in."""
    with database.transaction() as connection:
        currencies = needed_prices.currencies_in_use(connection, start=start, end=end)
        instants = needed_prices.needed_instants(connection, currencies, start=start, end=end, spacing=MINUTE)
    return NeededPrices(start=start, end=end, instants=instants)


def store_prices(
    database: Database, prices: Iterable[IndexPrice], *, source: str, spacing: timedelta, act: Act
) -> LoadReport:
    """Loads prices of which none touches what was settled; `spacing` as in `load_price_rows`."""
    rows = [(price.currency, price.ts, price.price_usdt, source) for price in prices]
    columns = Columns(_text_table(("currency", "ts", "price_usdt", "source"), rows), file=source, first_row=1)
    return load_price_rows(database, [check_prices(columns)], source=source, act=act, spacing=spacing)


def store_account_facts(
    database: Database, facts: Sequence[AccountFacts], *, venue: Venue, seen_at: datetime, act: Act
) -> LoadReport:
    """Loads the levels and rates of accounts that differ from those in force, all in one load."""
    since = venue.levels_since(seen_at).isoformat()
    levels = [(venue.name, one.account, one.level, since) for one in facts]
    rates = [(venue.name, one.account, *key, rate, since) for one in facts for key, rate in sorted(one.rates.items())]
    return load_registry_rows(
        database,
        [
            _checked("vip_levels.csv", levels, source=venue.levels_source),
            _checked("fee_rates.csv", rates, source=venue.rates_source),
        ],
        source=venue.levels_source,
        act=act,
        seen_at=seen_at,
    )


def store_eligibility(database: Database, seen: Sequence[Eligibility], *, now: datetime) -> int:
    """Keeps what the venue said of rebates; returns of how many accounts it said something new."""
    with database.transaction() as connection:
        return eligibility.record(connection, seen, now=now)


@dataclass(frozen=True, kw_only=True)
class Venue:
    """Of whom facts are stored, under which sources, and at which hour (UTC) the venue reckons levels anew each day."""

    name: str
    levels_source: str
    rates_source: str
    levels_hour: int

    def levels_since(self, seen_at: datetime) -> datetime:
        """Since when a level holds that is seen at `seen_at`."""
        today = seen_at.astimezone(UTC).replace(hour=self.levels_hour, minute=0, second=0, microsecond=0)
        return today if today <= seen_at else today - DAY


def _checked(name: str, rows: Sequence[Sequence[str]], *, source: str) -> CheckedFile:
    return check_rows(name, _text_table(_COLUMNS[name], rows), source=source)


_COLUMNS = {
    "vip_levels.csv": ("venue", "account", "level", "effective_from"),
    "fee_rates.csv": ("venue", "account", "product", "liquidity", "rate", "effective_from"),
}


def _text_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return pa.table({name: pa.array(values, pa.string()) for name, values in zip(names, columns, strict=True)})
