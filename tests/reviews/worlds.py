"""A broker program drawn from a seed, with fills on every edge of a review's period; and what they come to, fill by fill.

r1           root        codes R1      clients 1, 2
  s1         of r1, and from some instant on of r2         code S1    clients 3, 4
r2           root        code R2       clients 5, 6
  s2         of r2                                         code S2    client 7
r3           root without a fill

A client may trade under any of the codes, so that one is new in two trees. Every fill is worth what it says in USDT.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

CODES = {"R1": "r1", "S1": "s1", "R2": "r2", "S2": "s2"}
LINKS = {"1": "r1", "2": "r1", "3": "s1", "4": "s1", "5": "r2", "6": "r2", "7": "s2"}
ROOTS = ("r1", "r2", "r3")
SMALLEST = Decimal("0.000000000001")
INSTANT = timedelta(milliseconds=1)
DAY = timedelta(days=1)

# Months of 28, 29, 30 and 31 days before.
FIRSTS = [datetime(*day, tzinfo=UTC) for day in ((2026, 3, 1), (2024, 3, 1), (2026, 5, 1), (2026, 11, 1), (2026, 2, 1))]


@dataclass(frozen=True)
class Fill:
    """One execution. `fee` below zero was charged; `known` is false as long as the client's level is not."""

    account: str
    bill_id: str
    tag: str
    product: str
    volume: Decimal
    charged: bool
    at: datetime

    @property
    def window(self) -> datetime:
        return self.at.replace(minute=0, second=0, microsecond=0)


@dataclass(frozen=True)
class Asked:
    """The thresholds of one tier, by group."""

    volume: dict[str, Decimal]
    clients: dict[str, int]


@dataclass(frozen=True)
class World:
    """All that is drawn. `moved_at` is when s1 leaves r1 for r2; `late` are fills that come after the review."""

    effective_from: datetime
    rolling: bool
    new_clients: bool
    apart: bool
    moved_at: datetime
    fills: tuple[Fill, ...] = ()
    late: tuple[Fill, ...] = ()
    tiers: tuple[Asked, ...] = ()

    @property
    def month(self) -> datetime:
        return (self.effective_from - DAY).replace(day=1)

    @property
    def start(self) -> datetime:
        return self.effective_from - 30 * DAY if self.rolling else self.month

    @property
    def groups(self) -> tuple[str, ...]:
        return ("spot", "contracts") if self.apart else ("all",)

    def all_fills(self) -> World:
        """The same world, had every fill come in time."""
        return replace(self, fills=self.fills + self.late, late=())


@dataclass
class Figures:
    """What one root comes to, by group."""

    volume: dict[str, Decimal] = field(default_factory=lambda: dict.fromkeys(("all", "spot", "contracts"), Decimal(0)))
    new: dict[str, set[str]] = field(default_factory=lambda: {"all": set(), "spot": set(), "contracts": set()})
    active: dict[str, set[str]] = field(default_factory=lambda: {"all": set(), "spot": set(), "contracts": set()})

    def clients(self, world: World) -> dict[str, int]:
        counted = self.new if world.new_clients else self.active
        return {group: len(accounts) for group, accounts in counted.items()}


def root_at(world: World, fill: Fill) -> str:
    """The root of the fill's broker at the moment of execution."""
    broker = CODES.get(fill.tag) or LINKS[fill.account]
    if broker == "s1":
        return "r1" if fill.at < world.moved_at else "r2"
    return "r2" if broker == "s2" else broker


def groups_of(fill: Fill) -> tuple[str, str]:
    return "all", "spot" if fill.product == "spot" else "contracts"


def figures(world: World) -> dict[str, Figures]:
    """The slow, obvious way: every fill in the order of time, looked at one by one."""
    found = {root: Figures() for root in ROOTS}
    traded_before: set[tuple[str, str, str]] = set()
    for fill in sorted(world.fills, key=lambda fill: fill.at):
        if not fill.charged:
            continue
        root = root_at(world, fill)
        inside = world.start <= fill.at < world.effective_from
        for group in groups_of(fill):
            if inside:
                found[root].volume[group] += fill.volume
                found[root].active[group].add(fill.account)
                if (root, group, fill.account) not in traded_before:
                    found[root].new[group].add(fill.account)
            if fill.at < world.start:
                traded_before.add((root, group, fill.account))
    return found


def rank_reached(world: World, of_root: Figures) -> int:
    """From the highest tier down, the first that everything asked is there for; the lowest for want of any."""
    clients = of_root.clients(world)
    for rank in reversed(range(len(world.tiers))):
        asked = world.tiers[rank]
        if any(
            of_root.volume[group] >= asked.volume[group] and clients[group] >= asked.clients[group]
            for group in world.groups
        ):
            return rank
    return 0


def draw(seed: int) -> World:
    """The world of a seed."""
    random = Random(seed)  # noqa: S311 - a world that can be drawn again
    effective_from = FIRSTS[seed % len(FIRSTS)]
    world = World(
        effective_from=effective_from,
        rolling=random.random() < 0.5,
        new_clients=random.random() < 0.6,
        apart=random.random() < 0.5,
        moved_at=effective_from - random.choice([20 * DAY, 12 * DAY + timedelta(minutes=31), 30 * DAY]),
    )
    world = replace(world, fills=tuple(_fills(random, world, "f", 40)), late=tuple(_fills(random, world, "late", 5)))
    return replace(world, tiers=tuple(_tiers(random, world)))


def _fills(random: Random, world: World, name: str, number: int) -> Iterator[Fill]:
    for position in range(number):
        account = random.choice(sorted(LINKS))
        yield Fill(
            account=account,
            bill_id=f"{name}{position}",
            tag=random.choice([*CODES, "", "", ""]),
            product=random.choice(["spot", "futures"]),
            volume=Decimal(random.choice([1, 10, 10, 1000])) + SMALLEST * random.randrange(3),
            charged=random.random() < 0.85,
            at=random.choice(_edges(world)),
        )


def _edges(world: World) -> list[datetime]:
    """Instants on which something begins or ends, just before them, and some in between."""
    rolling, month = world.effective_from - 30 * DAY, world.month
    on = [rolling, month, world.moved_at, world.effective_from]
    between = [world.effective_from - days * DAY for days in (65, 40, 15, 3)]
    return [*on, *(instant - INSTANT for instant in on), *between]


def _tiers(random: Random, world: World) -> Iterator[Asked]:
    """Two to four tiers that rise, their thresholds taken from what the roots come to, or next to it."""
    found = list(figures(world).values())
    ladders = {
        group: (
            sorted(_near(random, [root.volume[group] for root in found])),
            sorted(random.choice([root.clients(world)[group] for root in found]) for _ in range(3)),
        )
        for group in world.groups
    }
    yield Asked(dict.fromkeys(world.groups, Decimal(0)), dict.fromkeys(world.groups, 0))
    for step in range(random.randint(1, 3)):
        # The step itself makes sure that tiers rise, by less than any two fills differ.
        yield Asked(
            {group: volumes[step] + SMALLEST * step for group, (volumes, _) in ladders.items()},
            {group: clients[step] for group, (_, clients) in ladders.items()},
        )


def _near(random: Random, volumes: Iterable[Decimal]) -> list[Decimal]:
    choices = [
        volume + change for volume in volumes if volume for change in (-SMALLEST, Decimal(0), Decimal(0), SMALLEST)
    ]
    return [random.choice(choices or [Decimal(1)]) for _ in range(3)]
