"""Writes the sample program and its day of fills into a directory.

    registry/*.csv  terms-1.toml  terms-2.toml  instruments.json  prices.csv  fills/*

The same seed gives the same content. The day has fills for every exclusion and every pending reason, rows sent twice,
rows that contradict and rows that are broken; the hour before the program began is in it too.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from settlement.errors import Refused
from settlement.sample.columns import canonical_table
from settlement.sample.draws import Draws
from settlement.sample.feeds import write_desk, write_gateway, write_okx
from settlement.sample.market import SAMPLE_INSTRUMENTS, walk_market, write_instruments
from settlement.sample.prices import write_prices
from settlement.sample.program import DAY, populate, tags_of
from settlement.sample.registry import write_registry
from settlement.sample.trades import TAKER_PER_MILLE, draw_fills, times
from settlement.sample.trouble import BROKEN, discount, liquidate

if TYPE_CHECKING:
    from settlement.sample.draws import Integers
    from settlement.sample.market import Market
    from settlement.sample.program import Population
    from settlement.sample.trades import Fills

SEED = 20260302
FILLS = 24_000
FEWEST_FILLS = 1_000
ACCOUNTS = 640
MARKET_MAKER_TAKER_PER_MILLE = 120
SYSTEM_PER_MILLE = 6
HERE = Path(__file__).parent

# The last hour before the program, then the day: busy when Asia and America are awake.
HOUR_WEIGHTS = (12, 38, 44, 47, 45, 40, 36, 34, 40, 46, 44, 40, 37, 42, 55, 66, 70, 64, 55, 46, 40, 36, 33, 35, 36)

# SOL's index was down in the morning; nobody has priced PEPE.
HOLES = {"SOL": (datetime(2026, 3, 2, 4, 5, tzinfo=UTC), datetime(2026, 3, 2, 6, 15, tzinfo=UTC))}
UNPRICED = frozenset({"PEPE"})


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Where the parts of a written sample are; `fills` maps each source to its files in order of arrival."""

    registry: Path
    terms: tuple[Path, ...]
    instruments: Path
    prices: Path
    fills: dict[str, tuple[Path, ...]]
    start: datetime
    end: datetime


def write_sample(directory: Path, *, seed: int = SEED, fills: int = FILLS) -> Sample:
    """Writes the sample with `fills` different fills; refused below 1,000, where not every reason would occur."""
    if fills < FEWEST_FILLS:
        raise Refused(
            f"{fills} fills are too few", mend=f"ask for {FEWEST_FILLS:,} or more, so that every reason occurs"
        )
    (directory / "fills").mkdir(parents=True, exist_ok=True)
    start = DAY - timedelta(hours=1)
    draws, market, population = _people(seed, accounts=ACCOUNTS, start=start)
    write_registry(directory / "registry", population)
    terms = tuple(Path(shutil.copyfile(HERE / name, directory / name)) for name in ("terms-1.toml", "terms-2.toml"))
    write_instruments(directory / "instruments.json")
    write_prices(directory / "prices.csv", market, holes=HOLES, skip=UNPRICED)
    return Sample(
        registry=directory / "registry",
        terms=terms,
        instruments=directory / "instruments.json",
        prices=directory / "prices.csv",
        fills=_write_fills(directory / "fills", draws, population, market, count=fills, start=start),
        start=start,
        end=start + timedelta(hours=len(HOUR_WEIGHTS)),
    )


def population_of(seed: int = SEED, *, accounts: int = ACCOUNTS) -> Population:
    """The accounts of the sample that `seed` gives, without writing it."""
    return _people(seed, accounts=accounts, start=DAY - timedelta(hours=1))[2]


def _people(seed: int, *, accounts: int, start: datetime) -> tuple[Draws, Market, Population]:
    draws = Draws(seed)
    market = walk_market(draws, start=start - timedelta(hours=1), hours=len(HOUR_WEIGHTS) + 1)
    return draws, market, populate(draws, accounts=accounts)


def _write_fills(  # noqa: PLR0913 - the parts of the world
    directory: Path, draws: Draws, population: Population, market: Market, *, count: int, start: datetime
) -> dict[str, tuple[Path, ...]]:
    """Three feeds, each with the accounts of one third; the broken rows are made of fills drawn on top."""
    drawn = count + len(BROKEN)
    account = np.minimum(draws.below(ACCOUNTS, drawn), draws.below(ACCOUNTS, drawn))
    account = (account * 7 + 3) % ACCOUNTS
    feed = account % 3
    fills = _draw(draws, population, market, account=account, start=start)
    tags, channels = tags_of(draws, population, account)
    channels = pa.array(np.where(feed == 2, "", channels.to_numpy(zero_copy_only=False)))  # noqa: PLR2004 - OKX's feed
    table = canonical_table(
        fills, instruments=SAMPLE_INSTRUMENTS, accounts=population.accounts, tags=tags, channels=channels
    )
    table = discount(draws, table, fills, who=population.is_kind(account, "discounted") & (feed != 2))  # noqa: PLR2004
    table = liquidate(draws, table, per_mille=SYSTEM_PER_MILLE)
    good, spoiled = np.arange(count), table.slice(count)
    by_time = good[np.argsort(fills.time_ms[:count], kind="stable")]
    gateway, desk, okx = (table.take(pa.array(by_time[feed[by_time] == number])) for number in range(3))
    return {
        "gateway": tuple(write_gateway(directory, gateway, spoiled=spoiled)),
        "desk": tuple(write_desk(directory, desk)),
        "okx": (write_okx(directory, okx),),
    }


def _draw(draws: Draws, population: Population, market: Market, *, account: Integers, start: datetime) -> Fills:
    """The fills; a discounted account is charged, half of the time, as if its fee level were one better."""
    count = len(account)
    vip = population.vip[account]
    better = population.is_kind(account, "discounted") & draws.chance(500, count)
    maker = population.is_kind(account, "market_maker")
    return draw_fills(
        draws,
        market,
        instruments=SAMPLE_INSTRUMENTS,
        account=account,
        taker_per_mille=np.where(maker, MARKET_MAKER_TAKER_PER_MILLE, TAKER_PER_MILLE),
        vip=np.where(better, vip + 1, vip),
        time_ms=times(draws, start=start, hour_weights=HOUR_WEIGHTS, count=count),
    )
