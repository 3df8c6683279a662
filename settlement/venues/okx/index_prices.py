"""OKX's index prices in USDT: what an index is at now, and minute candles of the past.

The price at `ts` of a candle is its open; only closed candles are taken. Index ids are BASE-QUOTE; a currency that has no
index in USDT has no price here: inverting or crossing others would be rounding of our own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from settlement.pipeline.snapshot import IndexPrice
from settlement.venues.okx import endpoints
from settlement.venues.okx.client import OkxClient
from settlement.venues.okx.errors import broken_answer
from settlement.venues.okx.signing import milliseconds

QUOTE: Final = "USDT"
TICKERS_SOURCE: Final = "okx market/index-tickers"
CANDLES_SOURCE: Final = "okx market/history-index-candles 1m"
CANDLES_A_PAGE: Final = 100
CLOSED: Final = "1"
_MINUTE = 60_000


async def read_index_prices(client: OkxClient) -> dict[str, IndexPrice]:
    """The index prices of now, by currency; raises OkxError."""
    answer = await client.get(endpoints.INDEX_TICKERS, {"quoteCcy": QUOTE})
    return {price.currency: price for price in _tickers(answer.data)}


async def read_candles(client: OkxClient, currency: str, instants: Sequence[datetime]) -> list[IndexPrice]:
    """The prices at `instants` (whole minutes), as far as OKX has them; raises OkxError.

    Walks from new to old and passes over what is not asked for.
    """
    left = sorted({int(milliseconds(instant)) for instant in instants})
    wanted, found = set(left), dict[int, str]()
    while left:
        span = (left[-1] - left[0]) // _MINUTE + 1
        params = {
            "instId": f"{currency}-{QUOTE}",
            "bar": "1m",
            "after": str(left[-1] + _MINUTE),
            "limit": str(min(span, CANDLES_A_PAGE)),
        }
        candles = list(_candles((await client.get(endpoints.HISTORY_INDEX_CANDLES, params)).data))
        if not candles:
            break
        found |= {ts: opened for ts, opened, confirm in candles if confirm == CLOSED and ts in wanted}
        # At least the newest is done with, so the walk ends whatever was answered.
        oldest = min(left[-1], *(ts for ts, _, _ in candles))
        left = [ts for ts in left if ts < oldest]
    return [IndexPrice(currency=currency, ts=str(ts), price_usdt=found[ts]) for ts in sorted(found)]


def _tickers(rows: Sequence[Any]) -> Iterator[IndexPrice]:
    for row in rows:
        try:
            currency, _, quote = row["instId"].rpartition("-")
            price = IndexPrice(currency=currency, ts=row["ts"], price_usdt=row["idxPx"])
        except (KeyError, TypeError, AttributeError):
            raise broken_answer("a row of market/index-tickers has no instId, idxPx or ts") from None
        if quote == QUOTE:
            yield price


def _candles(rows: Sequence[Any]) -> Iterator[tuple[int, str, str]]:
    for row in rows:
        try:
            ts, opened, *_, confirm = row
            yield int(ts), opened, confirm
        except (TypeError, ValueError):
            raise broken_answer("a row of market/history-index-candles is not [ts, o, h, l, c, confirm]") from None
