"""What holds of settling and of recalculating, whatever the facts and the fills, on real databases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from settlement.pipeline import recalculate
from settlement.pipeline.ingest import ingest
from settlement.pipeline.recalculation_plan import plan_all
from settlement.pipeline.settle import open_run, settle_shard, settle_window
from settlement.store.database import Database
from settlement.venues.reading import FillFile
from tests.recalculation.desk import Desk
from tests.simulation import program
from tests.simulation.acts import FIRST_WINDOW, HOUR, FillRow, Load
from tests.simulation.arena import Arena, cloned
from tests.simulation.performing import load_facts
from tests.venues.fill_files import as_csv

WINDOWS = (FIRST_WINDOW, FIRST_WINDOW + HOUR)
LONG_AGO = program.LONG_AGO
RATES = ("0.3", "0.2", "0.123457", "0.4", "0.25", "0.35")
TERMS = Load(
    what="terms",
    files={
        "terms.toml": program.TERMS.format(
            name="v1", since=LONG_AGO, fee_discount="net", minimum="0", quantum="0.01", limit="10", hold_hours=0, rates=RATES, cap=""
        )
    },
)  # fmt: skip
few = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of one client, of the brokers above it, and of what its fees were worth."""

    broker: str
    share: str
    status: str
    rebate: str
    level: str
    price: str

    def loads(self, *, correction: str | None = None) -> list[Load]:
        """Beside this client there is another one, of whom everything stays as it is."""
        facts = program.registry(
            correction=correction,
            brokers=[
                f"alpha,Alpha,api,,,active,{LONG_AGO},,,,",
                f"beta,Beta,api,,,active,{LONG_AGO},,,,",
                f"alpha-1,Alpha 1,api,alpha,{self.share},{self.status},{LONG_AGO},,,,",
            ],
            clients=[
                f"okx,1,{self.broker},{LONG_AGO},,,true,,{self.rebate}",
                f"okx,2,alpha-1,{LONG_AGO},,,,,0.1",
            ],
            vip_levels=[f"okx,1,{self.level},{LONG_AGO}", f"okx,2,VIP2,{LONG_AGO}"],
        )
        prices = [
            f"BTC,{program.stamp(FIRST_WINDOW - timedelta(minutes=1))},{self.price},",
            f"BTC,{program.stamp(WINDOWS[1])},60000,",
        ]
        return [facts, program.prices(prices, name="prices.csv", correction=correction)]


KNOWN = st.builds(
    Known,
    broker=st.sampled_from(["alpha", "alpha-1", "beta"]),
    share=st.sampled_from(["0", "0.333333333333333333", "0.4", "1"]),
    status=st.sampled_from(["active", "active", "suspended"]),
    rebate=st.sampled_from(["", "0.1", "0.123456789"]),
    level=st.sampled_from(["Lv1", "VIP5", "VIP6"]),
    price=st.integers(1, 10**10).map(lambda number: f"{Decimal(number).scaleb(-5):f}"),
)
FEES = st.integers(1, 10**15).map(lambda number: f"{-Decimal(number).scaleb(-13):f}")
FILLS = st.lists(
    st.tuples(st.sampled_from("12"), st.integers(0, 119), FEES, st.sampled_from(["USDT", "BTC"]), st.sampled_from(["maker", "taker"])),
    min_size=1,
    max_size=12,
)  # fmt: skip


def rows_of(drawn: Sequence[tuple[str, int, str, str, str]]) -> list[FillRow]:
    return [
        {
            "account": account,
            "bill_id": str(1000 + number),
            "fee": fee,
            "fee_currency": currency,
            "liquidity": liquidity,
            "tag": "",
            "channel": "api",
            "executed_at": program.stamp(FIRST_WINDOW + timedelta(minutes=minute)),
        }
        for number, (account, minute, fee, currency, liquidity) in enumerate(drawn)
    ]


def load(database: Database, *loads: Load) -> None:
    for each in loads:
        with TemporaryDirectory() as folder:
            load_facts(each, database, folder=Path(folder))


def settle_all(database: Database, rows: Sequence[FillRow]) -> None:
    from_good = [{**as_good(), **row} for row in rows]
    with TemporaryDirectory() as folder:
        path = Path(folder, "fills.csv")
        path.write_bytes(as_csv(from_good))
        ingest(database, FillFile(path), source="test", file=path.name, loaded_by="test", now=datetime.now(UTC))
    for window_start in WINDOWS:
        settle_window(database, window_start, now=datetime.now(UTC))


def as_good() -> FillRow:
    spot = {"instrument": "BTC-USDT", "instrument_type": "SPOT", "side": "buy", "price": "60000.5", "size": "0.25"}
    return {"venue": "okx", "trade_id": "1", "order_id": "1", **spot}


def recalculate_all(database: Database) -> None:
    now = datetime.now(UTC)
    plan_id = recalculate.request(
        database, start=WINDOWS[0], end=WINDOWS[-1] + HOUR, broker=None, reason="it was wrong", by="anna"
    )
    plan_all(database, plan_id, progress=lambda _done, _all: None)
    recalculate.approve(database, plan_id, by="bert")
    recalculate.apply(database, plan_id, by="carl", now=lambda: now)


@pytest.fixture(scope="module")
def arena(template: str) -> Iterator[Arena]:
    with cloned(template) as url:
        opened = Arena(url)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def other_arena(template: str) -> Iterator[Arena]:
    with cloned(template) as url:
        opened = Arena(url)
        yield opened
        opened.close()


def settled(arena: Arena, known: Known, rows: Sequence[FillRow]) -> Desk:
    """The desk of an arena in which only this has happened."""
    arena.empty()
    load(arena.database, TERMS, *known.loads())
    settle_all(arena.database, rows)
    return Desk(arena.database)


@few
@given(known=KNOWN, drawn=FILLS)
def test_settling_again_changes_nothing(
    arena: Arena, known: Known, drawn: list[tuple[str, int, str, str, str]]
) -> None:
    desk = settled(arena, known, rows_of(drawn))
    before, runs = desk.books(), desk.rows("SELECT run_id, root FROM run_shard ORDER BY 1, 2")
    now = datetime.now(UTC)
    assert [settle_shard(desk.database, run_id, root, now=now) for run_id, root in runs] == [False] * len(runs)
    assert [open_run(desk.database, window_start, now=now) for window_start in WINDOWS] == [None] * len(WINDOWS)
    assert desk.books() == before


@few
@given(known=KNOWN, drawn=FILLS)
def test_recalculating_with_nothing_changed_posts_nothing(
    arena: Arena, known: Known, drawn: list[tuple[str, int, str, str, str]]
) -> None:
    desk = settled(arena, known, rows_of(drawn))
    before = desk.books()
    recalculate_all(arena.database)
    assert desk.rows("SELECT count(*) FROM entry WHERE kind = 'correction'") == [(0,)]
    assert desk.books() == before


@few
@given(wrong=KNOWN, right=KNOWN, drawn=FILLS)
def test_correcting_and_recalculating_is_the_same_as_having_known_it_from_the_start(
    arena: Arena, other_arena: Arena, wrong: Known, right: Known, drawn: list[tuple[str, int, str, str, str]]
) -> None:
    rows = rows_of(drawn)
    corrected = settled(arena, wrong, rows)
    load(arena.database, *right.loads(correction="it was wrong"))
    recalculate_all(arena.database)
    afresh = settled(other_arena, right, rows)
    assert corrected.books() == afresh.books()
    assert corrected.verify() == []


@few
@given(wrong=KNOWN, right=KNOWN, drawn=FILLS)
def test_correcting_back_restores_the_books(
    arena: Arena, wrong: Known, right: Known, drawn: list[tuple[str, int, str, str, str]]
) -> None:
    desk = settled(arena, wrong, rows_of(drawn))
    before = desk.books()
    for known, why in ((right, "it was wrong"), (replace(wrong), "it was right before")):
        load(arena.database, *known.loads(correction=why))
        recalculate_all(arena.database)
    assert desk.books() == before
    assert desk.verify() == []
