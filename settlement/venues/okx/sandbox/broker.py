"""broker/fd/: whether a user earns the broker a rebate, and the file of rebates per order.

The file is ordered by POST, takes its time, and is then fetched from a link that expires.
"""

from __future__ import annotations

import csv
import hashlib
import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import Response

from settlement.sample.market import epoch_ms
from settlement.venues.okx.sandbox.call import Answer, ok
from settlement.venues.okx.sandbox.codes import Refusal
from settlement.venues.okx.sandbox.funds import plain
from settlement.venues.okx.sandbox.rebate_file import Ordered
from settlement.venues.okx.sandbox.rebates import FIRST_VIP_WITHOUT, SPOT, OrderRebate, order_rebates

if TYPE_CHECKING:
    from settlement.venues.okx.sandbox.call import Call
    from settlement.venues.okx.sandbox.exchange import Exchange

FILES: Final = "/broker-files"
SPAN_DAYS: Final = 180
CAPPED_VIPS: Final = (5, 6)
COLUMNS: Final = (
    "brokerCode", "level", "uid", "clOrdId", "instId", "ordId", "spotTradeAmt", "derivativeTradeAmt", "fee", "netFee",
    "settlementFee", "brokerRebate", "suBrokerRebate", "userRebate", "affiliated", "ts",
)  # fmt: skip


async def give_if_rebate(exchange: Exchange, call: Call) -> Answer:
    """GET broker/fd/if-rebate?apiKey= (the user's key, the broker's signature)."""
    user = exchange.accounts.by_key.get(call.need("apiKey"))
    if user is None or user.role != "client":
        raise Refusal("51000", "apiKey")
    kind = "4" if user.msa else "3" if user.vip >= FIRST_VIP_WITHOUT else "2" if user.capped else "0"
    last = "0" if user.vip in CAPPED_VIPS else ""
    answer = {"affiliated": user.affiliated, "brokerCode": user.tag, "clientRebateRatio": "0", "lastRebate": last}
    return ok([{"type": kind, **answer}])


async def order_file(exchange: Exchange, call: Call) -> Answer:
    """POST broker/fd/rebate-per-orders: "true" if the link is there already."""
    document = call.document()
    begin, end = (_day(str(document.get(name, "")), name) for name in ("begin", "end"))
    if end < begin or end - begin > timedelta(days=SPAN_DAYS):
        raise Refusal("51000", "end")
    now = exchange.now_ms()
    known = exchange.files.get((begin, end))
    if known is None:
        exchange.files[begin, end] = Ordered(begin=begin, end=end, at_ms=now)
    ready = known is not None and _is_ready(exchange, known)
    return ok([{"result": "true" if ready else "false", "ts": str(now)}])


async def give_files(exchange: Exchange, call: Call) -> Answer:
    """GET broker/fd/rebate-per-orders: of the days given (type=true), or all that were ordered (type=false)."""
    if call.need("type") not in {"true", "false"}:
        raise Refusal("51000", "type")
    files = list(exchange.files.values())
    if call.query["type"] == "true":
        begin, end = (_day(call.need(name), name) for name in ("begin", "end"))
        files = [each for each in files if (each.begin, each.end) == (begin, end)]
    return ok([_listed(exchange, each) for each in reversed(files)])


async def download(exchange: Exchange, request: Request) -> Response:
    """The file behind a link: 403 once the link has expired, or if it was never given."""
    name, expires = request.path_params["name"], request.query_params.get("Expires", "")
    signature = request.query_params.get("Signature", "")
    valid = expires.isdigit() and int(expires) >= exchange.now_ms() // 1000
    if not valid or signature != _signature(exchange, name, expires):
        body = b"<Error><Code>AccessDenied</Code><Message>Request has expired.</Message></Error>"
        return Response(body, status_code=403, media_type="application/xml")
    begin, end = (_day(part, "name") for part in name.removesuffix(".csv").split("-")[1:3])
    return Response(await _csv(exchange, begin, end), media_type="text/csv")


async def _csv(exchange: Exchange, begin: datetime, end: datetime) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    day = begin
    while day <= end and epoch_ms(day) < exchange.now_ms():
        after = day + timedelta(days=1)
        orders = await order_rebates(exchange, begin_ms=epoch_ms(day), end_ms=epoch_ms(after))
        writer.writerows(_row(order) for order in orders)
        day = after
    return text.getvalue()


def _row(order: OrderRebate) -> tuple[str, ...]:
    first, worth = order.first, plain(order.worth)
    spot = first["instType"] in SPOT
    return (
        order.tag, order.account.level, order.account.uid, first.get("clOrdId", ""), first["instId"], first["ordId"],
        worth if spot else "0", "0" if spot else worth, plain(order.fee), plain(order.net_fee), plain(order.net_fee),
        plain(order.rebate), "0", "0", str(order.account.affiliated).lower(), str(order.ts),
    )  # fmt: skip


def _listed(exchange: Exchange, file: Ordered) -> dict[str, str]:
    ready, now = _is_ready(exchange, file), exchange.now_ms()
    name = f"RebateDetails-{file.begin:%Y%m%d}-{file.end:%Y%m%d}.csv"
    expires = str(now // 1000 + round(exchange.options.link_seconds))
    signature = _signature(exchange, name, expires)
    return {
        "beginTime": str(epoch_ms(file.begin)),
        "endTime": str(epoch_ms(file.end)),
        "cTime": str(file.at_ms),
        "fileHref": f"{exchange.base_url}{FILES}/{name}?Expires={expires}&Signature={signature}" if ready else "",
        "state": "finished" if ready else "ongoing",
        "ts": str(now),
    }


def _is_ready(exchange: Exchange, file: Ordered) -> bool:
    return exchange.now_ms() >= file.at_ms + round(exchange.options.file_seconds * 1000)


def _signature(exchange: Exchange, name: str, expires: str) -> str:
    secret = exchange.accounts.broker.secret
    return hashlib.blake2b(f"{name} {expires}".encode(), key=secret, digest_size=16).hexdigest()


def _day(text: str, name: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        raise Refusal("51000", name) from None
