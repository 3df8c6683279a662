"""Short words for tests that book entries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import text

from settlement.ledger import entries
from settlement.ledger.entries import Entry
from settlement.store.database import Database
from settlement.store.ledger import post_entries

WINDOW = datetime(2026, 3, 2, 6, tzinfo=UTC)


def now() -> datetime:
    return datetime.now(UTC)


def new_run(database: Database, *, closed: bool = True) -> int:
    """Another run of WINDOW."""
    with database.transaction() as connection:
        connection.execute(
            text("INSERT INTO settlement_window (window_start) VALUES (:window) ON CONFLICT DO NOTHING"),
            {"window": WINDOW},
        )
        run_id = connection.execute(
            text(
                "INSERT INTO run (window_start, revision, kind, closed_at) SELECT :window, count(*), 'scheduled',"
                " CASE WHEN :closed THEN now() END FROM run RETURNING run_id"
            ),
            {"window": WINDOW, "closed": closed},
        )
        return int(run_id.scalar_one())


def earned(run_id: int, payee: str, amount: str | Decimal, *, root: str = "alpha") -> Entry:
    return entries.earned(run_id=run_id, root=root, payee=payee, amount=Decimal(amount), window_start=WINDOW)


def book(database: Database, *booked: Entry, chain: str = "alpha") -> list[int]:
    with database.transaction() as connection:
        return post_entries(connection, chain=chain, entries=booked)


def balances(database: Database) -> dict[str, Decimal]:
    """Every account that is not at zero, over all chains."""
    query = "SELECT account, sum(balance_usdt) AS balance FROM balance GROUP BY account HAVING sum(balance_usdt) <> 0"
    with database.transaction() as connection:
        return {row.account: row.balance for row in connection.execute(text(query))}


def count(database: Database, table: str) -> int:
    with database.transaction() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())  # noqa: S608 - our own name


def book_many(database: Database, payees: Sequence[str], amount: str, *, chain: str = "alpha") -> int:
    """One run in which each payee earns `amount`; returns the run."""
    run_id = new_run(database)
    book(database, *(earned(run_id, payee, amount, root=chain) for payee in payees), chain=chain)
    return run_id
