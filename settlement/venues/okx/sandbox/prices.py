"""The sandbox's index: the price of a currency at a minute follows from the seed and the minute alone.

A price is the currency's start plus a drift: hashed points on four grids of minutes (a day, an hour, five minutes, one),
joined by straight lines and added up, in integers throughout.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from settlement.sample.market import CURRENCIES, MINUTE_MS, Market

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from settlement.sample.draws import Integers

# Minutes between two points of a grid, and how far its drift goes, in basis points.
GRIDS: Final = ((1440, 900), (60, 120), (5, 20), (1, 4))
DECIMALS: Final = {currency.name: currency.decimals for currency in CURRENCIES}


class Index:
    """Prices in USDT as scaled integers, `DECIMALS` digits after the point."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def walk(self, name: str, minutes: Integers) -> Integers:
        """The price of one currency at each of `minutes` (since 1970)."""
        number, currency = next((at, each) for at, each in enumerate(CURRENCIES) if each.name == name)
        drift = np.zeros(len(minutes), dtype=np.int64)
        for grid, (step, reach) in enumerate(GRIDS):
            salt = self._seed * 1_000_003 + number * 101 + grid
            drift += _joined(minutes, step=step, reach=reach, salt=salt)
        price: Integers = currency.start + currency.start * drift // (10_000 * currency.calm)
        return price

    def market(self, *, start_ms: int, minutes: int) -> Market:
        """Every currency's walk from `start_ms`, as the sample's fills are drawn from."""
        grid = start_ms // MINUTE_MS + np.arange(minutes, dtype=np.int64)
        start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=start_ms)
        return Market(start=start, walks={currency.name: self.walk(currency.name, grid) for currency in CURRENCIES})


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatters 64-bit numbers (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def per_mille(values: Integers, *, salt: int) -> Integers:
    """A number in [0, 1000) for each value, always the same."""
    salted = values.astype(np.uint64) + np.uint64(salt * 0x9E3779B97F4A7C15 % 2**64)
    return (mix(salted) % np.uint64(1000)).astype(np.int64)


def _joined(minutes: Integers, *, step: int, reach: int, salt: int) -> Integers:
    at, past = np.divmod(minutes, step)
    left, right = _points(at, reach=reach, salt=salt), _points(at + 1, reach=reach, salt=salt)
    joined: Integers = left + (right - left) * past // step
    return joined


def _points(at: Integers, *, reach: int, salt: int) -> Integers:
    salted = at.astype(np.uint64) + np.uint64(salt * 0x9E3779B97F4A7C15 % 2**64)
    return (mix(salted) % np.uint64(2 * reach + 1)).astype(np.int64) - reach
