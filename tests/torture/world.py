"""A broker program that trades hour after hour, drawn from a seed: what its users send in as each hour ends.

An hour's fills come in its own file, but for a few that come up to LATE_HOURS later, and a few that come twice. Some facts are
missing at first and loaded in a later hour: levels of new clients, instruments, all prices of a currency. Now and then a fact
of the past turns out to have been wrong: it is corrected, and the windows that it was wrong in are recalculated.

Which lines come of all that does not depend on the order in which things are done: each line follows from the fill and
from the facts that are known at the end. (No price is ever loaded beside an older one that could have been taken, and a
correction is about hours that late fills do not reach any more, so that a plan has a chance to be applied.)
"""

from __future__ import annotations

import csv
import random
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from settlement.sample.columns import VENUE, canonical_table, write_table
from settlement.sample.draws import Draws
from settlement.sample.market import CURRENCIES, SAMPLE_INSTRUMENTS, UNLISTED, walk_market, write_instruments
from settlement.sample.prices import write_prices
from settlement.sample.program import DAY, SIGNED, populate, tags_of
from settlement.sample.registry import write_registry
from settlement.sample.trades import draw_fills
from settlement.sample.trouble import discount, liquidate
from settlement.sample.world import HERE

ACCOUNTS = 320
FILLS_OF_HOUR = (60, 180)
LATE_PER_MILLE, TWICE_PER_MILLE, SYSTEM_PER_MILLE = 50, 40, 6
LATE_HOURS = 4

# A correction every so many hours, of six windows that no late fill reaches any more. Two of them never overlap.
CORRECTED_EVERY, CORRECTED_FROM = 9, 10
CORRECTED_WINDOWS = 6
# Every so many hours a new client begins to trade; that long it takes until its level is known.
NEW_CLIENT_EVERY, LEVEL_AFTER = 6, 4
LATE_PRICES = {6: "PEPE", 13: "XRP", 40: "DOGE"}
LATE_INSTRUMENTS = {4: "BTC-USD-SWAP", 11: UNLISTED.name, 30: "ETH-USD-260327-3000-P"}
ROOTS_WITHOUT_OVERRIDE = ("borealis", "dune", "ember", "grove")

Row = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class FactLoad:
    """Something to be loaded: a registry directory, instruments or prices, with why if it changes the past."""

    kind: str
    path: Path
    correction: str | None = None


@dataclass(frozen=True, kw_only=True)
class Recalculation:
    """Windows of `[start, end)` to be recalculated: all lines, or those of a broker and of the ones below it."""

    name: str
    start: datetime
    end: datetime
    broker: str | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """What users do as one hour ends: facts first, then files of fills, then what they ask for."""

    facts: tuple[FactLoad, ...]
    files: tuple[Path, ...]
    recalculation: Recalculation | None


class World:
    """The world of a seed with `hours` hours at most, written into `folder` as it is asked for."""

    def __init__(self, folder: Path, *, seed: int, hours: int) -> None:
        self.folder, self.seed, self.hours = folder, seed, hours
        draws = Draws(seed)
        self.market = walk_market(draws, start=DAY - timedelta(hours=1), hours=hours + 1)
        self.population = populate(draws, accounts=ACCOUNTS)
        self.hour = lru_cache(maxsize=2 * LATE_HOURS)(self._hour)
        self._write_base()

    def window(self, number: int) -> datetime:
        """The start of an hour."""
        return DAY + timedelta(hours=number)

    @property
    def base(self) -> tuple[FactLoad, ...]:
        """The facts that are there from the beginning."""
        kinds = {"registry": "registry", "terms-1.toml": "terms", "terms-2.toml": "terms"}
        kinds |= {"instruments.json": "instruments", "prices.csv": "prices"}
        return tuple(FactLoad(kind=kind, path=self.folder / name) for name, kind in kinds.items())

    def step(self, number: int) -> Step:
        """What is done as the hour `number` ends; its files are written now."""
        folder = self.folder / f"{number:04}"
        folder.mkdir(exist_ok=True)
        corrected = number >= CORRECTED_FROM and (number - CORRECTED_FROM) % CORRECTED_EVERY == 0
        correction = self._correct(folder, number) if corrected else None
        late = (self._late_level(folder, number), self._late_prices(folder, number), self._late_listing(folder, number))
        facts = (*late, correction[0] if correction else None)
        return Step(
            facts=tuple(fact for fact in facts if fact),
            files=tuple(self._files(folder, number)),
            recalculation=correction[1] if correction else None,
        )

    def _hour(self, number: int) -> tuple[pa.Table, np.ndarray, np.ndarray]:
        """An hour's fills, by how many hours each is late, and by how many hours later it comes again (-1: it does not)."""
        draws = Draws(self.seed * 1_000_003 + number + 1)
        fewest, most = FILLS_OF_HOUR
        count = fewest + int(draws.below(most - fewest, 1)[0])
        account = np.minimum(draws.below(ACCOUNTS, count), draws.below(ACCOUNTS, count))
        start_ms = self.market.start_ms + (number + 1) * 3_600_000
        fills = draw_fills(
            draws,
            self.market,
            instruments=SAMPLE_INSTRUMENTS,
            account=account,
            vip=self.population.vip[account],
            time_ms=np.sort(start_ms + draws.below(3_600_000, count)),
        )
        tags, channels = tags_of(draws, self.population, account)
        table = canonical_table(
            fills, instruments=SAMPLE_INSTRUMENTS, accounts=self.population.accounts, tags=tags, channels=channels
        )
        table = discount(draws, table, fills, who=self.population.is_kind(account, "discounted"))
        table = liquidate(draws, table, per_mille=SYSTEM_PER_MILLE)
        table = table.filter(pa.array(self._begins[account] <= number))
        count = table.num_rows
        late = np.where(draws.chance(LATE_PER_MILLE, count), 1 + draws.below(LATE_HOURS, count), 0)
        again = np.where(draws.chance(TWICE_PER_MILLE, count), 1 + draws.below(LATE_HOURS, count), -1)
        return table, late, again

    def _files(self, folder: Path, number: int) -> list[Path]:
        """The hour's own file, which repeats rows of earlier ones, and one of late fills if there are any."""
        table, late, _ = self.hour(number)
        fresh, belated = [table.filter(pa.array(late == 0))], []
        for hours in range(1, min(LATE_HOURS, number) + 1):
            earlier, late, again = self.hour(number - hours)
            fresh.append(earlier.filter(pa.array(again == hours)))
            belated.append(earlier.filter(pa.array(late == hours)))
        paths = {folder / f"fills-{number:04}.csv": fresh, folder / f"late-{number:04}.csv": belated}
        return [path for path, tables in paths.items() if tables and write_table(path, tables)]

    def _late_level(self, folder: Path, number: int) -> FactLoad | None:
        """The level of the client who has begun to trade a while ago, for all the time before as well."""
        which, hours = divmod(number, NEW_CLIENT_EVERY)
        if hours != LEVEL_AFTER or which >= len(self._new_levels):
            return None
        return self._registry(folder / "level", "vip_levels.csv", [self._new_levels[which]])

    def _late_prices(self, folder: Path, number: int) -> FactLoad | None:
        if number not in LATE_PRICES:
            return None
        others = frozenset(currency.name for currency in CURRENCIES) - {LATE_PRICES[number]}
        write_prices(folder / "prices.csv", self.market, skip=others)
        return FactLoad(kind="prices", path=folder / "prices.csv")

    def _late_listing(self, folder: Path, number: int) -> FactLoad | None:
        if number not in LATE_INSTRUMENTS:
            return None
        listed = tuple(one for one in SAMPLE_INSTRUMENTS if one.name == LATE_INSTRUMENTS[number])
        write_instruments(folder / "instruments.json", instruments=listed)
        return FactLoad(kind="instruments", path=folder / "instruments.json")

    def _correct(self, folder: Path, number: int) -> tuple[FactLoad, Recalculation]:
        """Something that was wrong for six hours, a while ago."""
        end = self.window(number - LATE_HOURS)
        start = end - timedelta(hours=CORRECTED_WINDOWS)
        drawn = random.Random(self.seed * 7_919 + number)  # noqa: S311 - a world, not a secret
        wrong = (self._wrong_level, self._wrong_link, self._wrong_share, self._wrong_tier)[
            number // CORRECTED_EVERY % 4
        ]
        file, rows, broker = wrong(drawn, f"{start:%Y-%m-%dT%H:%M:%SZ}", f"{end:%Y-%m-%dT%H:%M:%SZ}")
        reason = f"{file} was wrong, noticed in hour {number}"
        load = self._registry(folder / "correction", file, rows, correction=reason)
        name = f"recalculation-{number:04}"
        return load, Recalculation(name=name, start=start, end=end, broker=broker, reason=reason)

    def _wrong_level(self, drawn: random.Random, start: str, end: str) -> tuple[str, list[Row], None]:
        row = drawn.choice([row for row in self._rows("vip_levels.csv") if row["account"] in self._plain])
        return "vip_levels.csv", [row | {"level": "VIP7", "effective_from": start}, row | {"effective_from": end}], None

    def _wrong_link(self, drawn: random.Random, start: str, end: str) -> tuple[str, list[Row], None]:
        row = drawn.choice([row for row in self._rows("clients.csv") if row["account"] in self._plain])
        other = drawn.choice(self._rows("brokers.csv"))["broker_id"]
        return "clients.csv", [row | {"broker_id": other, "effective_from": start}, row | {"effective_from": end}], None

    def _wrong_share(self, drawn: random.Random, start: str, end: str) -> tuple[str, list[Row], str]:
        """Only lines of that broker and of those below it are touched."""
        rows = [row for row in self._rows("brokers.csv") if row["parent_id"] and row["effective_from"] == SIGNED]
        row = drawn.choice([row for row in rows if not row["effective_to"]])
        changed = [
            row | {"share": f"0.{drawn.randrange(11, 60)}", "effective_from": start},
            row | {"effective_from": end},
        ]
        return "brokers.csv", changed, row["broker_id"]

    def _wrong_tier(self, drawn: random.Random, start: str, end: str) -> tuple[str, list[Row], str]:
        root = drawn.choice(ROOTS_WITHOUT_OVERRIDE)
        times = {"effective_from": start, "effective_to": end}
        return "tiers.csv", [{"broker_id": root, "tier": "Gold", **times, "reason": "it had been promised"}], root

    def _write_base(self) -> None:
        """The facts of the beginning, less those that come late."""
        registry = self.folder / "registry"
        write_registry(registry, self.population)
        self._new_clients(registry / "vip_levels.csv")
        self._forget_unknown_tier(registry / "tiers.csv")
        for name in ("terms-1.toml", "terms-2.toml"):
            shutil.copyfile(HERE / name, self.folder / name)
        late = {*LATE_INSTRUMENTS.values()}
        listed = tuple(one for one in SAMPLE_INSTRUMENTS if one.name not in late)
        write_instruments(self.folder / "instruments.json", instruments=listed)
        write_prices(self.folder / "prices.csv", self.market, skip=frozenset(LATE_PRICES.values()))

    def _new_clients(self, levels: Path) -> None:
        """Every third plain client, and those of no level, begin one after the other; until then their levels are unknown."""
        numbers = sorted([*self.population.of_kind("plain")[::3], *self.population.of_kind("no_vip")])
        accounts = {self.population.accounts[number] for number in numbers}
        self._begins = np.zeros(ACCOUNTS, dtype=np.int64)
        self._begins[numbers] = np.arange(len(numbers)) * NEW_CLIENT_EVERY
        known = [row for row in self._rows(levels.name) if row["account"] not in accounts]
        self._new_levels = [
            {"venue": VENUE, "account": self.population.accounts[number], "level": "VIP2", "effective_from": SIGNED}
            for number in numbers
        ]
        plain = {self.population.accounts[number] for number in self.population.of_kind("plain")}
        self._plain = frozenset(plain - accounts)
        _write_rows(levels, known)

    def _forget_unknown_tier(self, tiers: Path) -> None:
        """What would stay pending for ever would be looked at again with every fact that is loaded."""
        _write_rows(tiers, [row for row in self._rows(tiers.name) if row["broker_id"] != "harbor"])

    def _rows(self, file: str) -> list[Row]:
        with (self.folder / "registry" / file).open(newline="") as lines:
            return list(csv.DictReader(lines))

    def _registry(self, directory: Path, file: str, rows: list[Row], *, correction: str | None = None) -> FactLoad:
        directory.mkdir(exist_ok=True)
        _write_rows(directory / file, rows)
        return FactLoad(kind="registry", path=directory, correction=correction)


def _write_rows(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
