"""The sample program: thirty brokers in eight trees, their codes, and their clients by kind.

One day, 2026-03-02 UTC, is settled under two versions of the terms; the second takes over at 12:30.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from settlement.sample.columns import VENUE

if TYPE_CHECKING:
    from settlement.sample.draws import Draws, Integers

DAY = datetime(2026, 3, 2, tzinfo=UTC)
SIGNED = "2026-01-15T00:00:00Z"
NEW_TERMS = "2026-03-02T12:30:00Z"
FIRST_ACCOUNT = 613_840_552_917_000_001
ACCOUNT_STEP = 104_729_000_077

# broker_id  name  model  parent  share  code  clients (how many in a thousand)
BROKERS = """
atlas               Atlas            api    -                -       a7c1ATLAS00b2d4e  40
atlas-asia          Atlas_Asia       api    atlas            0.4     a7c1ATLASasia001  50
atlas-asia-seoul    Atlas_Seoul      api    atlas-asia       0.3     a7c1ATLASseoul01  45
atlas-asia-hanoi    Atlas_Hanoi      api    atlas-asia       0.25    a7c1ATLAShanoi01  30
atlas-europe        Atlas_Europe     api    atlas            0.45    a7c1ATLASeu00001  45
atlas-europe-lisbon Atlas_Lisbon     api    atlas-europe     0.5     a7c1ATLASlisbon1  25
atlas-latam         Atlas_Latam      api    atlas            0.35    a7c1ATLASlatam01  35
borealis            Borealis         oauth  -                -       B0REALISmain0001  50
borealis-north      Borealis_North   oauth  borealis         0.5     B0REALISnorth001  35
borealis-north-oslo Borealis_Oslo    oauth  borealis-north   0.3333  B0REALISoslo0001  30
borealis-south      Borealis_South   oauth  borealis         0.4     B0REALISsouth001  25
cobalt              Cobalt_Bots      api    -                -       c0ba17main000001  60
cobalt-grid         Cobalt_Grid      api    cobalt           0.6     c0ba17grid000001  55
cobalt-grid-night   Cobalt_Night     api    cobalt-grid      0.25    c0ba17night00001  25
cobalt-grid-macro   Cobalt_Macro     api    cobalt-grid      0.2     c0ba17macro00001  20
cobalt-desk         Cobalt_Desk      api    cobalt           0.3     c0ba17desk000001  35
dune                Dune             oauth  -                -       DuneMain00000001  40
dune-one            Dune_One         oauth  dune             0.35    DuneOne000000001  35
dune-two            Dune_Two         oauth  dune             0.5     DuneTwo000000001  20
ember               Ember            api    -                -       emberMAIN0000001  25
ember-spark         Ember_Spark      api    ember            0.4     emberSPARK000001  20
ember-spark-ash     Ember_Ash        api    ember-spark      0.3     emberASH00000001  15
fjord               Fjord            api    -                -       fj0rdMAIN0000001  50
fjord-algo          Fjord_Algo       api    fjord            0.45    fj0rdALGO0000001  40
fjord-algo-lab      Fjord_Lab        api    fjord-algo       0.125   fj0rdLAB00000001  20
fjord-copy          Fjord_Copy       api    fjord            0.3     fj0rdCOPY0000001  30
grove               Grove            oauth  -                -       gr0veMAIN0000001  40
grove-oak           Grove_Oak        oauth  grove            0.55    gr0veOAK00000001  30
harbor              Harbor           api    -                -       harb0rMAIN000001  20
harbor-quay         Harbor_Quay      api    harbor           0.2     harb0rQUAY000001  10
"""
ENDED_CODE = "a7c1ATLASold2025"  # atlas, until 2026-02-01
COMING_CODE = "gr0veNEXT0000001"  # grove, from 2026-04-01
FOREIGN_TAG = "someOtherBroker1"  # nobody's

# kind          accounts in a thousand
KINDS = """
plain           590
affiliated      80
rebated         90
tag_only        70
moved           25
discounted      25
market_maker    20
whale           25
msa             15
own             12
no_vip          10
late_vip        10
walk_in         28
"""


@dataclass(frozen=True, kw_only=True)
class Broker:
    """One row of the table above."""

    broker_id: str
    name: str
    model: str
    parent: str
    share: str
    code: str
    weight: int


def brokers() -> tuple[Broker, ...]:
    """The table, read."""
    rows = (line.split() for line in BROKERS.strip().splitlines())
    return tuple(
        Broker(
            broker_id=row[0],
            name=row[1].replace("_", " "),
            model=row[2],
            parent=row[3].removeprefix("-"),
            share=row[4].removeprefix("-"),
            code=row[5],
            weight=int(row[6]),
        )
        for row in rows
    )


@dataclass(frozen=True, kw_only=True)
class Population:
    """The accounts: `kind` indexes `kinds`, `home` the brokers, `vip` is the fee level that the venue applies."""

    accounts: list[str]
    kinds: tuple[str, ...]
    kind: Integers
    home: Integers
    vip: Integers

    def of_kind(self, name: str) -> Integers:
        """The accounts (as indexes) of one kind."""
        return np.flatnonzero(self.kind == self.kinds.index(name))

    def is_kind(self, account: Integers, *names: str) -> Any:
        """Per element of `account`: is it of one of these kinds?"""
        return np.isin(self.kind[account], [self.kinds.index(name) for name in names])


def populate(draws: Draws, *, accounts: int) -> Population:
    """As many accounts, each with a kind, a home broker and a fee level."""
    rows = [line.split() for line in KINDS.strip().splitlines()]
    kinds = tuple(row[0] for row in rows)
    ends = np.cumsum([int(row[1]) * accounts // 1000 for row in rows])
    kind = np.searchsorted(ends, np.arange(accounts), side="right") % len(kinds)
    vip = draws.pick((34, 24, 17, 12, 8, 5), accounts)
    vip = np.where(kind == kinds.index("whale"), 6 + draws.below(2, accounts), vip)
    vip = np.where(kind == kinds.index("market_maker"), 5, vip)
    return Population(
        accounts=[str(FIRST_ACCOUNT + number * ACCOUNT_STEP) for number in range(accounts)],
        kinds=kinds,
        kind=kind,
        home=draws.pick([broker.weight for broker in brokers()], accounts),
        vip=vip,
    )


def tags_of(draws: Draws, population: Population, account: Integers) -> tuple[pa.Array, pa.Array]:
    """What the client put on the order, and the channel: mostly the home broker's code, and the ways it goes wrong."""
    count = len(account)
    codes = [broker.code for broker in brokers()]
    values = pa.array([*codes, ENDED_CODE, COMING_CODE, FOREIGN_TAG, ""])
    ended, coming, foreign, none = range(len(codes), len(codes) + 4)
    home = population.home[account]
    ways = ("home", "anybody", "ended", "coming", "foreign", "api", "screen", "none")
    way = draws.pick((840, 30, 8, 4, 8, 60, 20, 30), count)
    anybody = draws.pick([broker.weight for broker in brokers()], count)
    tag = np.choose(way, [home, anybody, np.full(count, ended), coming, foreign, none, none, none])
    tag = np.where(population.is_kind(account, "walk_in"), np.where(way == ways.index("home"), none, foreign), tag)
    tag = np.where(population.is_kind(account, "own"), home, tag)
    channels = pa.array(["", "api", "web", "app", "unknown"])
    channel = np.asarray([0, 1, 0, 4, 1, 1, 2, 0])[way]
    channel = np.where((way == ways.index("screen")) & (account % 2 == 1), 3, channel)
    return values.take(pa.array(tag)), channels.take(pa.array(channel))


def client_rows(population: Population) -> list[tuple[str, ...]]:
    """clients.csv: everybody but those who come by tag only, and the walk-ins."""
    ids = [broker.broker_id for broker in brokers()]
    rows: list[tuple[str, ...]] = []
    for number, account in enumerate(population.accounts):
        kind = population.kinds[population.kind[number]]
        if kind in {"tag_only", "walk_in"}:
            continue
        home = ids[population.home[number]]
        affiliated = "true" if kind == "affiliated" else "false"
        account_class = "msa" if kind == "msa" else ""
        rebate = ("0.1", "0.0333", "0.25")[number % 3] if kind == "rebated" else ""
        end = NEW_TERMS if kind == "moved" else ""
        first = (VENUE, account, home, SIGNED, end, f"R{number:05}", affiliated, account_class, rebate)
        rows.append(first)
        if kind == "moved":
            rows.append(
                (VENUE, account, ids[(number * 7) % len(ids)], NEW_TERMS, "", f"R{number:05}B", "false", "", "")
            )
    return rows
