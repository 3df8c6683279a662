"""Accounts that nobody has to be asked for: rows of a test's own, to be counted, to lag and to fail."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from settlement.store import harvests
from settlement.store.database import Database
from settlement.store.harvests import Step

VENUE = "okx"
TYPES = ("SPOT", "SWAP")
HOUR = datetime(2026, 3, 2, 6, tzinfo=UTC)

_ADD = text("""
    INSERT INTO venue_account (venue, account, role, model, base_url, demo, sealed, status, pull_from, added_by)
    VALUES (:venue, :account, :role, 'api', 'http://127.0.0.1:9', false, '\\x00', :status, :pull_from, 'test')
""")
_EXPECT = text("""
    INSERT INTO harvest (venue, account, instrument_type)
    SELECT :venue, :account, type FROM unnest(CAST(:types AS text[])) type
""")


def execute(database: Database, statement: str, **parameters: Any) -> list[Any]:
    """Every row of a statement's answer."""
    with database.transaction() as connection:
        result = connection.execute(text(statement), parameters)
        return list(result) if result.returns_rows else []


def add(
    database: Database,
    accounts: Iterable[str],
    *,
    pull_from: datetime = HOUR,
    status: str = "active",
    role: str = "client",
) -> None:
    """Accounts with `TYPES` to be harvested, a broker's own excepted."""
    rows = [
        {"venue": VENUE, "account": each, "role": role, "status": status, "pull_from": pull_from} for each in accounts
    ]
    with database.transaction() as connection:
        connection.execute(_ADD, rows)
        if role == "client":
            connection.execute(_EXPECT, [{**row, "types": list(TYPES)} for row in rows])


def cover(  # noqa: PLR0913 - whose, what of it, and when
    database: Database,
    account: str,
    start: datetime,
    end: datetime,
    *,
    types: Iterable[str] = TYPES,
    at: datetime | None = None,
) -> None:
    """[start, end) was read from end to end, at `at` (its end if not given)."""
    steps = [Step(account=account, instrument_type=kind, walk=None, covered=(start, end)) for kind in types]
    with database.transaction() as connection:
        harvests.take_steps(connection, venue=VENUE, steps=steps, now=at or end)


def fail(database: Database, account: str, *, at: datetime, error: str = "it broke", kind: str = "SPOT") -> None:
    """The account's pull of one type ended with an error."""
    with database.transaction() as connection:
        harvests.fail(connection, venue=VENUE, account=account, instrument_type=kind, error=error, now=at)


def set_status(database: Database, account: str, status: str) -> None:
    execute(database, "UPDATE venue_account SET status = :s WHERE account = :a", s=status, a=account)
