"""Statements: what they say adds up, and they are printed again digit for digit or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from settlement.errors import Refused
from settlement.ledger.entries import held, released
from settlement.pipeline.settle import settle_window
from settlement.reports.issue_statement import issue, print_again
from settlement.reports.statement import as_json
from settlement.reports.statement_words import in_words
from settlement.store.database import Database
from settlement.store.ledger import post_entries
from settlement.store.statements import list_issued
from tests.reports.story import CHAPTERS, FIRST, PAYEES, STATED, WINDOWS, Told, clock, now
from tests.store.booking import book, earned, new_run
from tests.store.test_ledger_concurrency import until, waits_for_a_lock
from tests.workers import program

MOVEMENTS = ("opening_usdt", "earned_usdt", "corrections_usdt", "payouts_usdt", "holds_usdt")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


@pytest.fixture
def settled_two(database: Database) -> Database:
    """The story up to two settled windows."""
    for name in ("nothing is settled", "two windows are settled"):
        CHAPTERS[name](database)
    return database


def state(database: Database, payee: str, *, start: datetime = FIRST, end: datetime = WINDOWS[3]) -> dict[str, Any]:
    return issue(database, payee=payee, start=start, end=end, by="ana")[1]


def movement(document: dict[str, Any]) -> list[Decimal]:
    return [Decimal(document["payable"][name]) for name in MOVEMENTS]


def total(rows: list[dict[str, Any]], name: str = "amount_usdt") -> Decimal:
    return sum((Decimal(row[name]) for row in rows), Decimal(0))


@pytest.mark.parametrize("chapter", STATED)
@pytest.mark.parametrize("payee", PAYEES)
def test_a_statement_is_printed_again_to_the_byte(told: Told, chapter: str, payee: str) -> None:
    issued, content = told.statements[chapter, payee]
    again, document = print_again(told.database, issued.heading.statement_id)
    assert again == issued
    assert as_json(document).decode() == content.decode()
    assert hashlib.sha256(content).hexdigest() == issued.sha256


@pytest.mark.parametrize("payee", PAYEES)
def test_the_same_period_says_something_else_once_it_is_corrected(told: Told, payee: str) -> None:
    assert len({told.statements[chapter, payee][1] for chapter in STATED}) == len(STATED)


@pytest.mark.parametrize("chapter", STATED)
@pytest.mark.parametrize("payee", PAYEES)
def test_a_statement_adds_up(told: Told, chapter: str, payee: str) -> None:
    document = json.loads(told.statements[chapter, payee][1])
    assert sum(movement(document)) == Decimal(document["payable"]["closing_usdt"])
    for part in ("earned", "corrections", "payouts", "holds"):
        assert total(document[part]) == Decimal(document["payable"][f"{part}_usdt"])
    lines = document["lines"]
    assert sum(row["lines"] for row in document["by_day_and_product"]) == lines["lines"] > 0
    for name in ("volume_usdt", "net_fee_usdt", "commission_usdt", "share_usdt"):
        assert total(document["by_day_and_product"], name) == Decimal(lines[name])
    assert Decimal(lines["share_usdt"]) == total(document["earned"]) + total(document["corrections"])


def test_a_correction_is_dated_to_its_window_and_says_when_and_why(told: Told) -> None:
    issued, content = told.statements["the correction is applied", "beta"]
    corrections = json.loads(content)["corrections"]
    assert [correction["window_start"] for correction in corrections] == [
        "2026-03-01T06:00:00Z",
        "2026-03-01T07:00:00Z",
    ]
    assert {correction["reason"] for correction in corrections} == {"gamma moved, and 2 is VIP 6"}
    recorded = [datetime.fromisoformat(correction["recorded_at"]) for correction in corrections]
    assert told.chapters["facts are corrected"].ended_at < min(recorded) <= max(recorded) < issued.heading.as_of
    assert all(Decimal(correction["amount_usdt"]) < 0 for correction in corrections)


def test_what_came_before_the_period_is_its_opening_balance(told: Told) -> None:
    document = json.loads(told.statements["the correction is applied", "beta"][1])
    with told.database.engine.connect() as connection:
        booked = connection.execute(
            text("""
                SELECT sum(CASE direction WHEN 'credit' THEN amount_usdt ELSE -amount_usdt END)
                FROM entry JOIN posting USING (entry_id)
                WHERE account = 'payee:beta:payable' AND effective_at = :window AND recorded_at <= :as_of
            """),
            {"window": WINDOWS[0], "as_of": document["as_of"]},
        ).scalar_one()
    later = state(told.database, "beta", start=WINDOWS[1])
    assert Decimal(later["payable"]["opening_usdt"]) == booked > 0
    assert later["payable"]["closing_usdt"] == document["payable"]["closing_usdt"]


def test_payouts_and_holds_are_in_the_period_in_which_they_happen(settled_two: Database) -> None:
    with settled_two.transaction() as connection:
        hold = {"hold_key": "dispute 7", "payee": "alpha", "effective_at": now()}
        entries = [held(**hold, amount=Decimal("0.5")), released(**hold, amount=Decimal("0.25"))]
        post_entries(connection, chain="alpha", entries=entries)
    document = state(settled_two, "alpha", end=clock(settled_two))
    assert sum(movement(document)) == Decimal(document["payable"]["closing_usdt"])
    assert document["payable"]["closing_usdt"] == document["as_of_issue"]["payable_usdt"]
    assert [(hold["kind"], hold["hold"], hold["amount_usdt"]) for hold in document["holds"]] == [
        ("held", "dispute 7", "-0.5"),
        ("released", "dispute 7", "0.25"),
    ]
    assert document["as_of_issue"]["held_usdt"] == "0.25"
    assert {payout["status"] for payout in document["payouts"]} == {"waiting"}
    assert -total(document["payouts"]) == Decimal(document["as_of_issue"]["in_flight_usdt"]) > 0


def test_a_payout_that_failed_is_payable_again_and_says_so_from_then_on(settled_two: Database) -> None:
    first, before = issue(settled_two, payee="alpha", start=FIRST, end=clock(settled_two), by="ana")
    CHAPTERS["a payout fails"](settled_two)
    after = state(settled_two, "alpha", end=clock(settled_two))
    assert {(payout["kind"], payout["status"]) for payout in before["payouts"]} == {("payout_instructed", "waiting")}
    assert (after["payouts"][-1]["kind"], after["payouts"][-1]["status"]) == ("payout_failed", "failed")
    assert print_again(settled_two, first.heading.statement_id)[1] == before


def test_a_broker_who_never_earned_gets_a_statement_of_nothing(settled_two: Database) -> None:
    with settled_two.transaction() as connection:
        connection.execute(
            text("""
                INSERT INTO broker (broker_id, name, model, status, effective_from, load_id)
                VALUES ('delta', 'Delta', 'api', 'active', '2026-01-01Z', 1)
            """)
        )
    document = state(settled_two, "delta")
    assert movement(document) == [0] * len(MOVEMENTS)
    assert document["lines"]["lines"] == 0


@pytest.mark.parametrize("payee", ["nobody", "client:okx:77"])
def test_a_statement_for_nobody_is_refused(settled_two: Database, payee: str) -> None:
    with pytest.raises(Refused, match=f"there is no payee '{payee}'; a payee is a broker_id"):
        state(settled_two, payee)


def test_a_period_that_is_not_over_is_refused(settled_two: Database) -> None:
    with pytest.raises(Refused, match=r"statement for alpha: the period ends at .*, which is still to come"):
        state(settled_two, "alpha", end=clock(settled_two) + timedelta(hours=1))
    with settled_two.transaction() as connection:
        assert list_issued(connection) == []


def test_an_unknown_statement_is_refused(settled_two: Database) -> None:
    with pytest.raises(Refused, match="there is no statement 12"):
        print_again(settled_two, 12)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE posting SET amount_usdt = amount_usdt + 0.000000000001 WHERE account = 'payee:alpha:payable'",
        "UPDATE line SET net_fee_usdt = net_fee_usdt + 0.000000000001 WHERE bill_id = '1-6-1'",
        "UPDATE run_shard SET settled_at = now() WHERE root = 'alpha'",
        "DELETE FROM payout_change; UPDATE payout SET status = 'cancelled' WHERE payee = 'alpha'",
        "UPDATE statement SET issued_by = 'ben'",
    ],
)
def test_books_that_were_tampered_with_print_no_statement(
    settled_two: Database, superuser: psycopg.Connection, tampering: str
) -> None:
    issued, _ = issue(settled_two, payee="alpha", start=FIRST, end=clock(settled_two), by="ana")
    superuser.execute("SET session_replication_role = replica")
    superuser.execute(tampering.encode())
    with pytest.raises(
        Refused, match=f"statement 1: the books no longer say what they said: .* instead of {issued.sha256}"
    ):
        print_again(settled_two, 1)


def test_an_issued_statement_cannot_be_changed(settled_two: Database, superuser: psycopg.Connection) -> None:
    state(settled_two, "alpha")
    for attack in ("UPDATE statement SET issued_by = 'ben'", "DELETE FROM statement", "DELETE FROM payout_change"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            superuser.execute(attack.encode())


def test_a_statement_waits_for_what_is_being_recorded(database: Database, pool: ThreadPoolExecutor) -> None:
    run_id = new_run(database)
    book(database, earned(run_id, "alpha", "1"))
    with database.transaction() as connection:
        post_entries(connection, chain="alpha", entries=[earned(new_run(database), "alpha", "2")])
        waiting = pool.submit(state, database, "alpha", start=FIRST, end=FIRST + timedelta(days=2))
        until(lambda: waits_for_a_lock(database))
        assert not waiting.done()
    assert waiting.result(timeout=20)["payable"]["earned_usdt"] == "3"


def test_statements_that_are_issued_while_shards_are_settled_print_the_same_later(
    database: Database, pool: ThreadPoolExecutor
) -> None:
    program.load_program(database)
    settling = [pool.submit(settle_window, database, window, now=now()) for window in program.WINDOWS[:2]]
    issued = []
    while not all(settled.done() for settled in settling):
        payee = ("alpha", "gamma")[len(issued) % 2]
        issued.append(issue(database, payee=payee, start=program.FIRST, end=program.WINDOWS[3], by="ana"))
    for settled in settling:
        settled.result()
    for window in program.WINDOWS[2:]:
        settle_window(database, window, now=now())
    assert issued
    for statement, document in issued:
        assert print_again(database, statement.heading.statement_id) == (statement, document)


def test_words_tell_the_same(told: Told) -> None:
    issued, content = told.statements["the correction is applied", "gamma"]
    document = json.loads(content)
    words = "\n".join(in_words(document, sha256=issued.sha256))
    assert issued.sha256 in words
    for figure in (*document["payable"].values(), *document["as_of_issue"].values()):
        assert figure in words
    assert "recalculation 1: gamma moved, and 2 is VIP 6" in words
