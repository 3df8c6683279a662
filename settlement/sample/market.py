"""The made-up market: currencies that walk, instruments in the shape of OKX's public list, and an index of prices.

Prices are scaled integers: a currency's price in USDT has `decimals` decimals, an instrument's price `price_decimals`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

if TYPE_CHECKING:
    from pathlib import Path

    from settlement.sample.draws import Draws, Integers

MINUTE_MS = 60_000


@dataclass(frozen=True, kw_only=True)
class Currency:
    """Where a currency's walk starts, in 10**-decimals USDT; a calm one moves that many times less."""

    name: str
    start: int
    decimals: int
    calm: int = 1


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """One tradable thing. `face` / 10**`face_decimals` is contract value x multiplier (spot: 1)."""

    name: str
    type: str
    base: str
    quote: str
    settle: str = ""
    contract_type: str = ""
    contract_value: str = ""
    multiplier: str = ""
    contract_currency: str = ""
    face: int = 1
    face_decimals: int = 0
    price_decimals: int
    size_decimals: int
    weight: int

    def listing(self) -> dict[str, str]:
        """As a row of OKX's public instruments."""
        spot = self.type in {"SPOT", "MARGIN"}
        return {
            "instType": self.type,
            "instId": self.name,
            "baseCcy": self.base if spot else "",
            "quoteCcy": self.quote if spot else "",
            "settleCcy": self.settle,
            "ctType": self.contract_type,
            "ctVal": self.contract_value,
            "ctMult": self.multiplier,
            "ctValCcy": self.contract_currency,
            "state": "live",
        }


def _spot(name: str, *, price_decimals: int, size_decimals: int, weight: int, kind: str = "SPOT") -> Instrument:
    base, quote = name.split("-")
    return Instrument(
        name=name, type=kind, base=base, quote=quote,
        price_decimals=price_decimals, size_decimals=size_decimals, weight=weight,
    )  # fmt: skip


def _linear(name: str, value: str, *, price_decimals: int, weight: int, kind: str = "SWAP") -> Instrument:
    base = name.split("-", maxsplit=1)[0]
    whole, _, fraction = value.partition(".")
    return Instrument(
        name=name, type=kind, base=base, quote="USDT", settle="USDT", contract_type="linear",
        contract_value=value, multiplier="1", contract_currency=base, face=int(whole + fraction),
        face_decimals=len(fraction), price_decimals=price_decimals, size_decimals=2, weight=weight,
    )  # fmt: skip


def _inverse(name: str, value: int, *, price_decimals: int, weight: int, kind: str = "SWAP") -> Instrument:
    base = name.split("-", maxsplit=1)[0]
    return Instrument(
        name=name, type=kind, base=base, quote="USD", settle=base, contract_type="inverse", contract_value=str(value),
        multiplier="1", contract_currency="USD", face=value, price_decimals=price_decimals, size_decimals=1, weight=weight,
    )  # fmt: skip


def _option(name: str, multiplier: str, *, weight: int) -> Instrument:
    base = name.split("-", maxsplit=1)[0]
    return Instrument(
        name=name, type="OPTION", base=base, quote=base, settle=base, contract_value="1", multiplier=multiplier,
        contract_currency=base, face=1, face_decimals=len(multiplier) - 2, price_decimals=4, size_decimals=0, weight=weight,
    )  # fmt: skip


CURRENCIES = (
    Currency(name="BTC", start=84_312_50, decimals=2),
    Currency(name="ETH", start=3_118_40, decimals=2),
    Currency(name="SOL", start=142_730, decimals=3),
    Currency(name="XRP", start=2_21450, decimals=5),
    Currency(name="DOGE", start=178_420, decimals=6),
    Currency(name="HYPE", start=31_420, decimals=3),
    Currency(name="PEPE", start=71_234, decimals=10),
    Currency(name="USDC", start=1_00010, decimals=5, calm=40),
    Currency(name="USD", start=99_960, decimals=5, calm=40),
)

INSTRUMENTS = (
    _spot("BTC-USDT", price_decimals=1, size_decimals=5, weight=130),
    _spot("ETH-USDT", price_decimals=2, size_decimals=4, weight=110),
    _spot("SOL-USDT", price_decimals=2, size_decimals=3, weight=60),
    _spot("XRP-USDT", price_decimals=4, size_decimals=2, weight=40),
    _spot("DOGE-USDT", price_decimals=5, size_decimals=0, weight=30),
    _spot("ETH-BTC", price_decimals=5, size_decimals=4, weight=20),
    _spot("BTC-USDC", price_decimals=1, size_decimals=5, weight=20),
    _spot("ETH-USDT", price_decimals=2, size_decimals=4, weight=25, kind="MARGIN"),
    _spot("SOL-USDC", price_decimals=2, size_decimals=3, weight=15, kind="MARGIN"),
    _linear("BTC-USDT-SWAP", "0.01", price_decimals=1, weight=190),
    _linear("ETH-USDT-SWAP", "0.1", price_decimals=2, weight=140),
    _linear("SOL-USDT-SWAP", "1", price_decimals=2, weight=60),
    _linear("DOGE-USDT-SWAP", "1000", price_decimals=5, weight=30),
    _inverse("BTC-USD-SWAP", 100, price_decimals=1, weight=35),
    _inverse("ETH-USD-SWAP", 10, price_decimals=2, weight=20),
    _linear("BTC-USDT-260327", "0.01", price_decimals=1, weight=20, kind="FUTURES"),
    _inverse("BTC-USD-260327", 100, price_decimals=1, weight=10, kind="FUTURES"),
    _option("BTC-USD-260327-90000-C", "0.01", weight=25),
    _option("ETH-USD-260327-3000-P", "0.1", weight=12),
)

# Traded in the sample day only: nobody has priced PEPE, the terms do not cover events, HYPE's swap is not yet listed.
PEPE = _spot("PEPE-USDT", price_decimals=10, size_decimals=0, weight=5)
EVENT = Instrument(
    name="BTC-ABOVE-90K-260331", type="EVENTS", base="BTC", quote="USDT", settle="USDT", contract_value="1",
    multiplier="1", contract_currency="USDT", price_decimals=2, size_decimals=0, weight=5,
)  # fmt: skip
UNLISTED = _linear("HYPE-USDT-SWAP", "0.1", price_decimals=3, weight=5)
SAMPLE_INSTRUMENTS = (*INSTRUMENTS, PEPE, EVENT, UNLISTED)


@dataclass(frozen=True, kw_only=True)
class Market:
    """Every currency's price in USDT by the minute, from `start`: walks[currency] is an array of scaled integers."""

    start: datetime
    walks: dict[str, Integers]

    @property
    def start_ms(self) -> int:
        """Epoch milliseconds of the first minute."""
        return epoch_ms(self.start)


def epoch_ms(instant: datetime) -> int:
    """Milliseconds since 1970, exactly."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def walk_market(draws: Draws, *, start: datetime, hours: int) -> Market:
    """Lets every currency walk in steps of at most four basis points a minute."""
    walks = {}
    for currency in CURRENCIES:
        drift = np.clip(np.cumsum(draws.below(9, hours * 60) - 4), -2000, 2000)
        walks[currency.name] = currency.start + currency.start * drift // (10_000 * currency.calm)
    return Market(start=start, walks=walks)


def instrument_price(instrument: Instrument, market: Market, minutes: Integers, noise: Integers) -> Integers:
    """The price of `instrument` at each minute, in 10**-price_decimals; `noise` (0..999) is a few ticks, or the premium."""
    if instrument.type == "OPTION":
        return 5 + noise // 2
    if instrument.type == "EVENTS":
        return 1 + noise % 99
    decimals = {currency.name: currency.decimals for currency in CURRENCIES}
    base = market.walks[instrument.base][minutes]
    shift = instrument.price_decimals - decimals[instrument.base]
    if instrument.quote in {"USDT", "USD"}:
        exact = base * 10**shift if shift >= 0 else base // 10**-shift
    else:
        quote = market.walks[instrument.quote][minutes]
        exact = base * 10 ** (shift + decimals[instrument.quote]) // quote
    price: Integers = np.maximum(exact + noise % 5 - 2, 1)
    return price


def write_instruments(path: Path, *, instruments: tuple[Instrument, ...] = (*INSTRUMENTS, PEPE, EVENT)) -> None:
    """The listing as an OKX envelope."""
    envelope: dict[str, Any] = {"code": "0", "msg": "", "data": [one.listing() for one in instruments]}
    path.write_bytes(orjson.dumps(envelope, option=orjson.OPT_INDENT_2))
