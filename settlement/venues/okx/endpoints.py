"""The endpoints of OKX v5 that are asked, each with its documented limit.

A limit holds per user id (every sub-account has its own), or per address that the request comes from; public instruments
also per instrument type. Source: OKX API documents, "Rate Limit" of each endpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Scope = Literal["user", "address"]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One endpoint: at most `requests` in any `seconds`, per `scope` and, if named, per value of the parameter `per`."""

    path: str
    requests: int
    seconds: int
    scope: Scope = "user"
    per: str = ""
    method: Literal["GET", "POST"] = "GET"

    @property
    def signed(self) -> bool:
        """Whether it is asked in the name of an account."""
        return self.scope == "user"


TIME: Final = Endpoint(path="/api/v5/public/time", requests=10, seconds=2, scope="address")
INSTRUMENTS: Final = Endpoint(
    path="/api/v5/public/instruments", requests=20, seconds=2, scope="address", per="instType"
)
INDEX_TICKERS: Final = Endpoint(path="/api/v5/market/index-tickers", requests=20, seconds=2, scope="address")
HISTORY_INDEX_CANDLES: Final = Endpoint(
    path="/api/v5/market/history-index-candles", requests=10, seconds=2, scope="address"
)
CONFIG: Final = Endpoint(path="/api/v5/account/config", requests=5, seconds=2)
TRADE_FEE: Final = Endpoint(path="/api/v5/account/trade-fee", requests=5, seconds=2)
FILLS: Final = Endpoint(path="/api/v5/trade/fills", requests=60, seconds=2)
FILLS_HISTORY: Final = Endpoint(path="/api/v5/trade/fills-history", requests=10, seconds=2)
ORDERS_HISTORY: Final = Endpoint(path="/api/v5/trade/orders-history", requests=40, seconds=2)
ORDERS_HISTORY_ARCHIVE: Final = Endpoint(path="/api/v5/trade/orders-history-archive", requests=20, seconds=2)
ORDER: Final = Endpoint(path="/api/v5/trade/order", requests=60, seconds=2)
# Not documented where the others are; a third of the order's is taken.
ALGO_ORDER: Final = Endpoint(path="/api/v5/trade/order-algo", requests=20, seconds=2)
# 2 a second by one page, 5 in two seconds by the other: the lower.
IF_REBATE: Final = Endpoint(path="/api/v5/broker/fd/if-rebate", requests=2, seconds=1)

TOKEN_PATH: Final = "/v5/users/oauth/token"  # noqa: S105 - a path, not a token
