"""The monthly cap in settling: whatever comes when, the lines are those of the month as a whole."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import psycopg
import pytest

from settlement.store.database import Database
from settlement.store.lines import WINDOW
from tests.pipeline.capped_program import (
    FIRST,
    WINDOWS,
    CapDesk,
    a_fill,
    drawn_fills,
    load_capped_program,
    load_prices_of_btc,
    settle,
    settle_all,
    settle_at_once,
    waiting,
)

MINUTE = timedelta(minutes=1)


@pytest.fixture
def desk(database: Database) -> CapDesk:
    """A program with a cap of 2 USDT; a fee of 1 USDT earns 0.3."""
    load_capped_program(database)
    return CapDesk(database)


@pytest.mark.parametrize(("seed", "at_once"), [(0, False), (1, False), (2, True)])
def test_whatever_the_order_of_arrival_lines_shares_and_balances_are_the_same(
    database: Database, second_database: Database, seed: int, *, at_once: bool
) -> None:
    random = Random(seed)  # noqa: S311 - a drawing, not a secret
    rows = drawn_fills(random, 150)
    whole = CapDesk(second_database)
    load_capped_program(second_database)
    whole.take_in(*rows)
    load_prices_of_btc(second_database)
    settle(second_database, WINDOWS)
    assert waiting(second_database) == []

    desk = CapDesk(database)
    load_capped_program(database)
    random.shuffle(rows)
    priced_after = random.randrange(5)
    for part in range(5):
        desk.take_in(*rows[part * 30 : (part + 1) * 30])
        (settle_at_once if at_once else settle)(database, random.sample(WINDOWS, random.randrange(1, 5)))
        if part == priced_after:
            load_prices_of_btc(database)
    settle_all(database, random, at_once=at_once)

    books, expected = desk.books(), whole.books()
    assert books == expected
    reasons = {line[7] for line in books["lines"]}
    assert {"", "CAP_REACHED", "VIP_EXCLUDED"} <= reasons
    assert any("CAP_REMAINDER" in line[12] for line in books["lines"])
    assert whole.runs() == [("scheduled", len(WINDOWS))]
    assert (desk.to_recheck(), desk.verify(), whole.verify()) == (0, [], [])


def payable_entries(desk: CapDesk, payee: str) -> list[tuple[str, str, str]]:
    """What was booked to a payee, in order: kind of the run, of the entry, and the signed amount."""
    return desk.rows(f"""
        SELECT run.kind, e.kind, CASE direction WHEN 'debit' THEN '-' ELSE '' END || trim_scale(amount_usdt)
        FROM entry e JOIN posting USING (entry_id) JOIN run USING (run_id)
        WHERE account = 'payee:{payee}:payable' AND e.kind IN ('earned', 'correction') ORDER BY entry_id
    """)  # noqa: S608 - the tests' own payees


def test_a_late_fill_before_the_crossing_moves_it_back_within_its_window_and_in_later_ones(desk: CapDesk) -> None:
    desk.take_in(*(a_fill(number, at=FIRST + number * 30 * MINUTE, fee="-2") for number in range(2)))
    desk.take_in(*(a_fill(number, at=FIRST + WINDOW + number * MINUTE, fee="-2") for number in range(2, 5)))
    settle_all(desk.database)
    assert desk.outcomes() == ["0.6", "0.6", "0.6", "0.2 CAP_REMAINDER", "CAP_REACHED"]

    desk.take_in(a_fill("late", at=FIRST + MINUTE, fee="-3"))
    settle(desk.database, [FIRST])
    assert waiting(desk.database) == [FIRST + WINDOW]
    assert desk.to_recheck() == 1
    settle_all(desk.database)
    assert desk.outcomes() == ["0.6", "0.9", "0.5 CAP_REMAINDER", "CAP_REACHED", "CAP_REACHED", "CAP_REACHED"]
    assert payable_entries(desk, "alpha") == [
        ("scheduled", "earned", "1.2"),
        ("scheduled", "earned", "0.8"),
        ("supplementary", "earned", "0.8"),
        ("supplementary", "correction", "-0.8"),
    ]
    assert desk.verify() == []


def test_a_second_look_changes_nothing_and_opens_no_run(desk: CapDesk) -> None:
    for hour in range(3):
        desk.take_in(
            *(a_fill(f"{hour}{number}", at=FIRST + hour * WINDOW, account="4", fee="-5") for number in range(2))
        )
    settle_all(desk.database)
    assert desk.outcomes("4") == ["1.5", "0.5 CAP_REMAINDER", *["CAP_REACHED"] * 4]
    desk.take_in(a_fill("late", at=FIRST - WINDOW, account="4", fee="-1"))
    assert settle_all(desk.database) == 2
    # The hour that the late fill is in, and the one that the crossing is in; nothing moves in those after it.
    assert desk.runs() == [("scheduled", 4), ("supplementary", 1)]
    assert desk.to_recheck() == 0
    before = desk.books()
    settle(desk.database, WINDOWS[-4:-1])
    assert desk.books() == before
    assert desk.runs() == [("scheduled", 4), ("supplementary", 1)]


def test_what_the_cap_excluded_moves_nothing_when_more_of_it_arrives(desk: CapDesk) -> None:
    desk.take_in(a_fill(1, account="4", fee="-9"), a_fill(2, at=FIRST + WINDOW, account="4"))
    settle_all(desk.database)
    desk.take_in(a_fill("late", at=FIRST + MINUTE, account="4"))
    assert settle_all(desk.database) == 1
    assert desk.outcomes("4") == ["2 CAP_REMAINDER", "CAP_REACHED", "CAP_REACHED"]


def test_each_month_begins_anew(desk: CapDesk) -> None:
    midnight = WINDOWS[1] + WINDOW
    ticks = (-timedelta(milliseconds=2), -timedelta(milliseconds=1), timedelta(0), timedelta(milliseconds=1))
    desk.take_in(*(a_fill(number, at=midnight + tick, account="4", fee="-5") for number, tick in enumerate(ticks)))
    settle_all(desk.database)
    assert desk.outcomes("4") == ["1.5", "0.5 CAP_REMAINDER", "1.5", "0.5 CAP_REMAINDER"]


def test_a_line_keeps_what_it_was_rated_by_when_only_the_cap_moves(desk: CapDesk) -> None:
    bitcoin = {"account": "4", "fee_currency": "BTC", "fee": "-0.0001"}
    load_prices_of_btc(desk.database)
    times = [FIRST + 35 * MINUTE, FIRST + 40 * MINUTE]
    desk.take_in(*(a_fill(number, at=at, **bitcoin) for number, at in enumerate(times)))
    settle_all(desk.database)
    assert desk.outcomes("4") == ["1.5", "0.5 CAP_REMAINDER"]

    load_prices_of_btc(desk.database, of_half_past_six="10000", correction="it was wrong")
    desk.take_in(a_fill("late", at=FIRST, account="4", fee="-1"))
    settle_all(desk.database)
    assert desk.outcomes("4") == ["0.3", "1.5", "0.2 CAP_REMAINDER"]
    assert desk.verify() == []


EMPTY = "net_fee_usdt = NULL, commission_usdt = NULL, notional_usdt = NULL"
FULL = "net_fee_usdt = 5, commission_usdt = 1.5, notional_usdt = 1"
TAMPERINGS = {
    "more than the cap leaves": ("commission_usdt = 1.5", 2, "earns 1.5 as a remainder", "1.5"),
    "less than the cap leaves": ("commission_usdt = 0.4", 2, "earns 0.4 as a remainder", "1.5"),
    "excluded while something is left": (f"basis_id = BASIS_OF_3, {EMPTY}", 1, "earns nothing", "0"),
    "earned although nothing is left": (f"basis_id = BASIS_OF_1, {FULL}", 3, "earns 1.5", "2"),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_the_audit_finds_a_line_that_does_not_keep_to_the_cap(
    desk: CapDesk, superuser: psycopg.Connection, what: str
) -> None:
    desk.take_in(*(a_fill(number, account="4", fee="-5") for number in (1, 2, 3)))
    settle_all(desk.database)
    assert desk.outcomes("4") == ["1.5", "0.5 CAP_REMAINDER", "CAP_REACHED"]
    tampering, bill_id, earns, before = TAMPERINGS[what]
    bases = dict(desk.rows("SELECT 'BASIS_OF_' || bill_id, basis_id FROM line"))
    for name, basis_id in bases.items():
        tampering = tampering.replace(name, str(basis_id))
    superuser.execute("SET session_replication_role = replica")
    superuser.execute(f"UPDATE line SET {tampering} WHERE bill_id = '{bill_id}'")  # noqa: S608 - written above
    where = f"line okx 4 {bill_id} (revision 0) of window 2026-03-01 06:00:00+00"
    counted = f"in its month and tree {before} was earned before, and the cap is 2"
    assert f"{where} {earns}; {counted}" in desk.verify_check("caps are held")
