"""The tag of an order that came without one: that of the algo order which placed it.

1. A child of an algo order may come without the tag that its parent carries: the order names its `algoId`, and the algo order
   its tag. Whether OKX hands tags down is documented nowhere, so it is looked up.
2. Orders are found a hundred at a time in the history of orders (the last seven days, or the archive of three months); those
   that are not in it, because they are still open, are asked one by one.
3. An order or an algo order that OKX does not know any more has no tag. Each algo order is asked once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog

from settlement.pipeline.venue import OrderTag
from settlement.venues.okx.client import OkxClient
from settlement.venues.okx.endpoints import ALGO_ORDER, ORDER, ORDERS_HISTORY, ORDERS_HISTORY_ARCHIVE, Endpoint
from settlement.venues.okx.errors import Action, OkxError
from settlement.venues.okx.signing import milliseconds

PAGE_ORDERS: Final = 100
# The orders of one page of fills stand close together; what a few pages do not hold is asked by itself.
PAGES_MAX: Final = 3
# From here on listing is cheaper than asking one by one.
WORTH_LISTING: Final = 3
UNKNOWN_TO_OKX: Final = frozenset({"51001", "51603"})
RECENT: Final = timedelta(days=7)
# `begin` filters by when an order was placed: most are filled within the hour.
PLACED_BEFORE: Final = timedelta(hours=1)
RECENT_MARGIN: Final = timedelta(hours=1)


log = structlog.get_logger(__name__)


@dataclass(kw_only=True)
class AlgoTags:
    """Looks up the orders of one account; remembers the algo orders it has asked for."""

    client: OkxClient
    _tags: dict[str, str] = field(default_factory=dict)

    async def find(self, instrument_type: str, orders: Mapping[str, str], *, since: datetime) -> Sequence[OrderTag]:
        """One OrderTag for each of `orders` (order id -> instrument), which have fills since `since`; raises OkxError."""
        algo_ids = await self._listed(instrument_type, orders, since=since) if len(orders) >= WORTH_LISTING else {}
        for order_id, instrument in orders.items():
            if order_id not in algo_ids:
                order = await self._row(ORDER, {"instId": instrument, "ordId": order_id})
                algo_ids[order_id] = str(order.get("algoId") or "")
        account = self.client.account.account if self.client.account is not None else ""
        return [
            OrderTag(
                account=account,
                order_id=order_id,
                algo_id=algo_ids[order_id],
                tag=await self._tag_of(algo_ids[order_id]),
            )
            for order_id in orders
        ]

    async def _listed(self, instrument_type: str, orders: Mapping[str, str], *, since: datetime) -> dict[str, str]:
        """Order id -> algo id ("" for none) of those orders that the history holds."""
        recent = since >= datetime.now(UTC) - RECENT + RECENT_MARGIN
        endpoint = ORDERS_HISTORY if recent else ORDERS_HISTORY_ARCHIVE
        numbers = [int(order_id) for order_id in orders if order_id.isdecimal()]
        if not numbers:
            return {}
        found: dict[str, str] = {}
        begin = milliseconds(since - PLACED_BEFORE)
        after = str(max(numbers) + 1)
        for _ in range(PAGES_MAX):
            params = {"instType": instrument_type, "begin": begin, "after": after, "limit": str(PAGE_ORDERS)}
            rows = await self._rows(endpoint, params)
            of_page = {str(row.get("ordId") or ""): str(row.get("algoId") or "") for row in rows}
            found |= {order_id: algo_id for order_id, algo_id in of_page.items() if order_id in orders}
            after = str(rows[-1].get("ordId") or "") if rows else ""
            if len(rows) < PAGE_ORDERS or not after.isdecimal() or int(after) <= min(numbers):
                break
        return found

    async def _tag_of(self, algo_id: str) -> str:
        if not algo_id:
            return ""
        if algo_id not in self._tags:
            algo = await self._row(ALGO_ORDER, {"algoId": algo_id})
            self._tags[algo_id] = str(algo.get("tag") or "")
        return self._tags[algo_id]

    async def _row(self, endpoint: Endpoint, params: Mapping[str, str]) -> Mapping[str, Any]:
        rows = await self._rows(endpoint, params)
        return rows[0] if rows else {}

    async def _rows(self, endpoint: Endpoint, params: Mapping[str, str]) -> list[Mapping[str, Any]]:
        """The rows of an answer; none where OKX refuses the question, as it does for what it does not know."""
        try:
            data = (await self.client.get(endpoint, params)).data
        except OkxError as error:
            if error.action is not Action.REFUSE:
                raise
            if error.code not in UNKNOWN_TO_OKX:
                log.warning(
                    "look-up of an order refused: it counts as without a tag", path=endpoint.path, error=str(error)
                )
            return []
        return [row for row in data if isinstance(row, dict)]
