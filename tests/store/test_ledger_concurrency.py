"""Who waits for whom: different chains never, the same chain always, the same payee only to be paid."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal

import pytest
from sqlalchemy import text

from settlement.rules.facts import PayoutTerms
from settlement.store.database import Database
from settlement.store.ledger import post_entries
from settlement.store.payouts import instruct
from tests.store.booking import WINDOW, balances, book, book_many, count, earned, new_run, now

TERMS = PayoutTerms(minimum=Decimal(1), quantum=Decimal("0.01"), auto_approve_limit=Decimal(1000), hold_hours=0)
SECONDS = 20


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


def instruct_all(database: Database, chain: str, payees: list[str], *, run_id: int | None = None) -> list[Decimal]:
    with database.transaction() as connection:
        payouts = instruct(
            connection,
            chain=chain,
            payees=payees,
            terms=TERMS,
            run_id=run_id,
            window_start=WINDOW if run_id else None,
            now=now(),
            rails={},
        )
    return [payout.amount for payout in payouts]


def waits_for_a_lock(database: Database) -> bool:
    query = text(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')"
    )
    with database.owner_engine().connect() as connection:
        return bool(connection.execute(query).scalar_one())


def until(condition: Callable[[], bool]) -> None:
    for _ in range(SECONDS * 20):
        if condition():
            return
        threading.Event().wait(0.05)
    pytest.fail("it never came to that")


def test_two_chains_do_not_wait_for_each_other(database: Database, pool: ThreadPoolExecutor) -> None:
    book_many(database, ["beta"], "1", chain="alpha")
    run_id = new_run(database)
    with database.transaction() as connection:
        entries = [earned(run_id, "beta", "1")]
        post_entries(connection, chain="alpha", entries=entries)
        # The same payee and the same expense account, while the first transaction is still open.
        other: Future[list[int]] = pool.submit(book, database, earned(run_id, "beta", "2", root="gamma"), chain="gamma")
        assert len(other.result(timeout=SECONDS)) == 1
    assert balances(database)["payee:beta:payable"] == 4


def test_one_chain_is_extended_by_one_transaction_at_a_time(database: Database, pool: ThreadPoolExecutor) -> None:
    book_many(database, ["beta", "gamma"], "1")
    run_id = new_run(database)
    with database.transaction() as connection:
        post_entries(connection, chain="alpha", entries=[earned(run_id, "beta", "1")])
        other: Future[list[int]] = pool.submit(book, database, earned(run_id, "gamma", "1"))
        until(lambda: waits_for_a_lock(database))
        assert not other.done()
    other.result(timeout=SECONDS)
    with database.transaction() as connection:
        sequences = connection.execute(text("SELECT sequence FROM entry ORDER BY entry_id")).scalars().all()
    assert sequences == [1, 2, 3, 4]


def test_many_who_post_at_once_leave_one_whole_chain(database: Database, pool: ThreadPoolExecutor) -> None:
    run_id = new_run(database)
    payees = [f"payee-{number}" for number in range(40)]
    # Every entry is posted twice, in opposite orders, on a chain nobody has begun.
    work = [earned(run_id, payee, "1") for payee in (*payees, *reversed(payees))]
    ids = list(pool.map(lambda entry: book(database, entry)[0], work))
    assert ids[:40] == ids[:39:-1]
    assert count(database, "entry") == 40
    assert balances(database)["operator:commission_expense"] == 40


def test_two_shards_that_owe_one_payee_pay_it_once(database: Database, pool: ThreadPoolExecutor) -> None:
    book_many(database, ["beta"], "10", chain="alpha")
    book_many(database, ["beta"], "5.005", chain="gamma")
    run_id = new_run(database)
    with database.transaction() as connection:
        first = instruct(
            connection,
            chain="alpha",
            payees=["beta"],
            terms=TERMS,
            run_id=run_id,
            window_start=WINDOW,
            now=now(),
            rails={},
        )
        second = pool.submit(instruct_all, database, "gamma", ["beta"], run_id=run_id)
        until(lambda: waits_for_a_lock(database))
    assert [payout.amount for payout in first] == [Decimal("15.00")]
    assert second.result(timeout=SECONDS) == []
    assert balances(database) == {
        "operator:commission_expense": Decimal("15.005"),
        "payee:beta:payable": Decimal("0.005"),
        "payee:beta:in_flight": Decimal(15),
    }


def test_shards_that_share_many_payees_neither_block_for_good_nor_pay_twice(
    database: Database, pool: ThreadPoolExecutor
) -> None:
    payees = [f"payee-{number}" for number in range(30)]
    for chain in ("alpha", "beta", "gamma", "delta"):
        book_many(database, payees, "3", chain=chain)
    run_id = new_run(database)
    orders = {"alpha": payees, "beta": payees[::-1], "gamma": payees[15:] + payees[:15], "delta": payees}
    paid = list(pool.map(lambda item: instruct_all(database, item[0], item[1], run_id=run_id), orders.items()))
    assert sum(len(amounts) for amounts in paid) == 30
    assert {amount for amounts in paid for amount in amounts} == {Decimal("12.00")}
    assert all(balance != 0 for balance in balances(database).values())
    assert balances(database).get("payee:payee-7:payable") is None
