"""A program drawn from a seed, full of edges: facts that begin and end on the very instant of a fill, ties in rounding,
missing rows in the middle of a tree, instruments and prices that come too late."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import psycopg

from tests.store.small_world import HOUR, START
from tests.store.worked_example import insert, load_fills, new_load

BROKERS = ["r1", "r2", "a", "b", "c", "d"]
CODES = ["codeR1", "codeA", "CODEA", "codeC", "codeD"]
ACCOUNTS = [str(number) for number in range(1, 9)]
CURRENCIES = ["BTC", "USDC", "USD", "DOGE"]
INSTRUMENTS = {
    "SPOT": ["BTC-USDT", "BTC-USDC", "DOGE-BTC", "ODD", "A-B-C"],
    "MARGIN": ["BTC-USDT", "DOGE-BTC", "ODD"],
    "SWAP": ["BTC-USDT-SWAP", "BTC-USD-SWAP", "X-SWAP"],
    "FUTURES": ["BTC-USD-261225"],
    "OPTION": ["BTC-USD-261225-C"],
    "EVENTS": ["RAIN"],
}
TIERS = ["T1", "T1", "T2", "T2", "T2", "T9"]
SCOPES = [
    ("all", "all"),
    ("spot", "all"),
    ("all", "maker"),
    ("futures", "taker"),
    ("futures", "all"),
    ("spot", "maker"),
]
TERMS = """
name = "{name}"
effective_from = {effective_from}
entry_tier = "T1"
[eligibility]
max_vip = {max_vip}
excluded_account_classes = ["msa", "desk"]
fee_discount = "{fee_discount}"
[pricing]
max_age_seconds = {max_age}
[review]
volume_window = "rolling_30d"
acquisition = "new_clients"
groups = "all"
[payout]
minimum = "1"
quantum = "0.01"
auto_approve_limit = "100"
hold_hours = 0
[[tiers]]
name = "T1"
min_volume = "0"
min_clients = 0
rates = {{ spot = "0.25", futures = {{ maker = "0.125", taker = "0.5", affiliated_maker = "0.05" }}{events} }}
[[tiers]]
name = "T2"
min_volume = "1000"
min_clients = 1
rates = {{ spot = "0.333333", futures = {{ maker = "0.2", taker = "0.3", affiliated_taker = "0" }}{events} }}
"""


class RandomWorld:
    """Draws everything from one seed; the same seed is the same world."""

    def __init__(self, connection: psycopg.Connection, seed: int) -> None:
        self.connection, self.random = connection, Random(seed)  # noqa: S311 - a drawing, not a secret
        # Few instants, so that facts and fills fall on the same ones.
        self.instants = [HOUR + timedelta(minutes=minute) for minute in (0, 7, 20, 33, 59)]
        self.load_id = new_load(connection, "registry")

    def load(self, *, fills: int) -> None:
        self.brokers()
        self.keyed("broker_code", [{"code": code} for code in CODES], self.to_broker)
        self.keyed("client_link", [{"venue": "okx", "account": account} for account in ACCOUNTS[:7]], self.link)
        self.keyed("vip_level", [{"venue": "okx", "account": account} for account in ACCOUNTS[1:]], self.level)
        self.keyed("tier_override", [{"broker_id": name} for name in ("r1", "a")], lambda: {"tier": self.pick(TIERS)})
        self.overrides()
        self.fee_rates()
        self.terms()
        self.instruments()
        self.prices()
        load_fills(self.connection, [self.fill(number) for number in range(fills)])

    def pick(self, choices: Any) -> Any:
        return self.random.choice(choices)

    def starts(self) -> list[datetime]:
        """When the rows of one key begin: mostly long ago, then at some of the instants."""
        later = self.random.sample(self.instants, self.random.choice([0, 0, 1, 2]))
        return sorted(set(later) | ({START} if self.random.random() < 0.92 else set()))

    def end(self, start: datetime) -> datetime | None:
        after = [instant for instant in self.instants if instant > start]
        return self.pick(after) if after and self.random.random() < 0.25 else None

    def keyed(self, table: str, keys: list[dict[str, Any]], content: Any, *, ends: bool = True) -> None:
        rows = [
            key | {"effective_from": start, "load_id": self.load_id} | content()
            | ({"effective_to": self.end(start)} if ends and table != "vip_level" else {})
            for key in keys
            for start in self.starts()
        ]  # fmt: skip
        if rows:
            insert(self.connection, table, rows)

    def brokers(self) -> None:
        for name, parents in zip(BROKERS, ([None], [None], ["r1"], ["r1", "r2"], ["a"], ["c", "b"]), strict=True):
            self.keyed("broker", [{"broker_id": name}], lambda parents=parents: self.broker(self.pick(parents)))

    def broker(self, parent: str | None) -> dict[str, Any]:
        share = None if parent is None else Decimal(self.pick(["0", "0.5", "0.333333", "1"]))
        status = self.pick(["active"] * 25 + ["suspended"])
        own = [f"okx:{self.pick(ACCOUNTS)}"] if self.random.random() < 0.04 else []
        return {"name": "n", "model": "api", "parent_id": parent, "share": share, "status": status, "own_accounts": own}

    def to_broker(self) -> dict[str, Any]:
        return {"broker_id": self.pick([*BROKERS * 3, "nobody"])}

    def link(self) -> dict[str, Any]:
        rebate = self.pick([None, None, Decimal("0.1"), Decimal(0), Decimal(1)])
        account_class = self.pick([None, None, None, None, None, "msa", "retail"])
        return self.to_broker() | {
            "affiliated": self.pick([True, False]),
            "account_class": account_class,
            "rebate_share": rebate,
        }

    def level(self) -> dict[str, Any]:
        return {"level": self.pick([0, 1, 3, 3, 5, 5, 6])}

    def overrides(self) -> None:
        keys = [
            {"broker_id": root, "kind": kind, "product": product, "liquidity": liquidity}
            for root in ("r1", "r2", "a")
            for kind in ("rate", "floor")
            for product, liquidity in self.random.sample(SCOPES, self.pick([0, 3, 6]))
        ]
        self.keyed("broker_override", keys, lambda: {"value": Decimal(self.pick(["0", "0.25", "0.333334", "0.9"]))})

    def fee_rates(self) -> None:
        keys = [
            {"venue": "okx", "account": account, "product": "spot", "liquidity": liquidity}
            for account in ACCOUNTS[:3]
            for liquidity in ("maker", "taker")
        ]
        self.keyed("fee_rate", keys, lambda: {"rate": Decimal(self.pick(["-0.001", "-0.0008"]))}, ends=False)

    def terms(self) -> None:
        load_id = new_load(self.connection, "terms")
        for number, start in enumerate(self.starts() or [HOUR]):
            document = TERMS.format(
                name=f"v{number}",
                effective_from=start.isoformat(),
                max_vip=self.pick([3, 5]),
                fee_discount=self.pick(["exclude", "net"]),
                max_age=self.pick([600, 3600]),
                events=self.pick(["", ', events = "0.1"']),
            )
            row = {"name": f"v{number}", "effective_from": start, "document": document, "load_id": load_id}
            insert(self.connection, "program_terms", [row])

    def instruments(self) -> None:
        contract = {"contract_value": Decimal("0.01"), "contract_multiplier": 1}
        known: list[dict[str, Any]] = [
            {"instrument": "BTC-USDC", "instrument_type": "SPOT", "quote_currency": "USDC"},
            {"instrument": "ODD", "instrument_type": "MARGIN", "quote_currency": "DOGE"},
            {"instrument": "BTC-USDT-SWAP", "instrument_type": "SWAP", "contract_type": "linear", "settle_currency": "USDT"},
            {"instrument": "BTC-USD-SWAP", "instrument_type": "SWAP", "contract_type": "inverse", "settle_currency": "BTC"},
            {"instrument": "BTC-USD-261225", "instrument_type": "FUTURES", "contract_type": "inverse", "settle_currency": "BTC"},
            {"instrument": "BTC-USD-261225-C", "instrument_type": "OPTION", "contract_value_currency": "BTC"},
            {"instrument": "RAIN", "instrument_type": "EVENTS", "settle_currency": "USDT"},
        ]  # fmt: skip
        for row in known:
            pair = row["instrument_type"] in {"SPOT", "MARGIN"}
            self.keyed("instrument", [row | {"venue": "okx"}], lambda pair=pair: {} if pair else contract, ends=False)

    def prices(self) -> None:
        load_id = new_load(self.connection, "prices")
        moments = [HOUR - timedelta(minutes=minutes) for minutes in (60, 10, 3)] + self.instants
        rows = [
            {
                "currency": currency,
                "ts": ts,
                "price_usdt": Decimal(self.random.randint(1, 10**9)).scaleb(-5),
                "load_id": load_id,
            }
            for currency in CURRENCIES
            for ts in self.random.sample(moments, self.random.randint(3, 8))
        ]
        insert(self.connection, "price", rows)

    def fill(self, number: int) -> dict[str, str]:
        kind = self.pick(["SPOT", "SPOT", "SPOT", "MARGIN", "SWAP", "SWAP", "FUTURES", "OPTION", "EVENTS"])
        moment = self.pick(self.instants) + timedelta(microseconds=self.pick([0, 0, 1, 1000]))
        return {
            "venue": "okx",
            "account": self.pick(ACCOUNTS),
            "bill_id": str(number),
            "instrument": self.pick(INSTRUMENTS[kind]),
            "instrument_type": kind,
            "side": "buy",
            "liquidity": self.pick(["maker", "taker"]),
            "price": self.pick(["1", "0.5", "60000.5", "0.000000000000000001"]),
            "size": self.pick(["1", "0.000000000001", "0.000000000003", "7.25"]),
            # Half of the last ledger digit, so that rounding ties happen.
            "fee": self.pick(
                [
                    "-1",
                    "-0.5",
                    "-0.0000000000005",
                    "-0.0000000000015",
                    "-12.3456789",
                    "-3",
                    "-2.5",
                    "-1e-18",
                    "0",
                    "0.2",
                ]
            ),
            "fee_currency": self.pick(["USDT", "USDT", *CURRENCIES, "NONE"]),
            "tag": self.pick(["", "", *CODES, "codea", "unknown"]),
            "fee_rate": self.pick(["", "", "-0.001", "-0.0009", "-0.0005"]),
            "fee_rebate": self.pick(["", "", "", "", "0", "0.25"]),
            "fee_discount": self.pick(["", "", "", "", "", "OKB"]),
            "channel": self.pick(["api"] * 9 + ["unknown", "", "web", "app"]),
            "sub_type": self.pick(["", "1"] * 15 + ["100", "129", "213", "329", "x"]),
            "executed_at": moment.isoformat(),
        }
