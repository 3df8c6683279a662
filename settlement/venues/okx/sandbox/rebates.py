"""What the broker earns by the exchange's own reckoning: per order, from the fills that are served.

An order counts if a tag stands on it, or on the algo order that placed it, and is not another broker's. Its fee in USDT, at the index of each fill's
minute, is the base; a maker rebate lowers it, and below zero it is nothing. VIP7 and MSA accounts earn the broker nothing.
The rate is 10 % for clients with another invitation and 35 % for others (level 3 of the 2022 rules).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import orjson

from settlement.sample.market import MINUTE_MS, SAMPLE_INSTRUMENTS
from settlement.sample.program import FOREIGN_TAG
from settlement.venues.okx.sandbox.accounts import Account
from settlement.venues.okx.sandbox.market import HOUR_MS
from settlement.venues.okx.sandbox.prices import DECIMALS

if TYPE_CHECKING:
    from settlement.sample.market import Instrument
    from settlement.venues.okx.sandbox.exchange import Exchange

BROKER_REWARD: Final = "152"
RATE: Final = Decimal("0.35")
AFFILIATED_RATE: Final = Decimal("0.10")
FIRST_VIP_WITHOUT: Final = 7
TWELVE: Final = Decimal(1).scaleb(-12)
CREDITED_HOURS: Final = 24
CREDITED_FILLS: Final = 200_000
SPOT: Final = ("SPOT", "MARGIN")


@dataclass(kw_only=True)
class OrderRebate:
    """One order of one day, in USDT."""

    account: Account
    tag: str
    first: dict[str, Any] = field(repr=False)
    worth: Decimal = Decimal(0)
    fee: Decimal = Decimal(0)
    ts: int = 0

    @property
    def net_fee(self) -> Decimal:
        """The base for settlement."""
        earning = self.account.vip < FIRST_VIP_WITHOUT and not self.account.msa
        return max(self.fee, Decimal(0)) if earning else Decimal(0)

    @property
    def rebate(self) -> Decimal:
        """To the broker."""
        return _rounded(self.net_fee * (AFFILIATED_RATE if self.account.affiliated else RATE))


async def order_rebates(exchange: Exchange, *, begin_ms: int, end_ms: int) -> list[OrderRebate]:
    """The orders with fills recorded in [begin, end) and by now, by account and order; one each."""
    orders: list[OrderRebate] = []
    end_ms = min(end_ms, exchange.now_ms())
    for account in exchange.accounts.clients():
        rows = exchange.shelf.everything(account.uid, begin_ms=begin_ms, end_ms=end_ms, seen_only=False)
        fills = [orjson.loads(text) async for text in rows]
        fills = [fill for fill in fills if begin_ms <= int(fill.get("ts") or fill["fillTime"]) < end_ms]
        orders += await _orders_of(exchange, account, fills)
        await asyncio.sleep(0)  # others are answered in between
    return orders


async def credit_broker(exchange: Exchange, account: Account) -> None:
    """Pays the broker for each hour of the last day, an hour after it has ended; other accounts get nothing.

    Of a market with very many fills only the last hours, so that the first to ask need not wait for long.
    """
    if account.role != "broker":
        return
    last = exchange.now_ms() // HOUR_MS - 2
    hours = max(min(CREDITED_HOURS, CREDITED_FILLS // exchange.options.fills_per_hour), 1)
    first = max(last - hours + 1, exchange.credited_hour + 1)
    for hour in range(first, last + 1):
        exchange.credited_hour = hour
        orders = await order_rebates(exchange, begin_ms=hour * HOUR_MS, end_ms=(hour + 1) * HOUR_MS)
        if total := sum((order.rebate for order in orders), Decimal(0)):
            purse = exchange.funds.purse(account)
            bill = exchange.funds.bill(purse, kind=BROKER_REWARD, currency="USDT", change=total, client_id="")
            bill["ts"] = str((hour + 2) * HOUR_MS)


async def _orders_of(exchange: Exchange, account: Account, fills: Iterable[dict[str, Any]]) -> list[OrderRebate]:
    orders: dict[str, OrderRebate] = {}
    for fill in fills:
        order = orders.get(fill["ordId"])
        if order is None:
            tag = fill.get("tag", "")
            if not tag and str(fill.get("clOrdId", "")).startswith("O"):
                _, tag = await exchange.shelf.order(account.uid, int(fill["ordId"]))
            order = orders[fill["ordId"]] = OrderRebate(account=account, tag=tag, first=fill)
        if order.tag:
            order.fee -= Decimal(fill["fee"]) * _price(exchange, fill["feeCcy"], fill)
            order.worth += _worth(exchange, fill)
            order.ts = max(order.ts, int(fill.get("ts") or fill["fillTime"]))
    tagged = [order for order in orders.values() if order.tag not in {"", FOREIGN_TAG}]
    for order in tagged:
        order.fee, order.worth = _rounded(order.fee), _rounded(order.worth)
    return tagged


def _worth(exchange: Exchange, fill: dict[str, Any]) -> Decimal:
    size, price = Decimal(fill["fillSz"]), Decimal(fill["fillPx"])
    if fill["instType"] in SPOT:
        return size * price * _price(exchange, fill["instId"].split("-")[-1], fill)
    instrument = _instruments().get(fill["instId"])
    if instrument is None:
        return Decimal(0)
    face = size * Decimal(instrument.face).scaleb(-instrument.face_decimals)
    if instrument.contract_type == "inverse":
        return face * _price(exchange, "USD", fill)
    if instrument.type == "OPTION":
        return face * _price(exchange, instrument.base, fill)
    return face * price * _price(exchange, instrument.settle, fill)


def _price(exchange: Exchange, currency: str, fill: dict[str, Any]) -> Decimal:
    """The index; nothing for a currency that has none."""
    if currency == "USDT":
        return Decimal(1)
    if currency not in DECIMALS:
        return Decimal(0)
    return exchange.price(currency, int(fill["fillTime"]) // MINUTE_MS)


@cache
def _instruments() -> dict[str, Instrument]:
    return {instrument.name: instrument for instrument in SAMPLE_INSTRUMENTS if instrument.type not in SPOT}


def _rounded(amount: Decimal) -> Decimal:
    return amount.quantize(TWELVE, rounding=ROUND_HALF_EVEN)
