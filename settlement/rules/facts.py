"""What the rules know: the program's facts as columns, and its terms.

Every frame holds the rows that stand (replaced ones are left out), with Arrow-backed columns:

    brokers      broker_id, parent_id, share decimal, status, own_accounts (text, joined by ";"), effective_from, effective_to
    codes        code, broker_id, effective_from, effective_to
    clients      venue, account, broker_id, effective_from, effective_to, affiliated bool, account_class, rebate_share decimal
    vip_levels   venue, account, level int, effective_from
    fee_rates    venue, account, product, liquidity, rate decimal, effective_from
    tiers        broker_id, tier, effective_from, effective_to          overrides of the tier
    overrides    broker_id, kind ("rate" | "floor" | "cap" | "minimum_payout"), product (or "all"), liquidity (or "all"),
                 value decimal, effective_from, effective_to
    reviews      broker_id, tier, effective_from                        results of monthly reviews
    instruments  row_id, venue, instrument_type, instrument, contract_type, contract_value, contract_multiplier,
                 contract_value_currency, settle_currency, base_currency, quote_currency, effective_from
    prices       price_id int64, currency, ts, price_usdt decimal

Times are timestamp[us, UTC]; decimals are decimal128(38, 18); a missing value is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Final

import pandas as pd

from settlement.rules.in_force import InForce
from settlement.rules.tree import Tree

ALL: Final = "all"
"""In the place of a product, a liquidity or a group: all of them."""

KEYS: Final = {
    "codes": ("code",),
    "clients": ("venue", "account"),
    "vip_levels": ("venue", "account"),
    "fee_rates": ("venue", "account", "product", "liquidity"),
    "tiers": ("broker_id",),
    "overrides": ("broker_id", "kind", "product", "liquidity"),
    "reviews": ("broker_id",),
    "instruments": ("venue", "instrument_type", "instrument"),
    "prices": ("currency",),
}

RateKey = tuple[str, str, bool]
"""(product, liquidity "maker" | "taker", affiliated)."""


@dataclass(frozen=True, kw_only=True)
class Tier:
    """One level of the program. Thresholds are per group: {"all": x} or {"spot": x, "contracts": y}."""

    name: str
    min_volume: Mapping[str, Decimal]
    min_clients: Mapping[str, int]
    rates: Mapping[RateKey, Decimal]


@dataclass(frozen=True, kw_only=True)
class PayoutTerms:
    """When and how much is paid: amounts in USDT."""

    minimum: Decimal
    quantum: Decimal
    auto_approve_limit: Decimal
    hold_hours: int


@dataclass(frozen=True, kw_only=True)
class CapTerms:
    """Clients of these VIP levels earn for their broker until a calendar month's commission (UTC) on one of them is reached.

    `monthly_usdt` is that commission per client account, in USDT.
    """

    monthly_usdt: Decimal
    vip_levels: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """One version of the program terms, in force from `effective_from` until the next one."""

    terms_id: int
    name: str
    effective_from: datetime
    entry_tier: str
    max_vip: int
    excluded_account_classes: frozenset[str]
    fee_discount: str
    max_age_seconds: int
    volume_window: str
    acquisition: str
    groups: str
    payout: PayoutTerms
    tiers: tuple[Tier, ...]
    cap: CapTerms | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that a settlement stands on besides the fills."""

    brokers: pd.DataFrame
    codes: pd.DataFrame
    clients: pd.DataFrame
    vip_levels: pd.DataFrame
    fee_rates: pd.DataFrame
    tiers: pd.DataFrame
    overrides: pd.DataFrame
    reviews: pd.DataFrame
    instruments: pd.DataFrame
    prices: pd.DataFrame
    terms: tuple[Terms, ...]

    @cached_property
    def tree(self) -> Tree:
        """The broker tree at any instant."""
        return Tree(self.brokers)

    def in_force(self, table: str, *, start: str = "effective_from") -> InForce:
        """One of the frames, by name, to be looked up by its key and time; built once."""
        built: dict[str, InForce] = self.__dict__.setdefault("_in_force", {})
        if table not in built:
            built[table] = InForce(getattr(self, table), key=list(KEYS[table]), start=start)
        return built[table]
