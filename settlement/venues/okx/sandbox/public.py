"""public/ and market/: the clock, the instruments and the index, for whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from settlement.sample.decimal_text import decimal_text
from settlement.sample.market import MINUTE_MS, SAMPLE_INSTRUMENTS
from settlement.venues.okx.sandbox.call import Answer, ok
from settlement.venues.okx.sandbox.codes import Refusal
from settlement.venues.okx.sandbox.market import TYPES
from settlement.venues.okx.sandbox.prices import DECIMALS

if TYPE_CHECKING:
    from settlement.sample.draws import Integers
    from settlement.sample.market import Instrument
    from settlement.venues.okx.sandbox.call import Call
    from settlement.venues.okx.sandbox.exchange import Exchange

BARS: Final = {"1m": 1, "5m": 5, "15m": 15, "1H": 60}
CANDLES: Final = 100
DAY_MINUTES: Final = 1440
QUOTES: Final = ("USDT", "USD", "USDC", "BTC")
CROSS_DECIMALS: Final = 8


async def give_time(exchange: Exchange, call: Call) -> Answer:  # noqa: ARG001 - every handler takes both
    """GET public/time."""
    return ok([{"ts": str(exchange.now_ms())}])


async def give_instruments(exchange: Exchange, call: Call) -> Answer:
    """GET public/instruments: one type at a time; options by their family."""
    kind = call.need("instType")
    if kind not in TYPES:
        raise Refusal("51000", "instType")
    family = call.query.get("instFamily") or call.query.get("uly", "")
    if kind == "OPTION" and not family:
        raise Refusal("50014", "instFamily")
    rows = [_listed(each) for each in SAMPLE_INSTRUMENTS if each.type == kind]
    rows += _recorded_pairs(exchange, {row["instId"] for row in rows}) if kind == "SPOT" else []
    rows = [row for row in rows if family in {"", row["instFamily"]}]
    if name := call.query.get("instId"):
        rows = [row for row in rows if row["instId"] == name]
        if not rows:
            raise Refusal("51001")
    return ok(rows)


async def give_index_tickers(exchange: Exchange, call: Call) -> Answer:
    """GET market/index-tickers: every index of a quote currency, or one."""
    name, quote = call.query.get("instId", ""), call.query.get("quoteCcy", "")
    if not name and not quote:
        raise Refusal("50014", "instId")
    if quote and quote not in QUOTES:
        raise Refusal("51000", "quoteCcy")
    names = [f"{base}-{quote}" for base in ("USDT", *DECIMALS) if base != quote] if quote else [name]
    return ok([_ticker(exchange, each) for each in names if name in {"", each}])


async def give_index_candles(exchange: Exchange, call: Call) -> Answer:
    """GET market/history-index-candles: newest first; `after` is for older ones, `before` for newer."""
    name = call.need("instId")
    bar = BARS.get(call.query.get("bar") or "1m")
    if bar is None:
        raise Refusal("51000", "bar")
    limit = min(call.whole("limit") or CANDLES, CANDLES)
    span, now = bar * MINUTE_MS, exchange.now_ms()
    after, before = call.whole("after"), call.whole("before")
    newest = now // span if after is None else min(now // span, (after - 1) // span)
    oldest = 0 if before is None else before // span + 1
    starts = np.arange(newest, max(newest - limit, oldest - 1), -1, dtype=np.int64)
    if not len(starts):
        return ok([])
    minutes = starts[:, None] * bar + np.arange(bar + 1)
    prices, decimals = _index(exchange, name, minutes.ravel())
    walked = prices.reshape(minutes.shape)
    columns = (walked[:, 0], walked.max(axis=1), walked.min(axis=1), walked[:, -1])
    text = [decimal_text(column, decimals).to_pylist() for column in columns]
    confirmed = ["1" if (start + 1) * span <= now else "0" for start in starts.tolist()]
    stamps = [str(start * span) for start in starts.tolist()]
    return ok([list(row) for row in zip(stamps, *text, confirmed, strict=True)])


def _index(exchange: Exchange, name: str, minutes: Integers) -> tuple[Integers, int]:
    """The index at each minute, and how many decimals its integers have."""
    base, _, quote = name.partition("-")
    known = {"USDT", *DECIMALS}
    if base not in known or quote not in QUOTES or base == quote:
        raise Refusal("51001")
    if quote == "USDT":
        return exchange.index.walk(base, minutes), DECIMALS[base]
    above = exchange.index.walk(base, minutes) if base != "USDT" else np.ones(len(minutes), dtype=np.int64)
    digits = CROSS_DECIMALS + DECIMALS[quote] - DECIMALS.get(base, 0)
    if digits < 0:
        return above // 10**-digits // exchange.index.walk(quote, minutes), CROSS_DECIMALS
    return above * 10**digits // exchange.index.walk(quote, minutes), CROSS_DECIMALS


def _ticker(exchange: Exchange, name: str) -> dict[str, str]:
    now = exchange.now_ms()
    minute = now // MINUTE_MS
    minutes = np.arange(minute - DAY_MINUTES, minute + 1)
    prices, decimals = _index(exchange, name, minutes)
    since_midnight = int(minute % DAY_MINUTES)
    since_china = int((minute + 480) % DAY_MINUTES)
    shown = np.asarray(
        [prices[-1], prices.max(), prices.min(), prices[0], prices[-1 - since_midnight], prices[-1 - since_china]]
    )
    names = ("idxPx", "high24h", "low24h", "open24h", "sodUtc0", "sodUtc8")
    return {"instId": name, **dict(zip(names, decimal_text(shown, decimals).to_pylist(), strict=True)), "ts": str(now)}


def _listed(instrument: Instrument) -> dict[str, Any]:
    row = instrument.listing()
    parts = instrument.name.split("-")
    family = "-".join(parts[:2]) if instrument.type != "EVENTS" else ""
    option = instrument.type == "OPTION"
    dated = instrument.type in {"FUTURES", "OPTION"}
    lot, tick = (_step(decimals) for decimals in (instrument.size_decimals, instrument.price_decimals))
    more = {
        "alias": "quarter" if instrument.type == "FUTURES" else "", "category": "1", "instFamily": family,
        "uly": family if row["settleCcy"] else "", "lotSz": lot, "minSz": lot, "tickSz": tick, "lever": "",
        "listTime": "1611916828000", "groupId": "1", "ruleType": "normal", "optType": parts[-1] if option else "",
        "stk": parts[3] if option else "", "expTime": _expiry(parts[2]) if dated else "",
        "tradeQuoteCcyList": [row["quoteCcy"]] if row["quoteCcy"] else [],
    }  # fmt: skip
    return {**row, **more}


def _recorded_pairs(exchange: Exchange, known: set[str]) -> list[dict[str, Any]]:
    """The spot pairs of the replayed rows that the market does not have."""
    pairs = sorted(exchange.recording.spot - known) if exchange.recording else []
    return [
        {
            "instType": "SPOT", "instId": pair, "baseCcy": pair.split("-")[0], "quoteCcy": pair.split("-")[-1],
            "settleCcy": "", "ctType": "", "ctVal": "", "ctMult": "", "ctValCcy": "", "state": "live",
            "instFamily": "", "uly": "", "expTime": "", "category": "1",
        }
        for pair in pairs
    ]  # fmt: skip


def _step(decimals: int) -> str:
    return "1" if decimals == 0 else f"0.{'0' * (decimals - 1)}1"


def _expiry(yymmdd: str) -> str:
    day = np.datetime64(f"20{yymmdd[:2]}-{yymmdd[2:4]}-{yymmdd[4:]}T08:00", "ms")
    return str(day.astype(np.int64))
