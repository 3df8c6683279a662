"""The audit log and the referral codes: rows are added, and nobody changes what they say."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from settlement.store import audit_log
from settlement.store.audit_log import AuditEntry
from settlement.store.database import Database
from tests.pipeline.loads.by_hand import add_broker, add_code

ENTRY = AuditEntry(by="ana", act="broker.set", subject="alpha", reason="agreed", before=None, after={"share": "0.40"})
CHANGES = [
    "UPDATE audit_log SET reason = 'other'",
    "DELETE FROM audit_log",
    "TRUNCATE audit_log",
    "UPDATE referral_code SET client_limit = 9",
    "UPDATE referral_code SET broker_id = 'beta'",
    "DELETE FROM referral_code",
    "TRUNCATE referral_code",
]


@pytest.fixture
def written(database: Database) -> Database:
    """A database with a broker, its code, and what the log says of them."""
    add_broker(database, "alpha")
    add_code(database, "spring26", "alpha")
    return database


@pytest.fixture
def application(database_url: str, written: Database) -> Iterator[psycopg.Connection]:  # noqa: ARG001 - after the writing
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SET ROLE settlement_app")
        yield connection


def test_nobody_changes_what_was_written(application: psycopg.Connection, superuser: psycopg.Connection) -> None:
    for connection in (application, superuser):
        for change in CHANGES:
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(change.encode())


def test_the_application_cannot_date_an_act(application: psycopg.Connection) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        application.execute(
            "INSERT INTO audit_log (at, by, act, subject, reason) VALUES ('2026-01-01', 'ana', 'broker.set', 'alpha', 'x')"
        )


def test_values_are_kept_as_they_are_written(database: Database, superuser: psycopg.Connection) -> None:
    with database.transaction() as connection:
        number = audit_log.record(connection, ENTRY)
    rows = superuser.execute(
        "SELECT audit_id, by, act, reason, before, after, at BETWEEN now() - interval '1 minute' AND clock_timestamp()"
        " FROM audit_log"
    ).fetchall()
    assert rows == [(number, "ana", "broker.set", "agreed", None, {"share": "0.40"}, True)]


def test_an_act_that_is_rolled_back_is_not_in_the_log(database: Database, superuser: psycopg.Connection) -> None:
    def act_in_vain() -> None:
        with database.transaction() as connection:
            audit_log.record(connection, ENTRY)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        act_in_vain()
    assert superuser.execute("SELECT count(*) FROM audit_log").fetchone() == (0,)


NO_ACTS = {
    "no reason": "'ana', 'broker.set', 'alpha', NULL",
    "empty reason": "'ana', 'broker.set', 'alpha', ''",
    "nobody": "'', 'broker.set', 'alpha', 'x'",
    "no act": "'ana', 'whatever', 'alpha', 'x'",
}
NO_CODES = {
    "too long": "'abcdefghijklmnopq', NULL, 'alpha', 'spring', NULL, now(), NULL",
    "other characters": "'a-b', NULL, 'alpha', 'spring', NULL, now(), NULL",
    "no clients": "'a', NULL, 'alpha', 'spring', 0, now(), NULL",
    "no time": "'a', NULL, 'alpha', 'spring', NULL, now(), now()",
    "no campaign": "'a', NULL, 'alpha', NULL, NULL, now(), NULL",
    "alias with a broker": "'a', 'spring26', 'alpha', NULL, NULL, NULL, NULL",
    "alias of itself": "'a', 'a', NULL, NULL, NULL, NULL, NULL",
}


def test_an_act_says_who_what_and_why(application: psycopg.Connection) -> None:
    columns = "by, act, subject, reason"
    assert [name for name, values in NO_ACTS.items() if is_taken(application, f"audit_log ({columns})", values)] == []


def test_a_code_that_makes_no_sense_is_refused_by_the_table(application: psycopg.Connection) -> None:
    columns = "code, alias_of, broker_id, campaign, client_limit, effective_from, effective_to"
    assert [
        name for name, values in NO_CODES.items() if is_taken(application, f"referral_code ({columns})", values)
    ] == []


def is_taken(connection: psycopg.Connection, table: str, values: str) -> bool:
    """Whether a table takes a row, which a check has to refuse otherwise."""
    try:
        connection.execute(f"INSERT INTO {table} VALUES ({values})".encode())  # noqa: S608 - written above
    except errors.CheckViolation:
        return False
    return True
