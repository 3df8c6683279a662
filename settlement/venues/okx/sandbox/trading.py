"""trade/: fills in pages, orders, and the algo orders that placed them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import orjson

from settlement.venues.okx.sandbox.call import Answer, ok
from settlement.venues.okx.sandbox.codes import Refusal, page
from settlement.venues.okx.sandbox.market import ALGO_BEFORE_ORDER, TYPES
from settlement.venues.okx.sandbox.shelf import DAY_MS, HISTORY_DAYS, NEVER_MS, Query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.venues.okx.sandbox.call import Call
    from settlement.venues.okx.sandbox.exchange import Exchange

PAGE_ROWS: Final = 100
RECENT_DAYS: Final = 3
ORDERS_DAYS: Final = 7
DUPLICATES: Final = 3
SOURCE_TP_SL: Final = "7"


async def give_fills(exchange: Exchange, call: Call) -> Answer:
    """GET trade/fills: the last three days; the instrument type may be left out."""
    return await _page(exchange, call, days=RECENT_DAYS)


async def give_fills_history(exchange: Exchange, call: Call) -> Answer:
    """GET trade/fills-history: the last three months of one instrument type."""
    call.need("instType")
    return await _page(exchange, call, days=HISTORY_DAYS)


async def give_order(exchange: Exchange, call: Call) -> Answer:
    """GET trade/order."""
    instrument, order_id = call.need("instId"), call.whole("ordId")
    if order_id is None:
        raise Refusal("50014", "ordId")
    order = await _order(exchange, call, order_id)
    if order["instId"] != instrument:
        raise Refusal("51603")
    return ok([order])


async def give_orders_history(exchange: Exchange, call: Call) -> Answer:
    """GET trade/orders-history: the last seven days of one instrument type, newest first, by ordId."""
    return await _orders(exchange, call, days=ORDERS_DAYS)


async def give_orders_archive(exchange: Exchange, call: Call) -> Answer:
    """GET trade/orders-history-archive: the last three months."""
    return await _orders(exchange, call, days=HISTORY_DAYS)


async def _orders(exchange: Exchange, call: Call, *, days: int) -> Answer:
    kind = call.need("instType")
    found = await exchange.shelf.orders(
        call.caller.uid,
        kind,
        after=call.whole("after"),
        oldest_ms=max(exchange.now_ms() - days * DAY_MS, call.whole("begin") or 0),
        limit=min(call.whole("limit") or PAGE_ROWS, PAGE_ROWS),
    )
    return ok([_order_of_texts(texts, order_id=order_id, algo_tag=tag) for order_id, texts, tag in found])


async def give_algo_order(exchange: Exchange, call: Call) -> Answer:
    """GET trade/order-algo."""
    algo_id = call.whole("algoId")
    if algo_id is None:
        raise Refusal("50014", "algoId")
    texts, tag = await exchange.shelf.order(call.caller.uid, algo_id + ALGO_BEFORE_ORDER)
    if not tag:
        raise Refusal("51603")
    rows = [orjson.loads(text) for text in texts]
    return ok([_algo_of(rows, algo_id=str(algo_id), tag=tag)])


async def _page(exchange: Exchange, call: Call, *, days: int) -> Answer:
    query = _query(exchange, call, days=days)
    rows = await exchange.shelf.page(query)
    exchange.fills_served += len(rows)
    if call.fault == "duplicate_rows":
        rows = [row for number, row in enumerate(rows) for _ in range(2 if number < DUPLICATES else 1)]
    return Answer(body=page(rows))


def _query(exchange: Exchange, call: Call, *, days: int) -> Query:
    kind = call.query.get("instType", "")
    if kind and kind not in TYPES:
        raise Refusal("51000", "instType")
    limit = call.whole("limit")
    if limit == 0 or (limit is not None and limit > PAGE_ROWS):
        raise Refusal("51000", "limit")
    end = call.whole("end")
    filters = ("instId", "ordId", "subType")
    return Query(
        account=call.caller.uid,
        inst_type=kind,
        after=call.whole("after"),
        before=call.whole("before"),
        begin_ms=call.whole("begin") or 0,
        end_ms=NEVER_MS if end is None else end,
        oldest_ms=exchange.now_ms() - days * DAY_MS,
        limit=limit or PAGE_ROWS,
        needles=tuple(
            f'"{name}":{orjson.dumps(value).decode()}'.encode() for name in filters if (value := call.query.get(name))
        ),
    )


async def _order(exchange: Exchange, call: Call, order_id: int) -> dict[str, Any]:
    texts, algo_tag = await exchange.shelf.order(call.caller.uid, order_id)
    if not texts:
        raise Refusal("51603")
    return _order_of_texts(texts, order_id=order_id, algo_tag=algo_tag)


def _order_of_texts(texts: Sequence[memoryview], *, order_id: int, algo_tag: str) -> dict[str, Any]:
    rows = [orjson.loads(text) for text in texts]
    algo_id = str(order_id - ALGO_BEFORE_ORDER) if algo_tag else ""
    return _order_of(rows, algo_id=algo_id or str(rows[0].get("algoId") or ""))


def _order_of(rows: Sequence[dict[str, Any]], *, algo_id: str) -> dict[str, Any]:
    first, last = rows[0], rows[-1]
    size = sum((Decimal(row["fillSz"]) for row in rows), Decimal(0))
    worth = sum((Decimal(row["fillSz"]) * Decimal(row["fillPx"]) for row in rows), Decimal(0))
    fee = sum((Decimal(row["fee"]) for row in rows), Decimal(0))
    average = worth / size if size else Decimal(0)
    return {
        "accFillSz": _plain(size), "algoClOrdId": "", "algoId": algo_id, "attachAlgoClOrdId": "", "attachAlgoOrds": [],
        "avgPx": _plain(round(average, 12)), "cTime": first["fillTime"], "cancelSource": "", "cancelSourceReason": "",
        "category": "normal", "ccy": "", "clOrdId": first.get("clOrdId", ""), "fee": _plain(fee),
        "feeCcy": first["feeCcy"], "fillPx": last["fillPx"], "fillSz": last["fillSz"], "fillTime": last["fillTime"],
        "instId": first["instId"], "instType": first["instType"], "isTpLimit": "false", "lever": "",
        "linkedAlgoOrd": {"algoId": ""}, "ordId": first["ordId"], "ordType": "market", "pnl": "0",
        "posSide": first.get("posSide", ""), "px": "", "pxType": "", "pxUsd": "", "pxVol": "", "quickMgnType": "",
        "rebate": "0", "rebateCcy": "", "reduceOnly": "false", "side": first["side"],
        "source": SOURCE_TP_SL if algo_id else "", "state": "filled", "stpId": "", "stpMode": "cancel_maker",
        "sz": _plain(size), "tag": first.get("tag", ""), "tdMode": "cash", "tgtCcy": "", "tradeId": last["tradeId"],
        "tradeQuoteCcy": first.get("tradeQuoteCcy", ""), "uTime": last.get("ts") or last["fillTime"],
    }  # fmt: skip


def _algo_of(rows: Sequence[dict[str, Any]], *, algo_id: str, tag: str) -> dict[str, Any]:
    first, last = rows[0], rows[-1]
    size = _plain(sum((Decimal(row["fillSz"]) for row in rows), Decimal(0)))
    made = str(int(first["fillTime"]) - 60_000)
    return {
        "actualPx": last["fillPx"], "actualSide": "tp", "actualSz": size, "algoClOrdId": "", "algoId": algo_id,
        "attachAlgoOrds": [], "cTime": made, "ccy": "", "clOrdId": "", "closeFraction": "", "failCode": "0",
        "instId": first["instId"], "instType": first["instType"], "last": last["fillPx"], "lever": "",
        "linkedOrd": {"ordId": ""}, "ordId": first["ordId"], "ordIdList": [first["ordId"]], "ordPx": "",
        "ordType": "conditional", "posSide": first["posSide"], "reduceOnly": "false", "side": first["side"],
        "slOrdPx": "", "slTriggerPx": "", "slTriggerPxType": "", "state": "effective", "sz": size, "tag": tag,
        "tdMode": "cash", "tpOrdPx": "-1", "tpTriggerPx": first["fillPx"], "tpTriggerPxType": "last", "triggerPx": "",
        "triggerTime": first["fillTime"], "tradeQuoteCcy": first["tradeQuoteCcy"], "uTime": last["ts"],
    }  # fmt: skip


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}" if value else "0"
