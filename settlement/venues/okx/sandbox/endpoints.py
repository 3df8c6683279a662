"""The exchange's table of contents: path, handler, documented limit and needed permission of every endpoint."""

from __future__ import annotations

from typing import Final

from settlement.venues.okx.sandbox import asset, broker, oauth, profile, public, trading
from settlement.venues.okx.sandbox.handler import Endpoint, Handler
from settlement.venues.okx.sandbox.limits import Limit

READ: Final = "read_only"
TRADE: Final = "trade"
WITHDRAW: Final = "withdraw"


def _get(path: str, handler: Handler, limit: Limit, *, needs: str = READ, role: str = "") -> Endpoint:
    return Endpoint(method="GET", path=f"/api/v5/{path}", handler=handler, limit=limit, needs=needs, role=role)


def _post(path: str, handler: Handler, limit: Limit, *, needs: str, role: str = "") -> Endpoint:
    return Endpoint(method="POST", path=f"/api/v5/{path}", handler=handler, limit=limit, needs=needs, role=role)


def _funding(count: int, *, by: str = "user") -> Limit:
    """The funding side has a code of its own for what is over a limit."""
    return Limit(count, 1, by, code="58102")


ENDPOINTS: Final = (
    # The busiest first: the router tries them in order.
    _get("trade/fills", trading.give_fills, Limit(60, 2)),
    _get("trade/fills-history", trading.give_fills_history, Limit(10, 2)),
    _get("trade/orders-history", trading.give_orders_history, Limit(40, 2)),
    _get("trade/orders-history-archive", trading.give_orders_archive, Limit(20, 2)),
    _get("trade/order", trading.give_order, Limit(60, 2)),
    _get("trade/order-algo", trading.give_algo_order, Limit(20, 2)),
    _get("public/time", public.give_time, Limit(10, 2, "ip"), needs=""),
    _get("public/instruments", public.give_instruments, Limit(20, 2, "ip+instType"), needs=""),
    _get("market/index-tickers", public.give_index_tickers, Limit(20, 2, "ip"), needs=""),
    _get("market/history-index-candles", public.give_index_candles, Limit(10, 2, "ip"), needs=""),
    _get("account/config", profile.give_config, Limit(5, 2)),
    _get("account/trade-fee", profile.give_trade_fee, Limit(5, 2)),
    _get("broker/fd/if-rebate", broker.give_if_rebate, Limit(2, 1), role="broker"),
    _get("broker/fd/rebate-per-orders", broker.give_files, Limit(2, 60), role="broker"),
    _post("broker/fd/rebate-per-orders", broker.order_file, Limit(1, 3600), needs=READ, role="broker"),
    _get("asset/currencies", asset.give_currencies, _funding(6)),
    _get("asset/balances", asset.give_balances, _funding(6)),
    _get("asset/bills", asset.give_bills, _funding(6)),
    _post("asset/transfer", asset.transfer, _funding(2, by="user+ccy"), needs=TRADE),
    _get("asset/transfer-state", asset.give_transfer_state, _funding(10)),
    _post("asset/withdrawal", asset.withdraw, _funding(6), needs=WITHDRAW),
    _get("asset/withdrawal-history", asset.give_withdrawals, _funding(6)),
    Endpoint(method="POST", path="/v5/users/oauth/token", handler=oauth.give_tokens),
)
