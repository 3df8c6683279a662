"""The rules once more, one fill at a time, in plain Python: slow, obvious, and written from the design's text alone.

It shares nothing with settlement.rules but the shape of a terms version. Facts and fills are rows of text, as in the
CSV files; amounts are exact decimals that are rounded only where the design says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal, localcontext
from itertools import pairwise

from settlement.rules.facts import Terms
from tests.rules.world import instant

Row = Mapping[str, str]

EXACT = Context(prec=400)
TWELVE_DECIMALS = Decimal("0.000000000001")
PRODUCTS = {
    "SPOT": "spot", "MARGIN": "spot", "SWAP": "futures", "FUTURES": "futures", "OPTION": "options", "EVENTS": "events",
}  # fmt: skip
PENDING = {"TERMS_MISSING", "VIP_UNKNOWN", "TIER_UNKNOWN", "INSTRUMENT_UNKNOWN", "PRICE_MISSING"}


@dataclass(frozen=True, kw_only=True)
class World:
    """All facts, as rows of text under the columns of settlement.rules.facts; `terms` by effective_from."""

    terms: tuple[Terms, ...] = ()
    brokers: Sequence[Row] = ()
    codes: Sequence[Row] = ()
    clients: Sequence[Row] = ()
    vip_levels: Sequence[Row] = ()
    fee_rates: Sequence[Row] = ()
    tiers: Sequence[Row] = ()
    overrides: Sequence[Row] = ()
    reviews: Sequence[Row] = ()
    instruments: Sequence[Row] = ()
    prices: Sequence[Row] = ()


@dataclass(frozen=True, kw_only=True)
class Line:
    """The outcome for one fill. A price is its number: the position of its row in the table, from 1; None for USDT."""

    status: str
    reason: str
    broker_id: str | None
    product: str
    flags: str
    terms_id: int | None = None
    tier: str | None = None
    rate: Decimal | None = None
    net_fee_usdt: Decimal | None = None
    commission_usdt: Decimal | None = None
    notional_usdt: Decimal | None = None
    price_id: int | None = None
    notional_price_id: int | None = None
    shares: Mapping[str, Decimal] = field(default_factory=dict)


def settle_one(fill: Row, world: World) -> Line:
    """The line of one fill."""
    with localcontext(EXACT):
        return _Case(fill, world).line()


def settle_month(fills: Sequence[Row], world: World) -> list[Line]:
    """The lines of the fills of one month, in the order of the fills, with what a cap leaves of them."""
    lines: dict[int, Line] = {}
    earned: dict[tuple[str, ...], Decimal] = {}
    with localcontext(EXACT):
        cases = [_Case(fill, world) for fill in fills]
        for number in sorted(range(len(fills)), key=lambda one: (cases[one].time, fills[one]["bill_id"].encode())):
            client = (cases[number].upwards[-1][0] if cases[number].upwards else "", *cases[number].account)
            line = lines[number] = cases[number].capped(earned.get(client, Decimal(0)))
            earned[client] = earned.get(client, Decimal(0)) + (line.commission_usdt or Decimal(0))
    return [lines[number] for number in range(len(fills))]


class _Case:
    """One fill in its world, with what each rule finds out about it."""

    def __init__(self, fill: Row, world: World) -> None:
        self.fill, self.world = fill, world
        self.time = instant(fill["executed_at"])
        self.product = PRODUCTS[fill["instrument_type"]]
        account = {"venue": fill["venue"], "account": fill["account"]}
        self.account = (fill["venue"], fill["account"])
        self.code = self.in_force(world.codes, code=fill.get("tag", ""))
        self.link = self.in_force(world.clients, **account)
        self.vip = self.in_force(world.vip_levels, **account)
        begun = [version for version in world.terms if version.effective_from <= self.time]
        self.terms = max(begun, key=lambda version: version.effective_from, default=None)
        self.broker_id = (self.code or self.link or {}).get("broker_id")
        self.upwards = list(self.path_upwards())

    def in_force(self, rows: Sequence[Row], **key: str) -> Row | None:
        """Of the rows for the key, the one with the latest effective_from <= t, if it has not ended."""
        begun = [
            row
            for row in rows
            if all(row[name] == value for name, value in key.items()) and instant(row["effective_from"]) <= self.time
        ]
        if not begun:
            return None
        latest = max(begun, key=lambda row: instant(row["effective_from"]))
        ended = latest.get("effective_to") and instant(latest["effective_to"]) <= self.time
        return None if ended else latest

    def path_upwards(self) -> Iterator[tuple[str, Row | None]]:
        """The attributed broker, its parent, and so on up; it stops at a root or where no row is in force."""
        broker_id = self.broker_id
        while broker_id:
            row = self.in_force(self.world.brokers, broker_id=broker_id)
            yield broker_id, row
            broker_id = row.get("parent_id") if row else None

    # The line

    def line(self) -> Line:
        reason = next((name for name, applies in self.checks() if applies()), "")
        common = {"reason": reason, "broker_id": self.broker_id, "product": self.product, "flags": self.flags()}
        if reason:
            return Line(status="pending" if reason in PENDING else "excluded", **common)
        fee_price = self.price_row(self.fill["fee_currency"])
        notional, notional_currency = self.notional()
        notional_price = self.price_row(notional_currency)
        net_fee_usdt = _half_even(self.net_fee() * fee_price.usdt)
        rate = self.rate()
        commission = _half_even(net_fee_usdt * rate)
        return Line(
            status="earned",
            **common,
            terms_id=self.terms.terms_id,
            tier=self.tier(),
            rate=rate,
            net_fee_usdt=net_fee_usdt,
            commission_usdt=commission,
            notional_usdt=_half_even(notional * notional_price.usdt),
            price_id=fee_price.number,
            notional_price_id=notional_price.number,
            shares=self.shares(commission),
        )

    def capped(self, earned: Decimal) -> Line:
        """The line if its account has earned so much in this month before."""
        line = self.line()
        if line.commission_usdt is None or (cap := self.cap()) is None:
            return line
        earns = min(line.commission_usdt, max(Decimal(0), cap - earned))
        if earns == line.commission_usdt:
            return line
        if earns == 0:
            return Line(
                status="excluded",
                reason="CAP_REACHED",
                broker_id=line.broker_id,
                product=line.product,
                flags=line.flags,
            )
        flags = f"{line.flags};CAP_REMAINDER" if line.flags else "CAP_REMAINDER"
        return replace(line, commission_usdt=earns, shares=self.shares(earns), flags=flags)

    def cap(self) -> Decimal | None:
        """The root's own, else that of the terms, for the VIP levels that the terms name."""
        cap = self.terms.cap
        if cap is None or int(self.vip["level"]) not in cap.vip_levels:
            return None
        own = self.in_force(self.world.overrides, broker_id=self.upwards[-1][0], kind="cap")
        return Decimal(own["value"]) if own else cap.monthly_usdt

    def flags(self) -> str:
        both = self.code and self.link
        overrides = ["TAG_OVERRIDES_LINK"] if both and self.code["broker_id"] != self.link["broker_id"] else []
        return ";".join([*overrides, *([self.fill["flags"]] if self.fill.get("flags") else [])])

    def checks(self) -> list[tuple[str, Callable[[], bool]]]:
        """The reasons in their order, but for the last one, the cap. A later check may rely on the earlier ones not applying."""
        terms = self.terms
        return [
            ("UNATTRIBUTED", lambda: self.broker_id is None),
            ("SYSTEM_TRADE", self.is_system_trade),
            ("NON_API_CHANNEL", lambda: not self.came_through_api()),
            ("BROKER_INACTIVE", lambda: any(row is None or row["status"] != "active" for _, row in self.upwards)),
            ("OWN_ACCOUNT", self.is_own_account),
            ("TERMS_MISSING", lambda: terms is None),
            ("VIP_UNKNOWN", lambda: self.vip is None),
            ("VIP_EXCLUDED", lambda: int(self.vip["level"]) > terms.max_vip),
            ("ACCOUNT_EXCLUDED", lambda: (self.link or {}).get("account_class") in terms.excluded_account_classes),
            ("PRODUCT_NOT_COVERED", lambda: self.product not in {key[0] for key in terms.tiers[0].rates}),
            ("FEE_DISCOUNT", lambda: terms.fee_discount == "exclude" and self.used_fee_discount()),
            ("NO_NET_FEE", lambda: self.net_fee() <= 0),
            ("TIER_UNKNOWN", lambda: self.tier() not in [tier.name for tier in terms.tiers]),
            ("INSTRUMENT_UNKNOWN", lambda: self.notional() is None),
            ("PRICE_MISSING", self.lacks_price),
        ]

    def is_system_trade(self) -> bool:
        """OKX 100-128, 212, 213, 324-329, 376, 377."""
        kinds = [*range(100, 129), 212, 213, *range(324, 330), 376, 377]
        return self.fill["venue"] == "okx" and self.fill.get("sub_type", "") in [str(kind) for kind in kinds]

    def came_through_api(self) -> bool:
        channel = self.fill.get("channel", "")
        is_code = any(row["code"] == self.fill.get("tag") for row in self.world.codes)
        return channel == "api" or (channel in {"", "unknown"} and is_code)

    def is_own_account(self) -> bool:
        account = f"{self.fill['venue']}:{self.fill['account']}"
        return any(account in (row.get("own_accounts") or "").split(";") for _, row in self.upwards)

    def used_fee_discount(self) -> bool:
        if self.fill.get("fee_discount") or self.fee_rebate() > 0:
            return True
        key = {name: self.fill[name] for name in ("venue", "account", "liquidity")}
        scheduled = self.in_force(self.world.fee_rates, product=self.product, **key)
        paid = self.fill.get("fee_rate")
        return bool(paid and scheduled and Decimal(paid) > Decimal(scheduled["rate"]))

    def lacks_price(self) -> bool:
        return self.price_row(self.fill["fee_currency"]) is None or self.price_row(self.notional()[1]) is None

    # Valuation

    def fee_rebate(self) -> Decimal:
        return Decimal(self.fill.get("fee_rebate") or 0)

    def net_fee(self) -> Decimal:
        """Negative is charged, positive is a rebate; what was given back to the client is subtracted."""
        return -Decimal(self.fill["fee"]) - self.fee_rebate()

    def price_row(self, currency: str) -> _Price | None:
        """The latest row with ts <= executed_at that is not older than max_age; USDT is 1."""
        if currency == "USDT":
            return _Price(None, Decimal(1))
        begun = [
            (instant(row["ts"]), number, row)
            for number, row in enumerate(self.world.prices, 1)
            if row["currency"] == currency and instant(row["ts"]) <= self.time
        ]
        if not begun:
            return None
        ts, number, row = max(begun, key=lambda found: found[0])
        too_old = self.time - ts > timedelta(seconds=self.terms.max_age_seconds)
        return None if too_old else _Price(number, Decimal(row["price_usdt"]))

    def notional(self) -> tuple[Decimal, str] | None:
        """The volume traded and its currency; None where the instrument does not say."""
        size, price = Decimal(self.fill["size"]), Decimal(self.fill["price"])
        kind = self.fill["instrument_type"]
        if kind in {"SPOT", "MARGIN"}:
            quote = self.quote_currency()
            return (size * price, quote) if quote else None
        instrument = self.instrument(kind)
        if instrument is None:
            return None
        face = size * Decimal(instrument["contract_value"]) * Decimal(instrument["contract_multiplier"])
        if kind == "OPTION":
            return face, instrument["contract_value_currency"]
        if kind != "EVENTS" and instrument["contract_type"] == "inverse":
            return face, "USD"
        return face * price, instrument["settle_currency"]

    def quote_currency(self) -> str | None:
        """From the instrument, else the part of the id after the hyphen. A pair is the same pair on margin."""
        kinds = [self.fill["instrument_type"], *({"SPOT", "MARGIN"} - {self.fill["instrument_type"]})]
        loaded = [row["quote_currency"] for kind in kinds if (row := self.instrument(kind))]
        parts = self.fill["instrument"].split("-")
        from_id = parts[1] if len(parts) == 2 and all(parts) else None
        return (loaded[0] if loaded else None) or from_id

    def instrument(self, kind: str) -> Row | None:
        key = {"venue": self.fill["venue"], "instrument": self.fill["instrument"]}
        return self.in_force(self.world.instruments, instrument_type=kind, **key)

    # Rating and split

    def tier(self) -> str:
        """Of the root: an override in force, else the latest review, else terms.entry_tier."""
        root = self.upwards[-1][0]
        override = self.in_force(self.world.tiers, broker_id=root)
        review = self.in_force(self.world.reviews, broker_id=root)
        return (override or review or {"tier": self.terms.entry_tier})["tier"]

    def rate(self) -> Decimal:
        affiliated = (self.link or {}).get("affiliated") == "true"
        [rates] = [tier.rates for tier in self.terms.tiers if tier.name == self.tier()]
        own, floor = self.override("rate"), self.override("floor")
        return (
            own
            if own is not None
            else max(rates[self.product, self.fill["liquidity"], affiliated], floor or Decimal(0))
        )

    def override(self, kind: str) -> Decimal | None:
        """Of the root: the one in force for its product and liquidity, else its product, else its liquidity, else all."""
        product, liquidity = self.product, self.fill["liquidity"]
        for scope in ((product, liquidity), (product, "all"), ("all", liquidity), ("all", "all")):
            of_scope = {"broker_id": self.upwards[-1][0], "kind": kind, "product": scope[0], "liquidity": scope[1]}
            if row := self.in_force(self.world.overrides, **of_scope):
                return Decimal(row["value"])
        return None

    def shares(self, commission: Decimal) -> dict[str, Decimal]:
        """A child receives floor12(amount its parent received x its share), the parent keeps the rest."""
        steps = [(broker_id, row.get("share")) for broker_id, row in reversed(self.upwards)]
        own_link = self.link is not None and self.link["broker_id"] == self.broker_id
        if own_link and self.link.get("rebate_share"):
            steps.append((f"client:{self.fill['venue']}:{self.fill['account']}", self.link["rebate_share"]))
        root = steps[0][0]
        amounts = {root: commission}
        for (parent, _), (child, share) in pairwise(steps):
            amounts[child] = _floor(amounts[parent] * Decimal(share))
            amounts[parent] -= amounts[child]
        return {payee: amount for payee, amount in amounts.items() if amount}


@dataclass(frozen=True)
class _Price:
    number: int | None
    usdt: Decimal


def _half_even(amount: Decimal) -> Decimal:
    return amount.quantize(TWELVE_DECIMALS, rounding=ROUND_HALF_EVEN)


def _floor(amount: Decimal) -> Decimal:
    return amount.quantize(TWELVE_DECIMALS, rounding=ROUND_FLOOR)
