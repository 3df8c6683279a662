from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from settlement.errors import IdempotencyConflict
from settlement.ledger import entries
from settlement.ledger.entries import Entry, chain_hash, content_digest, genesis_hash
from settlement.store.database import Database
from settlement.store.ledger import payable, post_entries
from tests.store.booking import WINDOW, balances, book, book_many, count, earned, new_run, now


def test_what_is_earned_is_owed(database: Database) -> None:
    run_id = new_run(database)
    book(database, earned(run_id, "beta", "10.000000000001"), earned(run_id, "client:okx:7", "2.5"))
    assert balances(database) == {
        "operator:commission_expense": Decimal("12.500000000001"),
        "payee:beta:payable": Decimal("10.000000000001"),
        "payee:client:okx:7:payable": Decimal("2.5"),
    }


def test_a_payout_takes_its_way_through_the_accounts(database: Database) -> None:
    book_many(database, ["beta"], "10")
    words = {"payee": "beta", "effective_at": now()}
    book(database, entries.payout_instructed(payout_key="one", amount=Decimal(6), run_id=None, **words))
    assert balances(database)["payee:beta:in_flight"] == 6
    book(database, entries.payout_confirmed(payout_key="one", amount=Decimal(6), **words))
    book(database, entries.payout_instructed(payout_key="two", amount=Decimal(3), run_id=None, **words))
    book(database, entries.payout_failed(payout_key="two", amount=Decimal(3), **words))
    book(database, entries.held(hold_key="one", amount=Decimal(1), **words))
    assert balances(database) == {
        "operator:commission_expense": Decimal(10),
        "operator:treasury_usdt": Decimal(-6),
        "payee:beta:payable": Decimal(3),
        "payee:beta:held": Decimal(1),
    }


def test_a_negative_correction_may_drive_a_payee_below_zero(database: Database) -> None:
    run_id = book_many(database, ["beta"], "10")
    book(
        database,
        entries.correction(
            run_id=run_id, root="alpha", payee="beta", amount=Decimal("-10.5"), window_start=WINDOW, inputs_digest="d"
        ),
    )
    assert balances(database) == {
        "operator:commission_expense": Decimal("-0.5"),
        "payee:beta:payable": Decimal("-0.5"),
    }


def test_posting_again_changes_nothing_and_returns_the_same_ids(database: Database) -> None:
    run_id = new_run(database)
    booked = [earned(run_id, "beta", "10"), earned(run_id, "gamma", "5")]
    first = book(database, *booked)
    before = balances(database)
    assert book(database, *booked) == first
    assert balances(database) == before
    assert book(database, booked[1], earned(run_id, "delta", "1"), booked[0])[::2] == first[::-1]
    assert count(database, "entry") == 3
    assert balances(database)["payee:beta:payable"] == 10


def test_the_same_key_with_other_content_is_a_conflict_and_posts_nothing(database: Database) -> None:
    run_id = new_run(database)
    book(database, earned(run_id, "beta", "10"))
    with pytest.raises(IdempotencyConflict, match=r"earned run:\d+:alpha:beta is already posted with other content"):
        book(database, earned(run_id, "gamma", "1"), earned(run_id, "beta", "10.000000000001"))
    assert count(database, "entry") == 1


def test_a_key_twice_in_one_call_is_one_entry_or_a_conflict(database: Database) -> None:
    run_id = new_run(database)
    one, other = earned(run_id, "beta", "10"), earned(run_id, "beta", "11")
    assert len(set(book(database, one, one))) == 1
    with pytest.raises(IdempotencyConflict):
        book(
            database,
            earned(run_id, "gamma", "1"),
            replace(other, idempotency_key="x"),
            replace(one, idempotency_key="x"),
        )


def test_nothing_to_post_posts_nothing(database: Database) -> None:
    assert book(database) == []
    assert count(database, "chain_head") == 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    payee=st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=12).filter(
        lambda name: not name.startswith("client:")
    ),
    amount=st.decimals(min_value="0.000000000001", max_value="1e18", places=12),
    microseconds=st.integers(0, 3_000_000),
)
def test_python_and_postgresql_hash_the_same(
    database: Database, payee: str, amount: Decimal, microseconds: int
) -> None:
    run_id = new_run(database)
    moment = now() - timedelta(microseconds=microseconds)
    chain = f"root {payee}"
    booked = [
        earned(run_id, payee, amount, root=chain),
        entries.held(hold_key=f"{run_id}", payee=payee, amount=amount, effective_at=moment),
    ]
    with database.transaction() as connection:
        ids = post_entries(connection, chain=chain, entries=booked)
        rows = connection.execute(
            text("SELECT e.*, entry_hash(e) AS computed FROM entry e WHERE entry_id = ANY(:ids) ORDER BY sequence"),
            {"ids": ids},
        ).all()
        contents = connection.execute(
            text(
                "SELECT sha256(convert_to(entry_content(e, string_agg(leg_content(p), E'\\n' ORDER BY leg)), 'UTF8'))"
                " FROM entry e JOIN posting p USING (entry_id) WHERE entry_id = ANY(:ids) GROUP BY e.entry_id ORDER BY e.sequence"
            ),
            {"ids": ids},
        )
        assert list(contents.scalars()) == [content_digest(entry) for entry in booked]
    for row, entry in zip(rows, booked, strict=True):
        expected = chain_hash(
            previous_hash=row.previous_hash,
            content_digest=content_digest(entry),
            chain=chain,
            sequence=row.sequence,
            recorded_at=row.recorded_at,
        )
        assert row.hash == row.computed == expected


def test_entries_of_a_chain_follow_each_other_and_chains_stand_apart(database: Database) -> None:
    for chain in ("alpha", "beta", "alpha"):
        book_many(database, ["p", "q"], "1", chain=chain)
    with database.transaction() as connection:
        rows = connection.execute(
            text("SELECT chain, sequence, previous_hash, hash FROM entry ORDER BY chain, sequence")
        ).all()
        heads = connection.execute(text("SELECT chain, sequence, hash FROM chain_head ORDER BY chain")).all()
    assert [(row.chain, row.sequence) for row in rows] == [("alpha", n) for n in (1, 2, 3, 4)] + [
        ("beta", 1),
        ("beta", 2),
    ]
    assert [row.previous_hash for row in rows] == [
        genesis_hash("alpha"), *(row.hash for row in rows[:3]), genesis_hash("beta"), rows[4].hash,
    ]  # fmt: skip
    assert [tuple(head) for head in heads] == [("alpha", 4, rows[3].hash), ("beta", 2, rows[5].hash)]


def test_a_chain_never_goes_back_in_time_when_the_clock_does(database: Database, superuser: psycopg.Connection) -> None:
    run_id = new_run(database)
    book_many(database, ["beta"], "1", chain="alpha")
    superuser.execute("SET session_replication_role = replica")
    superuser.execute("UPDATE chain_head SET recorded_at = recorded_at + interval '1 minute'")
    with database.transaction() as connection:
        post_entries(connection, chain="alpha", entries=[earned(run_id, "gamma", "1")])
        recorded = connection.execute(text("SELECT recorded_at FROM entry ORDER BY sequence")).scalars().all()
    assert recorded[1] == recorded[0] + timedelta(minutes=1)


def test_payable_is_summed_over_chains(database: Database) -> None:
    book_many(database, ["beta"], "10", chain="alpha")
    book_many(database, ["beta"], "5", chain="gamma")
    with database.transaction() as connection:
        assert payable(connection, ["beta", "nobody"], hold_hours=0, now=now()) == {
            "beta": Decimal(15),
            "nobody": Decimal(0),
        }


def test_what_was_earned_lately_is_not_mature(database: Database) -> None:
    run_id = book_many(database, ["beta"], "10")

    def mature(*, hours_later: float, hold_hours: int = 2) -> Decimal:
        with database.transaction() as connection:
            later = now() + timedelta(hours=hours_later)
            return payable(connection, ["beta"], hold_hours=hold_hours, now=later)["beta"]

    assert mature(hours_later=0, hold_hours=0) == 10
    assert mature(hours_later=0) == 0
    assert mature(hours_later=1.9) == 0
    assert mature(hours_later=2) == 10
    downwards = entries.correction(
        run_id=run_id, root="alpha", payee="beta", amount=Decimal(-3), window_start=WINDOW, inputs_digest="d"
    )
    book(database, downwards)
    assert mature(hours_later=0) == -3, "a correction downwards counts at once"
    assert mature(hours_later=2) == 7


def test_money_that_comes_back_from_a_payout_is_mature_at_once(database: Database) -> None:
    book_many(database, ["beta"], "10")
    words = {"payee": "beta", "payout_key": "one", "amount": Decimal(10), "effective_at": now()}
    with database.transaction() as connection:
        later = now() + timedelta(hours=3)
        assert payable(connection, ["beta"], hold_hours=2, now=later)["beta"] == 10
        post_entries(connection, chain="alpha", entries=[entries.payout_instructed(run_id=None, **words)])
        assert payable(connection, ["beta"], hold_hours=2, now=later)["beta"] == 0
        post_entries(connection, chain="alpha", entries=[entries.payout_failed(**words)])
        assert payable(connection, ["beta"], hold_hours=2, now=later)["beta"] == 10
        assert payable(connection, ["beta"], hold_hours=2, now=now())["beta"] == 0


def test_thousands_of_entries_are_posted_in_one_go(database: Database) -> None:
    run_id = new_run(database)
    many: list[Entry] = [earned(run_id, f"client:okx:{number}", "1.5") for number in range(5_000)]
    started = time.perf_counter()
    book(database, *many)
    # Row by row this takes minutes; the limit leaves room for a slow machine.
    assert time.perf_counter() - started < 10
    assert balances(database)["operator:commission_expense"] == Decimal(7_500)
