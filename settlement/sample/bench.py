"""Fills by the million for the benchmark, with the registry, terms, instruments and prices that let most of them earn.

Every root broker gets a child, every child a child of its own, and so on in turn until there are enough brokers.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from settlement.sample.columns import VENUE, canonical_table, write_table
from settlement.sample.draws import Draws
from settlement.sample.market import INSTRUMENTS, walk_market, write_instruments
from settlement.sample.prices import write_prices
from settlement.sample.registry import HEADERS, write_rows
from settlement.sample.trades import draw_fills, times

if TYPE_CHECKING:
    from collections.abc import Iterator

START = datetime(2026, 3, 2, 6, tzinfo=UTC)
SIGNED = "2026-01-15T00:00:00Z"
CHUNK_FILLS = 1_000_000
FIRST_ACCOUNT = 580_000_000_000_000_000
TERMS = Path(__file__).parent / "terms-1.toml"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where the parts of a written benchmark are, and the windows that its fills lie in."""

    registry: Path
    terms: Path
    instruments: Path
    prices: Path
    fills: Path
    start: datetime
    end: datetime


def write_bench(  # noqa: PLR0913 - the size of the benchmark
    directory: Path,
    *,
    fills: int,
    seed: int = 1,
    hours: int = 1,
    roots: int = 6,
    brokers: int = 24,
    accounts: int = 2_000,
) -> Bench:
    """Writes a program of `brokers` in `roots` trees with `accounts` clients, and `fills` fills in `hours` windows."""
    registry = directory / "registry"
    registry.mkdir(parents=True, exist_ok=True)
    tree = _tree(roots, brokers)
    rows = [(name, name.title(), "api", parent, share, "active", SIGNED) for name, parent, share in tree]
    write_rows(registry / "brokers.csv", "broker_id,name,model,parent_id,share,status,effective_from", rows)
    codes = [(_code(number), name, SIGNED, "") for number, (name, _, _) in enumerate(tree)]
    write_rows(registry / "codes.csv", HEADERS["codes"], codes)
    names = _accounts(accounts)
    homes = [tree[number % brokers][0] for number in range(accounts)]
    clients = [
        (VENUE, name, home, SIGNED, "", "", str(number % 10 == 0).lower(), "", "0.1" if number % 8 == 0 else "")
        for number, (name, home) in enumerate(zip(names, homes, strict=True))
    ]
    write_rows(registry / "clients.csv", HEADERS["clients"], clients)
    levels = [(VENUE, name, f"VIP{_vip(number)}", SIGNED) for number, name in enumerate(names)]
    write_rows(registry / "vip_levels.csv", HEADERS["vip_levels"], levels)
    shutil.copyfile(TERMS, directory / "terms.toml")
    write_instruments(directory / "instruments.json", instruments=INSTRUMENTS)
    market = walk_market(Draws(seed), start=START - timedelta(hours=1), hours=hours + 1)
    write_prices(directory / "prices.csv", market, skip=frozenset())
    generate_fills_csv(directory / "fills.csv", fills=fills, seed=seed, hours=hours, brokers=brokers, accounts=accounts)
    return Bench(
        registry=registry,
        terms=directory / "terms.toml",
        instruments=directory / "instruments.json",
        prices=directory / "prices.csv",
        fills=directory / "fills.csv",
        start=START,
        end=START + timedelta(hours=hours),
    )


def generate_fills_csv(  # noqa: PLR0913 - the size of the benchmark
    path: Path, *, fills: int, seed: int, hours: int = 1, brokers: int = 24, accounts: int = 2_000
) -> int:
    """Writes `fills` canonical rows in no order, a million at a time, and returns how many.

    Nine in ten earn; the others lack a tag, or their maker was paid a rebate, or the account is VIP6.
    """
    return write_table(path, _chunks(fills=fills, seed=seed, hours=hours, brokers=brokers, accounts=accounts))


def _chunks(*, fills: int, seed: int, hours: int, brokers: int, accounts: int) -> Iterator[pa.Table]:
    market = walk_market(Draws(seed), start=START - timedelta(hours=1), hours=hours + 1)
    names = _accounts(accounts)
    vip = np.asarray([_vip(number) for number in range(accounts)], dtype=np.int64)
    codes = pa.array([*(_code(number) for number in range(brokers)), ""])
    for chunk, start in enumerate(range(0, fills, CHUNK_FILLS)):
        count = min(CHUNK_FILLS, fills - start)
        draws = Draws(seed + 7919 * (chunk + 1))
        account = np.minimum(draws.below(accounts, count), draws.below(accounts, count))
        drawn = draw_fills(
            draws,
            market,
            instruments=INSTRUMENTS,
            account=account,
            vip=vip[account],
            time_ms=times(draws, start=START, hour_weights=[1] * hours, count=count),
        )
        drawn.bill_id += chunk * 1_000_000_000_000_000_000 // 100
        tag = np.where(draws.chance(940, count), account % brokers, brokers)
        yield canonical_table(
            drawn,
            instruments=INSTRUMENTS,
            accounts=names,
            tags=codes.take(pa.array(tag)),
            channels=pa.repeat(pa.scalar(""), count),
        )


def _tree(roots: int, brokers: int) -> list[tuple[str, str, str]]:
    """broker_id, parent_id and share of each broker: roots first, then children, then theirs."""
    tree = [(f"root-{number:02}", "", "") for number in range(roots)]
    for number in range(brokers - roots):
        parent = tree[number if number < roots else roots + (number - roots) % roots][0]
        tree.append((f"{parent}-{number:02}", parent, f"0.{35 + number % 20}"))
    return tree


def _accounts(count: int) -> list[str]:
    return [str(FIRST_ACCOUNT + number * 104_729_000_077) for number in range(count)]


def _code(number: int) -> str:
    return f"benchCODE{number:05}"


def _vip(number: int) -> int:
    return 6 if number % 50 == 49 else number % 5  # noqa: PLR2004 - one account in fifty is above the highest level
