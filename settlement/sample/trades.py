"""Draws fills by the column: time, account, instrument, price, size and the exact fee that the venue would charge.

Every amount is a scaled integer. Fees follow the venue's arithmetic: spot size x price x rate (a buy pays in the base
currency), linear contracts x value x price x rate, inverse contracts x value / price x rate in the coin, options
contracts x value x rate in the coin. Negative is charged; a maker rebate is positive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from settlement.sample.market import CURRENCIES, MINUTE_MS, Instrument, Market, epoch_ms, instrument_price

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from settlement.sample.draws import Booleans, Draws, Integers

PPM_DECIMALS = 6
INVERSE_FEE_DECIMALS = 12
TAKER_PER_MILLE = 620
FIRST_BILL_ID = 2_700_000_000_000_000_000
BILL_IDS_PER_MILLISECOND = 1_000_000

# What an account at VIP 0..7 is charged, in parts per million; below zero the venue pays the maker.
SPOT_PPM = {"maker": (800, 750, 700, 650, 600, 500, 300, 100), "taker": (1000, 950, 900, 800, 700, 600, 500, 400)}
CONTRACT_PPM = {"maker": (200, 180, 160, 140, 100, -20, -40, -50), "taker": (500, 480, 450, 400, 360, 300, 280, 260)}
OPTION_PPM = {"maker": (200, 200, 180, 160, 140, 120, 100, 80), "taker": (300, 300, 280, 260, 240, 220, 200, 180)}

# What people trade at once, in USDT, and how often.
SIZES_USDT = (60, 150, 400, 1_000, 2_500, 6_000, 15_000, 40_000, 110_000)
SIZE_WEIGHTS = (60, 120, 200, 220, 180, 120, 60, 30, 10)
LARGEST_USDT = {"PEPE": 2_000, "DOGE": 20_000}


@dataclass(kw_only=True)
class Fills:
    """Columns of equal length; `fee_currency` indexes `fee_currencies`, `instrument` the instruments drawn from."""

    time_ms: Integers
    bill_id: Integers
    account: Integers
    instrument: Integers
    buy: Booleans
    taker: Booleans
    price: Integers
    size: Integers
    rate_ppm: Integers
    fee: Integers
    fee_scale: Integers
    fee_currency: Integers
    fee_currencies: tuple[str, ...]


def draw_fills(  # noqa: PLR0913 - what a fill depends on
    draws: Draws,
    market: Market,
    *,
    instruments: Sequence[Instrument],
    account: Integers,
    taker_per_mille: Integers | int = TAKER_PER_MILLE,
    vip: Integers,
    time_ms: Integers,
) -> Fills:
    """One fill for each element of `account`, `vip` (its fee level 0..7) and `time_ms`."""
    count = len(account)
    names = ("USDT", *(currency.name for currency in CURRENCIES))
    number = np.arange(count, dtype=np.int64)
    fills = Fills(
        time_ms=time_ms,
        bill_id=FIRST_BILL_ID
        + (time_ms - market.start_ms) * BILL_IDS_PER_MILLISECOND
        + number % BILL_IDS_PER_MILLISECOND,
        account=account,
        instrument=draws.pick([instrument.weight for instrument in instruments], count),
        buy=draws.chance(520, count),
        taker=draws.below(1000, count) < taker_per_mille,
        price=np.zeros(count, dtype=np.int64),
        size=np.zeros(count, dtype=np.int64),
        rate_ppm=np.zeros(count, dtype=np.int64),
        fee=np.zeros(count, dtype=np.int64),
        fee_scale=np.zeros(count, dtype=np.int64),
        fee_currency=np.zeros(count, dtype=np.int64),
        fee_currencies=names,
    )
    worth = np.asarray(SIZES_USDT)[draws.pick(SIZE_WEIGHTS, count)] * (50 + draws.below(100, count)) // 100
    noise = draws.below(1000, count)
    minutes = (time_ms - market.start_ms) // MINUTE_MS
    for index, instrument in enumerate(instruments):
        rows = np.flatnonzero(fills.instrument == index)
        fills.price[rows] = instrument_price(instrument, market, minutes[rows], noise[rows])
        fills.size[rows] = _size(instrument, market, minutes[rows], worth[rows])
        fills.rate_ppm[rows] = _rate(instrument, fills.taker[rows], vip[rows])
        charge(fills, instrument, rows)
    return fills


def times(draws: Draws, *, start: datetime, hour_weights: Sequence[int], count: int) -> Integers:
    """Epoch milliseconds spread over as many hours as there are weights."""
    hours = draws.pick(hour_weights, count)
    return epoch_ms(start) + hours * 3_600_000 + draws.below(3_600_000, count)


def _size(instrument: Instrument, market: Market, minutes: Integers, worth_usdt: Integers) -> Integers:
    """How many lots cost about `worth_usdt`."""
    worth = np.minimum(worth_usdt, LARGEST_USDT.get(instrument.base, worth_usdt.max(initial=0)))
    lots = 10**instrument.size_decimals
    if instrument.contract_type == "inverse":
        size = worth * lots // instrument.face
    elif instrument.type == "EVENTS":
        size = worth * 2 // 100
    else:
        decimals = next(currency.decimals for currency in CURRENCIES if currency.name == instrument.base)
        unit = market.walks[instrument.base][minutes] * instrument.face
        size = worth * (lots * 10 ** (decimals + instrument.face_decimals)) // unit
    at_least_one: Integers = np.maximum(size, 1)
    return at_least_one


def _rate(instrument: Instrument, taker: Booleans, vip: Integers) -> Integers:
    product = {"SPOT": SPOT_PPM, "MARGIN": SPOT_PPM, "OPTION": OPTION_PPM}.get(instrument.type, CONTRACT_PPM)
    return np.where(taker, np.asarray(product["taker"])[vip], np.asarray(product["maker"])[vip])


def charge(fills: Fills, instrument: Instrument, rows: Integers) -> None:
    """Sets fee, its scale and its currency on `rows`, all of `instrument`."""
    size, price, rate = fills.size[rows], fills.price[rows], fills.rate_ppm[rows]
    scale = instrument.size_decimals + instrument.face_decimals + PPM_DECIMALS
    currency = fills.fee_currencies.index
    if instrument.type in {"SPOT", "MARGIN"}:
        buy = fills.buy[rows]
        fills.fee[rows] = -np.where(buy, size * rate, size * price * rate)
        fills.fee_scale[rows] = np.where(buy, scale, scale + instrument.price_decimals)
        fills.fee_currency[rows] = np.where(buy, currency(instrument.base), currency(instrument.quote))
        return
    fills.fee_currency[rows] = currency(instrument.settle)
    if instrument.contract_type == "inverse":
        digits = INVERSE_FEE_DECIMALS - scale + instrument.price_decimals
        charged = size * instrument.face * np.abs(rate) * 10**digits // price
        fills.fee[rows] = -np.sign(rate) * charged
        fills.fee_scale[rows] = INVERSE_FEE_DECIMALS
    elif instrument.type == "OPTION":
        fills.fee[rows] = -size * instrument.face * rate
        fills.fee_scale[rows] = scale
    else:
        fills.fee[rows] = -size * instrument.face * price * rate
        fills.fee_scale[rows] = scale + instrument.price_decimals
