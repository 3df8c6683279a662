"""What OKX says of an account: its level, its scheduled fee rates, and whether OKX pays a rebate on it.

1. Rates keep OKX's sign (negative = charged). Of several fee groups, settle currencies or instrument types of one product
   the greatest counts, the best for the client: no fill at a price that the account is offered looks discounted.
2. `feeGroup` is the newest shape; the flat keys are read where it is absent or empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from settlement.pipeline.snapshot import AccountFacts, Venue
from settlement.pipeline.venue import VenueError
from settlement.program.venue_accounts import VenueAccount
from settlement.rules.products import PRODUCT_OF
from settlement.store.eligibility import Eligibility
from settlement.venues.okx import endpoints
from settlement.venues.okx.client import Answer, OkxClient
from settlement.venues.okx.errors import broken_answer
from settlement.venues.okx.parse import VENUE

# Levels are reckoned anew at 00:00 of UTC+8.
OKX: Final = Venue(name=VENUE, levels_source="okx account/config", rates_source="okx account/trade-fee", levels_hour=16)
# Margin trades are charged as spot trades.
RATED_TYPES: Final = ("SPOT", "SWAP", "FUTURES", "OPTION")
LIQUIDITIES: Final = ("maker", "taker")
_FLAT = ("", "U", "USDC")
_DECIMAL = re.compile(r"-?\d{1,20}(?:\.\d{0,18})?", re.ASCII)


async def read_level(client: OkxClient, account: VenueAccount) -> str:
    """The account's level, as OKX writes it; raises VenueError, also where the key is another account's."""
    config = _only_row(await client.get(endpoints.CONFIG), "account/config")
    uid, level = config.get("uid"), config.get("level")
    if isinstance(uid, str) and uid not in ("", account.account):
        raise VenueError("the key belongs to another account", mend="add the account again with a key of its own")
    if not isinstance(level, str):
        raise broken_answer("account/config tells no level")
    return level


async def read_rates(client: OkxClient) -> dict[tuple[str, str], str]:
    """The account's scheduled rates by (product, liquidity); raises VenueError."""
    best: dict[tuple[str, str], str] = {}
    for instrument_type in RATED_TYPES:
        answer = await client.get(endpoints.TRADE_FEE, {"instType": instrument_type})
        for row in answer.data:
            for liquidity, rate in _rates(row):
                key = PRODUCT_OF[instrument_type], liquidity
                best[key] = max(best.get(key, rate), rate, key=Decimal)
    return best


async def read_facts(client: OkxClient, account: VenueAccount) -> AccountFacts:
    """The level and the rates of an account; raises VenueError."""
    level = await read_level(client, account)
    return AccountFacts(account=account.account, level=level, rates=await read_rates(client))


async def read_eligibility(broker: OkxClient, *, account: str, api_key: str) -> Eligibility:
    """Whether OKX pays the broker a rebate on the account with this API key; raises VenueError."""
    row = _only_row(await broker.get(endpoints.IF_REBATE, {"apiKey": api_key}), "broker/fd/if-rebate")
    kind = row.get("type")
    if not isinstance(kind, (str, int)) or kind == "":
        raise broken_answer("broker/fd/if-rebate tells no type")
    return Eligibility(
        venue=VENUE,
        account=account,
        type=str(kind),
        broker_code=str(row.get("brokerCode") or "") or None,
        # A boolean in OKX's example, text in its table.
        affiliated={"true": True, "false": False}.get(str(row.get("affiliated")).lower()),
        client_rebate_ratio=_amount(row.get("clientRebateRatio")),
        last_rebate=_amount(row.get("lastRebate")),
    )


def _rates(row: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(row, dict):
        raise broken_answer("a row of account/trade-fee is not an object")
    groups = [group for group in row.get("feeGroup") or () if isinstance(group, dict)]
    for liquidity in LIQUIDITIES:
        grouped = [group.get(liquidity) for group in groups]
        flat = [row.get(liquidity + settled_in) for settled_in in _FLAT]
        rates = _decimals(grouped) or _decimals(flat)
        if rates:
            yield liquidity, max(rates, key=Decimal)


def _decimals(written: list[Any]) -> list[str]:
    return [text for text in map(_amount, written) if text is not None]


def _amount(written: Any) -> str | None:
    return written if isinstance(written, str) and _DECIMAL.fullmatch(written) else None


def _only_row(answer: Answer, endpoint: str) -> Mapping[str, Any]:
    if not answer.data or not isinstance(answer.data[0], dict):
        raise broken_answer(f"{endpoint} answers nothing")
    row: Mapping[str, Any] = answer.data[0]
    return row
