"""Worlds, drawn from a seed: a program, two or three hours of fills, and what its users do, in their order.

1. First the facts and the first fills, then the workers settle.
2. Then, in an order that is drawn: late, repeated, contradicting and broken rows; facts that were missing; changes to the
   past, refused or as corrections, and recalculations of them; settling by hand; payouts on schedule.
3. At last everything that is due is settled and paid.

Ids of fills grow with their number, not with their time, and amounts have as many digits as the ledger and more, so that
every rounding shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from tests.simulation import program
from tests.simulation.acts import (
    FIRST_WINDOW,
    HOUR,
    Act,
    FillRow,
    Ingest,
    Load,
    PayOnSchedule,
    Pull,
    Recalculate,
    ReviewTiers,
    SettleByHand,
    SettleDue,
    Step,
    World,
)
from tests.simulation.program import LATE_CURRENCY, LATE_INSTRUMENT, LATE_LEVELS, LONG_AGO, Program, stamp

FIRST_FILLS = (14, 26)
LATE_FILLS = (2, 7)
TURNS = (3, 6)
# Most plans are applied; some are given up, and some are forgotten.
PLANS: Sequence[Sequence[Step]] = (*(("request", "approve", "apply"),) * 3, ("request", "cancel"), ("request",))
TERMS_OF_NOW = "2026-06-01T00:00:00Z"

# instrument, type, currencies that a fee may be charged in
INSTRUMENTS = (
    ("BTC-USDT", "SPOT", ("USDT", "USDT", "BTC")),
    ("BTC-USDT", "MARGIN", ("USDT",)),
    ("BTC-USDT-SWAP", "SWAP", ("USDT",)),
    ("BTC-USD-SWAP", "SWAP", ("BTC",)),
    (LATE_INSTRUMENT, "SWAP", ("USDT",)),
    (f"{LATE_CURRENCY}-USDT", "SPOT", ("USDT", LATE_CURRENCY)),
)


def draw_world(seed: int, *, from_exchange: bool = False) -> World:
    """The world of a seed; `from_exchange`: its first fills are pulled over HTTP instead of taken from a file."""
    return _Story(Random(seed), from_exchange=from_exchange).told()  # noqa: S311 - a drawing, not a secret


@dataclass(kw_only=True)
class _Fills:
    """Draws rows of fills, and remembers them."""

    random: Random
    program: Program
    drawn: list[FillRow] = field(default_factory=list)

    def row(self) -> FillRow:
        instrument, kind, currencies = self.random.choice(INSTRUMENTS)
        number = len(self.drawn) + 1
        row = {
            "venue": "okx",
            "account": self.program.trader(),
            "bill_id": str(2_600_000_000_000_000 + number),
            "trade_id": str(number),
            "order_id": str(7_000_000 + number // 2),
            "instrument": instrument,
            "instrument_type": kind,
            "side": self.random.choice(("buy", "sell")),
            "liquidity": self.random.choice(("taker", "taker", "maker")),
            "price": f"{Decimal(self.random.randint(10**6, 10**8)).scaleb(-3):f}",
            "size": self.random.choice(("1", "7", "0.25", "0.000000013")),
            "fee": self.fee(),
            "fee_currency": self.random.choice(currencies),
            "tag": self.random.choice(("", "", "", *self.program.codes, "someoneELSE")),
            "executed_at": stamp(self.instant()),
            "channel": self.random.choice(("api",) * 10 + ("web", "")),
            "fee_rebate": self.random.choice(("",) * 9 + ("0.01",)),
            "sub_type": self.random.choice(("1",) * 15 + ("101",)),
        }
        self.drawn.append(row)
        return row

    def fee(self) -> str:
        """Mostly charged, with up to 15 decimals."""
        charged = Decimal(self.random.randint(1, 10**15)).scaleb(-self.random.choice((12, 13, 15)))
        return self.random.choice((f"{-charged:f}",) * 9 + ("0.1",))

    def instant(self) -> datetime:
        window = self.random.choice(self.program.windows)
        edges = (timedelta(0), timedelta(minutes=30), HOUR - timedelta(milliseconds=1))
        within = timedelta(milliseconds=self.random.randrange(3_600_000))
        return window + self.random.choice((*edges, within, within, within))

    def rows(self, bounds: tuple[int, int]) -> tuple[FillRow, ...]:
        return tuple(self.row() for _ in range(self.random.randint(*bounds)))

    def seen(self) -> FillRow:
        """A row that was drawn before."""
        return self.random.choice(self.drawn)


class _Story:
    """Draws one world."""

    def __init__(self, random: Random, *, from_exchange: bool) -> None:
        self.random, self.from_exchange = random, from_exchange
        self.windows = tuple(FIRST_WINDOW + number * HOUR for number in range(random.choice((2, 2, 3))))
        self.program = Program(random=random, windows=self.windows)
        self.fills = _Fills(random=random, program=self.program)
        self.acts: list[Act] = []
        self.corrections = 0

    def told(self) -> World:
        self._begin()
        self.acts.append(SettleDue())
        first = [self._missing_facts, self._refused_change, self._late_fills]
        (self._move if self.program.moves else self.random.choice(first))()
        for _ in range(self.random.randint(*TURNS)):
            self.random.choice(self._turns())()
        self.acts += [SettleDue(), PayOnSchedule()]
        return World(acts=tuple(self.acts), windows=self.windows, entangled=self.program.moves)

    def _begin(self) -> None:
        facts: list[Act] = [
            self.program.registry(),
            self.program.terms("v1", since=LONG_AGO),
            self.program.instruments(),
            self.program.prices("BTC"),
        ]
        if self.random.random() < 0.7:
            facts.append(self.program.terms("v2", since=stamp(self.program.moment())))
        self.random.shuffle(facts)
        self.acts += [*facts, self.program.terms("now", since=TERMS_OF_NOW, minimum="0.000001")]
        rows = self.fills.rows(FIRST_FILLS)
        if self.from_exchange:
            self.acts.append(Pull(start=self.windows[0], end=self.windows[-1] + HOUR, rows=rows))
        else:
            self.acts.append(Ingest(file="fills-1.csv", rows=rows))

    def _turns(self) -> Sequence[Callable[[], None]]:
        return (
            self._late_fills,
            self._late_fills,
            self._missing_facts,
            self._missing_facts,
            self._refused_change,
            self._correction,
            self._recalculation,
            self._recalculation,
            self._recalculation,
            self._by_hand,
            lambda: self.acts.append(ReviewTiers(self.random.random() < 0.7)),
            lambda: self.acts.append(PayOnSchedule()),
            lambda: self.acts.append(SettleDue()),
        )

    def _late_fills(self) -> None:
        """New fills, rows that are known, one that contradicts, and one that is broken."""
        known = [self.fills.seen() for _ in range(self.random.randint(0, 3))]
        rows = [*self.fills.rows(LATE_FILLS), *known]
        if self.random.random() < 0.3:
            rows.append({**self.fills.seen(), "fee": "-123.456"})
        if self.random.random() < 0.2:
            rows.append({**self.fills.row(), "side": "hold"})
        self.random.shuffle(rows)
        self.acts.append(Ingest(file=f"fills-{len(self.acts)}.csv", rows=tuple(rows), late=True))
        self._perhaps_settle()

    def _missing_facts(self) -> None:
        missing = (
            program.registry(missing=True, vip_levels=[self.program.level(account) for account in LATE_LEVELS]),
            self.program.prices(LATE_CURRENCY, missing=True),
            Load(
                what="instruments",
                files={"late.json": program.envelope(program.swap(LATE_INSTRUMENT, "linear"))},
                missing=True,
            ),
        )
        # Loaded once: whoever comes with another level or price the second time changes the past.
        waiting = [load for load in missing if not any(self._is_loaded(load, act) for act in self.acts)]
        if waiting:
            self.acts.append(self.random.choice(waiting))
            self._perhaps_settle()

    @staticmethod
    def _is_loaded(load: Load, act: Act) -> bool:
        return isinstance(act, Load) and act.missing and act.files.keys() == load.files.keys()

    def _move(self) -> None:
        """Levels that were missing come in, and the clients that they are of change trees while their lines are looked at."""
        levels = [self.program.level(account) for account in LATE_LEVELS]
        clients = [self.program.link(account, anew=True) for account in LATE_LEVELS]
        self.acts += [
            program.registry(missing=True, vip_levels=levels),
            SettleDue(),
            program.registry(clients=clients),
            SettleDue(),
        ]

    def _refused_change(self) -> None:
        """Refused if it changes what a settled line stands on; else it is simply a change."""
        self.acts.append(self._change(None))
        self._perhaps_settle()

    def _correction(self) -> None:
        self.corrections += 1
        self.acts.append(self._change(f"correction {self.corrections}"))
        self._perhaps_settle()

    def _change(self, correction: str | None) -> Load:
        """Of several rows, so that most changes meet some line."""
        below = [name for name, parent in self.program.parents.items() if parent]
        linked = [account for account in self.program.links if account not in LATE_LEVELS]
        accounts = self.random.sample(linked, 3)
        moving = self.random.choice((accounts, LATE_LEVELS, LATE_LEVELS[:1], LATE_LEVELS[1:]))
        since, name = stamp(self.program.moment()), self.random.choice(list(self.program.parents))
        drawn = self.program
        changes: Sequence[Callable[[], Load]] = (
            lambda: program.registry(correction=correction, brokers=[drawn.broker(name) for name in below]),
            lambda: program.registry(
                correction=correction, brokers=[drawn.broker(name, since=since, status="suspended")]
            ),
            lambda: program.registry(correction=correction, vip_levels=[drawn.level(each) for each in accounts]),
            lambda: program.registry(correction=correction, clients=[drawn.link(each) for each in accounts]),
            lambda: program.prices(
                [drawn.price("BTC", window) for window in self.windows],
                name=f"changed-{len(self.acts)}.csv",
                correction=correction,
            ),
            # In some worlds clients change trees: those whose lines wait for a level too, for nothing settled stands on them.
            *(
                lambda: program.registry(
                    correction=correction, clients=[drawn.link(each, anew=True) for each in moving]
                ),
            )
            * (3 if drawn.moves else 0),
            # Terms concern every line from then on.
            *(lambda: replace(drawn.terms(f"terms {len(self.acts)}", since=since), correction=correction),) * 2,
        )
        return self.random.choice(changes)()

    def _recalculation(self) -> None:
        """A correction, a plan of some of its hours, and what becomes of the plan."""
        self._correction()
        first, last = self.random.choice(((0, -1), (0, -1), (0, 0), (-1, -1)))
        start, end = self.windows[first], self.windows[last] + HOUR
        broker = self.random.choice((None, None, None, self.program.roots[0], f"{self.program.roots[0]}-1"))
        reason = f"recalculation {len(self.acts)}"
        steps = self.random.choice(PLANS)
        re_review = broker in {None, self.program.roots[0]} and self.random.random() < 0.3
        self.acts.append(SettleDue())
        self.acts += [
            Recalculate(step=step, reason=reason, start=start, end=end, broker=broker, re_review=re_review)
            for step in steps
        ]

    def _by_hand(self) -> None:
        self.acts.append(SettleByHand(self.random.choice(self.windows)))

    def _perhaps_settle(self) -> None:
        if self.random.random() < 0.75:
            self.acts.append(SettleDue())
