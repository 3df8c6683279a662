"""The program of a world, drawn: who the brokers and their clients are, the terms, contract values and prices.

Some facts are missing at first, so that lines stay pending; some are wrong at first, and corrected later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from tests.simulation.acts import FIRST_WINDOW, HOUR, Load

LONG_AGO = "2026-01-01T00:00:00Z"
SHARES = ("0.4", "0.333333333333333333", "0.07", "0.999", "1")
REBATES = ("", "", "0.1", "0.123456789")
LEVELS = ("Lv1", "Lv4", "vip 2", "VIP3", "3", "VIP4", "VIP5", "VIP6")
ACCOUNTS = tuple(str(number) for number in range(1001, 1009))
UNLINKED = ACCOUNTS[-1]
# Where there is a cap, most fills are theirs.
BUSY = ACCOUNTS[3:5]
# What is not known at first.
LATE_LEVELS, LATE_INSTRUMENT, LATE_CURRENCY = ACCOUNTS[:2], "ETH-USDT-SWAP", "DOGE"

HEADERS = {
    "brokers": "broker_id,name,model,parent_id,share,status,effective_from,effective_to,own_accounts,payout_rail,payout_address",
    "codes": "code,broker_id,effective_from,effective_to",
    "clients": "venue,account,broker_id,effective_from,effective_to,referral_code,affiliated,account_class,rebate_share",
    "vip_levels": "venue,account,level,effective_from",
    "fee_rates": "venue,account,product,liquidity,rate,effective_from",
    "tiers": "broker_id,tier,effective_from,effective_to,reason",
}
TERMS = """
name = "{name}"
effective_from = {since}
entry_tier = "T1"
[eligibility]
max_vip = 5
excluded_account_classes = ["msa"]
fee_discount = "{fee_discount}"
[pricing]
max_age_seconds = 3600
[review]
volume_window = "rolling_30d"
acquisition = "active_clients"
groups = "all"
{cap}[payout]
minimum = "{minimum}"
quantum = "{quantum}"
auto_approve_limit = "{limit}"
hold_hours = {hold_hours}
[[tiers]]
name = "T1"
min_volume = "0"
min_clients = 0
rates = {{ spot = "{rates[0]}", futures = {{ maker = "{rates[1]}", taker = "{rates[2]}" }} }}
[[tiers]]
name = "T2"
min_volume = "1000"
min_clients = 1
rates = {{ spot = "{rates[3]}", futures = {{ maker = "{rates[4]}", taker = "{rates[5]}", affiliated_taker = "0.05" }} }}
"""
CAP = """[cap]
monthly_usdt = "{amount}"
vip_levels = {levels}
"""


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC, to the microsecond."""
    return moment.isoformat().replace("+00:00", "Z")


@dataclass(kw_only=True)
class Program:
    """Draws the facts of one world; `windows` are its hours."""

    random: Random
    windows: Sequence[datetime]

    def __post_init__(self) -> None:
        self.roots = ("alpha", "beta", "gamma")[: self.random.choice((2, 2, 3))]
        self.parents = dict.fromkeys(self.roots, "")
        for root in self.roots:
            self.parents[f"{root}-1"] = root
            if self.random.random() < 0.4:
                self.parents[f"{root}-2"] = self.random.choice((root, f"{root}-1"))
        self.codes = {f"{name.replace('-', '')}TAG": name for name in self.parents if self.random.random() < 0.7}
        self.links = {account: self.random.choice(list(self.parents)) for account in ACCOUNTS if account != UNLINKED}
        self.moves = self.random.random() < 0.3
        self.capped = self.random.random() < 0.5

    def trader(self) -> str:
        """The account of a fill."""
        return self.random.choice((*ACCOUNTS, *BUSY * 6) if self.capped else ACCOUNTS)

    def moment(self) -> datetime:
        """An instant of the world's hours, often one at which something else happens too."""
        window = self.random.choice(self.windows)
        return window + timedelta(
            minutes=self.random.choice((0, 10, 30, 30, 59)), seconds=self.random.choice((0, 0, 17))
        )

    def registry(self) -> Load:
        """The registry as it is loaded first."""
        return registry(
            brokers=[*self._brokers(), *self._moved()],
            codes=[f"{code},{name},{LONG_AGO}," for code, name in self.codes.items()],
            clients=[self.link(account) for account in self.links],
            vip_levels=[self.level(account) for account in ACCOUNTS if account not in LATE_LEVELS],
            fee_rates=[f"okx,{account},spot,taker,-0.001,{LONG_AGO}" for account in ACCOUNTS[:2]],
            tiers=[f"{self.roots[0]},T2,{stamp(self.moment())},,a good month"],
        )

    def broker(self, name: str, *, since: str = LONG_AGO, parent: str | None = None, status: str = "active") -> str:
        """A row of brokers.csv."""
        above = self.parents[name] if parent is None else parent
        share = self.random.choice(SHARES) if above else ""
        own = f"okx:{ACCOUNTS[2]}" if name == self.roots[0] else ""
        return f"{name},{name.title()},api,{above},{share},{status},{since},,{own},okx,uid {len(name)}"

    def link(self, account: str, *, since: str = LONG_AGO, anew: bool = False) -> str:
        """A row of clients.csv; `anew`: of a broker drawn anew."""
        broker = self.random.choice(list(self.parents)) if anew else self.links[account]
        rebate, kind = self.random.choice(REBATES), self.random.choice(("",) * 11 + ("msa",))
        affiliated = self.random.choice(("true", "false"))
        return f"okx,{account},{broker},{since},,,{affiliated},{kind},{rebate}"

    def level(self, account: str, *, since: str = LONG_AGO) -> str:
        """A row of vip_levels.csv."""
        return f"okx,{account},{self.random.choice(LEVELS)},{since}"

    def terms(self, name: str, *, since: str, minimum: str | None = None) -> Load:
        """A version of the terms; without `minimum` its payout policy is drawn too."""
        rates = [f"0.{self.random.randint(10_000, 600_000):06}" for _ in range(6)]
        quantum = self.random.choice(("0.01", "0.000001"))
        document = TERMS.format(
            name=name,
            since=since,
            fee_discount=self.random.choice(("exclude", "net")),
            minimum=minimum or self.random.choice(("0", "0.5", "3")),
            quantum=quantum,
            limit=self.random.choice(("1", "1000")),
            hold_hours=0 if minimum else self.random.choice((0, 0, 0, 24)),
            rates=rates,
            cap=self.cap() if self.capped else "",
        )
        return Load(what="terms", files={f"{name}.toml": document})

    def cap(self) -> str:
        """What a client of some levels may earn in a month: part of a line, or a few of them."""
        amount, levels = self.random.choice(("0.01", "1", "20")), self.random.choice(([4, 5], [*range(6)], [*range(6)]))
        return CAP.format(amount=amount, levels=levels)

    def instruments(self) -> Load:
        """Every instrument that is known at first."""
        return Load(
            what="instruments",
            files={
                "instruments.json": envelope(swap("BTC-USDT-SWAP", "linear"), swap("BTC-USD-SWAP", "inverse"), SPOT)
            },
        )

    def prices(self, *currencies: str, missing: bool = False) -> Load:
        """What the currencies were worth, from before the first window on."""
        every = timedelta(minutes=self.random.choice((20, 45)))
        last = self.windows[-1] + HOUR
        moments = [FIRST_WINDOW - every]
        while moments[-1] + every < last:
            moments.append(moments[-1] + every)
        rows = [self.price(currency, moment) for currency in currencies for moment in moments]
        return prices(rows, name=f"prices-{'-'.join(currencies)}.csv", missing=missing)

    def price(self, currency: str, moment: datetime) -> str:
        """A row of a file of prices."""
        worth = Decimal(self.random.randint(10**6, 10**9)).scaleb(-5 if currency == "BTC" else -7)
        return f"{currency},{stamp(moment)},{worth:f},index"

    def _brokers(self) -> list[str]:
        return [self.broker(name) for name in self.parents]

    def _moved(self) -> list[str]:
        """A sub-broker that goes to another tree, in the middle of an hour or at its beginning."""
        if not self.moves:
            return []
        parent = self.roots[1]
        return [self.broker(f"{self.roots[0]}-1", since=stamp(self.moment()), parent=parent)]


SPOT = {
    "instId": "BTC-USDT",
    "instType": "SPOT",
    "ctType": "",
    "ctVal": "",
    "ctMult": "",
    "ctValCcy": "",
    "settleCcy": "",
    "baseCcy": "BTC",
    "quoteCcy": "USDT",
}


def swap(name: str, kind: str) -> Mapping[str, str]:
    """A perpetual contract as OKX describes it."""
    base, quote, _ = name.split("-")
    of_contract = ("0.01", base, quote) if kind == "linear" else ("100", "USD", base)
    value, currency, settled = of_contract
    contract = {"instId": name, "instType": "SWAP", "ctType": kind, "ctVal": value, "ctMult": "1"}
    return {**contract, "ctValCcy": currency, "settleCcy": settled, "baseCcy": "", "quoteCcy": ""}


def envelope(*instruments: Mapping[str, str]) -> str:
    """OKX's answer to public/instruments."""
    return json.dumps({"code": "0", "msg": "", "data": instruments})


def registry(*, correction: str | None = None, missing: bool = False, **files: Sequence[str]) -> Load:
    """Registry files of these rows; those without rows are left out."""
    written = {f"{name}.csv": "\n".join([HEADERS[name], *rows]) + "\n" for name, rows in files.items() if rows}
    return Load(what="registry", files=written, correction=correction, missing=missing)


def prices(rows: Sequence[str], *, name: str, correction: str | None = None, missing: bool = False) -> Load:
    """A file of prices."""
    content = "\n".join(["currency,ts,price_usdt,source", *rows]) + "\n"
    return Load(what="prices", files={name: content}, correction=correction, missing=missing)
