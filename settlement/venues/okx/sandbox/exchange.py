"""The exchange itself: accounts, market, clock, limits, faults and funds; what the handlers work on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from settlement.sample.program import brokers
from settlement.sample.world import ACCOUNTS, SEED, population_of
from settlement.venues.okx.sandbox.accounts import BROKER_ACCOUNT, Account, Accounts, make_account
from settlement.venues.okx.sandbox.faults import Faults, Planned
from settlement.venues.okx.sandbox.funds import Funds
from settlement.venues.okx.sandbox.lateness import Lateness
from settlement.venues.okx.sandbox.limits import RateLimits
from settlement.venues.okx.sandbox.market import SeededMarket
from settlement.venues.okx.sandbox.prices import DECIMALS, Index
from settlement.venues.okx.sandbox.replay import Recording, read_recording
from settlement.venues.okx.sandbox.shelf import Shelf
from settlement.venues.okx.sandbox.tokens import Tokens

if TYPE_CHECKING:
    from settlement.sample.draws import Integers
    from settlement.sample.program import Population
    from settlement.venues.okx.sandbox.rebate_file import Ordered

# With faults on, some rows are hidden from a first reading and some are recorded late.
FAULTY_HIDDEN_PER_MILLE: Final = 20
FAULTY_LATE_PER_MILLE: Final = 10
OKX_FEED: Final = 2
PRICES_KEPT: Final = 200_000


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `settlement sandbox` is told."""

    seed: int | None = None
    replay: tuple[Path, ...] = ()
    account: str | None = None
    instrument: str | None = None
    tag: str = ""
    accounts: int | None = None
    fills_per_hour: int = 1_000
    fault_rate: float = 0.0
    fault_seed: int = 1
    script: tuple[Planned, ...] = ()
    late_per_mille: int | None = None
    hidden_per_mille: int | None = None
    oauth: tuple[str, ...] = ()
    token_seconds: int = 3600
    file_seconds: float = 2.0
    link_seconds: float = 7200.0

    @property
    def has_market(self) -> bool:
        """There is a market unless only recorded rows are asked for."""
        return self.seed is not None or not self.replay or self.accounts is not None


class Exchange:
    """Everything that one sandbox holds. `base_url` is set once it listens."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.seed = SEED if options.seed is None else options.seed
        self.base_url = ""
        self.offset_ms = 0
        self.index = Index(self.seed)
        self.limits = RateLimits()
        self.faults = Faults(rate=options.fault_rate, seed=options.fault_seed, script=list(options.script))
        faulty = options.fault_rate > 0
        self.lateness = Lateness(
            hidden_per_mille=_share(options.hidden_per_mille, FAULTY_HIDDEN_PER_MILLE if faulty else 0)
        )
        self.recording = _recording(options)
        market, clients = _market(options, self.seed, _share(options.late_per_mille, FAULTY_LATE_PER_MILLE * faulty))
        recorded = self.recording.accounts if self.recording else []
        known = {account.uid for account in clients}
        named = [options.account] if options.account else []
        # Who was recorded comes first: those are the accounts that were asked for.
        extra = [make_account(uid, seed=self.seed) for uid in dict.fromkeys([*named, *recorded]) if uid not in known]
        broker = make_account(BROKER_ACCOUNT, seed=self.seed, role="broker", perm="read_only,trade,withdraw")
        self.accounts = Accounts([*extra, *clients, broker])
        self.accounts.add_oauth(options.oauth)
        self.tokens = Tokens(seed=self.seed, seconds=options.token_seconds, now_ms=self.now_ms)
        self.shelf = Shelf(
            market=market,
            replay=self.recording.block if self.recording else None,
            lateness=self.lateness,
            now_ms=self.now_ms,
        )
        self.funds = Funds(self.now_ms)
        self.files: dict[tuple[datetime, datetime], Ordered] = {}
        self.credited_hour = 0
        self._prices: dict[tuple[str, int], Decimal] = {}
        self.requests: Counter[str] = Counter()
        self.fills_served = 0

    def now_ms(self) -> int:
        """The exchange's clock, which may be set apart from the machine's."""
        return time.time_ns() // 1_000_000 + self.offset_ms

    def price(self, currency: str, minute: int) -> Decimal:
        """The index of a currency in USDT at a minute (since 1970)."""
        key = (currency, minute)
        if key not in self._prices:
            if len(self._prices) > PRICES_KEPT:
                self._prices.clear()
            scaled = int(self.index.walk(currency, np.asarray([minute], dtype=np.int64))[0])
            self._prices[key] = Decimal(scaled).scaleb(-DECIMALS[currency])
        return self._prices[key]

    def ready_line(self) -> dict[str, Any]:
        """What is printed when the sandbox is ready: where it listens, and every account's credentials."""
        clients = [self._credentials(account) for account in self.accounts.clients()]
        line: dict[str, Any] = {"base_url": self.base_url}
        if len(clients) == 1:
            line |= clients[0]
        return {**line, "accounts": clients, "broker": {**self._credentials(self.accounts.broker), "role": "broker"}}

    def _credentials(self, account: Account) -> dict[str, Any]:
        if account.oauth:
            return self.tokens.credentials(account.uid, self.base_url)
        return account.credentials(self.base_url)


def _share(asked: int | None, usual: int) -> int:
    return usual if asked is None else asked


def _recording(options: Options) -> Recording | None:
    if not options.replay:
        return None
    return read_recording(options.replay, account=options.account, instrument=options.instrument, tag=options.tag)


def _market(options: Options, seed: int, late_per_mille: int) -> tuple[SeededMarket | None, Sequence[Account]]:
    if not options.has_market:
        return None, ()
    population, served = _traders(options, seed)
    market = SeededMarket(
        seed=seed,
        population=population,
        served=served,
        fills_per_hour=options.fills_per_hour,
        late_per_mille=late_per_mille,
    )
    return market, [_client(population, number, seed=seed) for number in served.tolist()]


def _traders(options: Options, seed: int) -> tuple[Population, Integers]:
    """Who trades: the sample's OKX accounts, as many as are asked for, or the one account that is named."""
    population = population_of(seed, accounts=options.accounts or ACCOUNTS)
    everybody = np.arange(len(population.accounts))
    if options.account and not options.replay:
        if options.account in population.accounts:
            return population, everybody[population.accounts.index(options.account) :][:1]
        return replace(population_of(seed, accounts=1), accounts=[options.account]), everybody[:1]
    return population, everybody if options.accounts else everybody[everybody % 3 == OKX_FEED]


def _client(population: Population, number: int, *, seed: int) -> Account:
    kind = population.kinds[population.kind[number]]
    return make_account(
        population.accounts[number],
        seed=seed,
        vip=int(population.vip[number]),
        tag=brokers()[population.home[number]].code,
        affiliated=kind == "affiliated",
        msa=kind == "msa",
    )
