"""An hour of a tape of which 3 % of the rows appear late and 1 % only after it was settled: all end in lines.

06:32 pull  ──3 % appear──>  07:02 pull  ->  07:05 settled  ──1 % appear──>  07:32 pull, settled again
                                                                   next day  04:10 read again, settled again
"""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from settlement.pipeline import pulling
from settlement.pipeline.audit import verify_ledger
from settlement.pipeline.settle import settle_window
from settlement.pipeline.sweep import PullFills, SettleWindow, Step, sweep
from tests.harvest.conftest import StartDesk
from tests.harvest.desk import Desk
from tests.harvest.many import execute
from tests.store.small_world import HOUR, add_price, load_small_world

ACCOUNT, PAIR, TAG = "101", "XRP-ETH", "alphaTAG"
HOUR_MS = 3_600_000
TAPE = ("ts_ms", "tradeId", "price", "amount", "side")
Trade = tuple[int, str, str, str, str]


def at(hour: int, minute: int) -> datetime:
    return HOUR.replace(hour=hour, minute=minute)


def drawn_trades(number: int) -> Iterator[Trade]:
    """Trades of one hour; some share a millisecond."""
    draw = random.Random(5)  # noqa: S311 - a fixed order, not a secret
    for trade in range(number):
        after = draw.randrange(HOUR_MS // 5) * 5
        yield after, str(7_000_000 + trade), f"0.00{draw.randint(140, 150)}", str(draw.randint(1, 90)), "buy"


def recorded_trades(file: Path) -> list[Trade]:
    """The fullest hour of a recorded tape."""
    with file.open() as lines:
        trades = [(int(row["ts_ms"]), *(row[name] for name in TAPE[1:])) for row in csv.DictReader(lines)]
    fullest = Counter(time // HOUR_MS for time, *_ in trades).most_common(1)[0][0]
    return [(time % HOUR_MS, *rest) for time, *rest in trades if time // HOUR_MS == fullest]  # type: ignore[misc]  # four texts


def as_tape(trades: Iterable[Trade], path: Path) -> Path:
    """The trades within HOUR, whenever they were."""
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(TAPE)
        start = int(HOUR.timestamp() * 1000)
        lines.writerows((start + after, *rest) for after, *rest in sorted(trades))
    return path


def shown(desk: Desk) -> set[str]:
    """The bills that the exchange shows now."""
    return {row["billId"] for row in desk.sandbox.fills()}


def pulled(desk: Desk, now: datetime, *, again: bool = False) -> int:
    desk.now = now
    report = desk.pull(pulling.last_day(now) if again else None)
    assert report.failures == []
    return report.counts.stored


def settled(desk: Desk, now: datetime) -> list[datetime]:
    """Settles what the sweep finds due of HOUR."""
    steps: list[Step] = []
    sweep(desk.database, now=now, hand_over=steps.append, room=100)
    due = [step.window_start for step in steps if isinstance(step, SettleWindow) and step.window_start == HOUR]
    for window_start in due:
        settle_window(desk.database, window_start, now=datetime.now(UTC))  # the ledger takes no other time
    assert all(isinstance(step, (SettleWindow, PullFills)) for step in steps)
    return due


def kinds(desk: Desk) -> dict[str, str]:
    """By bill: the kind of the run that its line is of. Each has one line, and earned something."""
    rows: list[Any] = execute(
        desk.database,
        "SELECT bill_id, kind, status FROM line JOIN run USING (run_id) JOIN basis USING (basis_id)"
        " WHERE line.window_start = :s AND account = :a AND bill_id NOT IN ('1', '2')",
        s=HOUR,
        a=ACCOUNT,
    )
    assert len(rows) == len({row.bill_id for row in rows})
    assert {row.status for row in rows} == {"earned"}
    return {row.bill_id: row.kind for row in rows}


def asks_for_another_look(desk: Desk) -> bool:
    [row] = execute(desk.database, "SELECT recheck FROM settlement_window WHERE window_start = :s", s=HOUR)
    return bool(row.recheck)


def every_late_row_ends_in_a_line(desk: Desk, number: int) -> None:
    soon = desk.sandbox.control("late", {"share_per_mille": 30})
    after = desk.sandbox.control("late", {"share_per_mille": 10})
    on_time = shown(desk)
    pulled(desk, at(6, 32))
    desk.sandbox.control("release", {"hold": soon["hold"]})
    before_settling = shown(desk)
    assert pulled(desk, at(7, 2)) >= len(before_settling - on_time) > 0
    assert settled(desk, at(7, 5)) == [HOUR]
    assert kinds(desk) == dict.fromkeys(before_settling, "scheduled")

    desk.sandbox.control("release", {"hold": after["hold"]})
    late = shown(desk) - before_settling
    assert len(shown(desk)) == number
    assert 0 < len(late) < len(before_settling - on_time)
    in_overlap = pulled(desk, at(7, 32))
    assert in_overlap > 0
    assert asks_for_another_look(desk) is True
    assert settled(desk, at(7, 33)) == [HOUR]
    next_day = at(4, 10) + timedelta(days=1)
    in_last_day = pulled(desk, next_day, again=True)
    assert in_overlap + in_last_day == len(late)
    assert in_last_day > 0
    assert settled(desk, next_day) == [HOUR]

    wanted = dict.fromkeys(before_settling, "scheduled") | dict.fromkeys(late, "supplementary")
    assert kinds(desk) == wanted
    assert asks_for_another_look(desk) is False
    assert settled(desk, next_day + timedelta(minutes=1)) == []
    audit = verify_ledger(desk.database)
    assert [finding for check in audit.checks for finding in check.findings] == []


@pytest.fixture
def priced(superuser: psycopg.Connection) -> None:
    load_small_world(superuser)
    superuser.execute("UPDATE installation SET installed_at = %s", [HOUR])
    for currency, price in (("XRP", "0.27"), ("ETH", "190.5")):
        add_price(superuser, currency, price)


def desk_of(desk_at: StartDesk, tape: Path) -> Desk:
    options = ("--account", ACCOUNT, "--instrument", PAIR, "--tag", TAG)
    return desk_at("--replay", str(tape), *options, pull_from=HOUR)


@pytest.mark.usefixtures("priced")
def test_every_late_row_of_a_made_tape_ends_in_a_line(desk_at: StartDesk, tmp_path: Path) -> None:
    tape = as_tape(drawn_trades(500), tmp_path / "tape.csv")
    every_late_row_ends_in_a_line(desk_of(desk_at, tape), 500)


@pytest.mark.shared
@pytest.mark.usefixtures("priced")
def test_every_late_row_of_a_recorded_tape_ends_in_a_line(desk_at: StartDesk, shared_dir: Path, tmp_path: Path) -> None:
    trades = recorded_trades(shared_dir / "okx" / "market" / "xrp_eth_trades.csv")
    assert len(trades) > 700
    every_late_row_ends_in_a_line(desk_of(desk_at, as_tape(trades, tmp_path / "tape.csv")), len(trades))
