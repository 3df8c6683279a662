"""What nobody may do to the ledger: first as the application, then as the owner of its tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import errors

from settlement.ledger.entries import genesis_hash
from settlement.store.database import Database
from tests.store.booking import WINDOW, balances, book, book_many, earned, new_run, now

CHANGES = [
    "UPDATE {0} SET {1} = {2}",
    "DELETE FROM {0}",
    "TRUNCATE {0} CASCADE",
]
# A table and one of its columns.
TABLES = [
    ("entry", "recorded_at"),
    ("posting", "amount_usdt"),
    ("fill", "fee"),
    ("line", "commission_usdt"),
    ("basis", "rate"),
    ("split", "shares"),
    ("balance", "balance_usdt"),
    ("chain_head", "hash"),
    ("payee", "kind"),
    ("ledger_account", "normal_side"),
]


@pytest.fixture
def booked(database: Database) -> int:
    """A run in which beta earned 10."""
    return book_many(database, ["beta"], "10")


@pytest.fixture
def application(database_url: str, booked: int) -> Iterator[psycopg.Connection]:  # noqa: ARG001 - after the booking
    with _connect(database_url) as connection:
        connection.execute("SET ROLE settlement_app")
        yield connection


@pytest.fixture
def owner(database_url: str, booked: int) -> Iterator[psycopg.Connection]:  # noqa: ARG001 - after the booking
    with _connect(database_url) as connection:
        yield connection


def _connect(url: str) -> psycopg.Connection:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


@dataclass
class Forgery:
    """An entry as somebody could write it by hand; PostgreSQL itself computes the digests, so only the lie is wrong."""

    legs: list[tuple[str, str, str]] = field(
        default_factory=lambda: [("operator:commission_expense", "debit", "1"), ("payee:beta:payable", "credit", "1")]
    )
    kind: str = "earned"
    key: str = "forged"
    chain: str = "alpha"
    sequence: int | None = None
    effective_at: datetime = WINDOW
    recorded_at: datetime | None = None
    run_id: int | None = 1
    declared_legs: int = 2
    digest: bytes | None = None
    hash: bytes | None = None
    previous_hash: bytes | None = None

    def insert(self, connection: psycopg.Connection) -> int:
        """Writes the entry in a transaction of its own, so that the deferred checks run; returns its id."""
        with connection.transaction():
            entry_id = self.insert_entry(connection)
            add_legs(connection, entry_id, self.legs)
        return entry_id

    def insert_entry(self, connection: psycopg.Connection) -> int:
        """Writes the entry without its legs."""
        head = connection.execute(
            "SELECT sequence, hash FROM public.chain_head WHERE chain = %s", [self.chain]
        ).fetchone()
        sequence, last_hash = head or (0, genesis_hash(self.chain))
        row = connection.execute(
            """
            WITH said AS (
                SELECT %(chain)s::text AS chain, %(sequence)s::bigint AS sequence, %(kind)s::text AS kind,
                       %(key)s::text AS key, %(run_id)s::bigint AS run_id, %(effective_at)s::timestamptz AS effective_at,
                       %(recorded_at)s::timestamptz AS recorded_at, %(legs)s::smallint AS legs,
                       %(previous_hash)s::bytea AS previous_hash,
                       coalesce(%(digest)s::bytea, sha256(convert_to(entry_content(
                           ROW(0, '', 0, %(kind)s, %(key)s, %(run_id)s, %(effective_at)s, now(), 2, '', '', '')::entry,
                           %(contents)s), 'UTF8'))) AS digest
            )
            INSERT INTO entry (chain, sequence, kind, idempotency_key, run_id, effective_at, recorded_at, legs,
                               content_digest, previous_hash, hash)
            SELECT chain, sequence, kind, key, run_id, effective_at, recorded_at, legs, digest, previous_hash,
                   coalesce(%(hash)s::bytea, entry_hash(ROW(0, chain, sequence, kind, key, run_id, effective_at,
                                                            recorded_at, legs, digest, previous_hash, '')::entry))
            FROM said RETURNING entry_id
            """,
            {
                "chain": self.chain,
                "sequence": self.sequence if self.sequence is not None else sequence + 1,
                "kind": self.kind,
                "key": self.key,
                "run_id": self.run_id,
                "effective_at": self.effective_at,
                "recorded_at": self.recorded_at or now(),
                "legs": self.declared_legs,
                "previous_hash": self.previous_hash or last_hash,
                "digest": self.digest,
                "hash": self.hash,
                "contents": self._contents(connection),
            },
        ).fetchone()
        assert row is not None
        return int(row[0])

    def _contents(self, connection: psycopg.Connection) -> str:
        lines = []
        for number, (account, direction, amount) in enumerate(self.legs, 1):
            leg = "SELECT leg_content(ROW(0, %s, %s, %s, %s)::posting)"
            row = connection.execute(leg, [number, account, direction, amount]).fetchone()
            assert row is not None
            lines.append(row[0])
        return "\n".join(lines)


def add_legs(
    connection: psycopg.Connection, entry_id: int, legs: list[tuple[str, str, str]], *, first: int = 1
) -> None:
    for number, (account, direction, amount) in enumerate(legs, first):
        connection.execute(
            "INSERT INTO posting (entry_id, leg, account, direction, amount_usdt) VALUES (%s, %s, %s, %s, %s)",
            [entry_id, number, account, direction, amount],
        )


def legs(*legs: str) -> list[tuple[str, str, str]]:
    """`"debit operator:commission_expense 1"` as a leg."""
    return [(account, direction, amount) for direction, account, amount in (leg.split(" ") for leg in legs)]


def test_an_honest_entry_written_by_hand_is_taken(application: psycopg.Connection, database: Database) -> None:
    Forgery(legs=legs("debit operator:commission_expense 1", "credit payee:beta:payable 1")).insert(application)
    assert balances(database)["payee:beta:payable"] == 11


def test_the_application_can_change_nothing_that_was_written(application: psycopg.Connection) -> None:
    for table, column in TABLES:
        for change in CHANGES:
            with pytest.raises(errors.InsufficientPrivilege):
                application.execute(change.format(table, column, column))


def test_neither_can_the_owner_while_the_triggers_stand(owner: psycopg.Connection) -> None:
    for table, column in TABLES:
        for change in CHANGES:
            with pytest.raises(
                errors.InsufficientPrivilege, match=r"is refused: it (is append-only|follows the entries)"
            ):
                owner.execute(change.format(table, column, column))


def test_a_partition_is_no_way_round(owner: psycopg.Connection) -> None:
    for table in ("fill", "line"):
        owner.execute("SELECT ensure_partitions(%s, '2026-03-02', '2026-03-02')", [table])
        for change in CHANGES:
            with pytest.raises(errors.InsufficientPrivilege, match="append-only"):
                owner.execute(change.format(f"{table}_20260302", "bill_id", "bill_id"))


def test_a_balance_cannot_be_written_by_hand(application: psycopg.Connection, owner: psycopg.Connection) -> None:
    insertion = "INSERT INTO balance VALUES ('payee:beta:payable', 'gamma', 1000000)"
    with pytest.raises(errors.InsufficientPrivilege):
        application.execute(insertion)
    with pytest.raises(errors.InsufficientPrivilege):
        application.execute("INSERT INTO chain_head VALUES ('gamma', 0, '', now())")
    with pytest.raises(errors.InsufficientPrivilege, match="it follows the entries"):
        owner.execute(insertion)


def test_a_payout_keeps_its_amount_and_its_address(owner: psycopg.Connection) -> None:
    owner.execute(
        "INSERT INTO payout (payee, chain, amount_usdt, status, created_at, idempotency_key)"
        " VALUES ('beta', 'alpha', 1, 'waiting', now(), 'k')"
    )
    for change in ("UPDATE payout SET amount_usdt = 2", "UPDATE payout SET address = 'mine'", "DELETE FROM payout"):
        with pytest.raises(errors.InsufficientPrivilege, match="append-only"):
            owner.execute(change)
    owner.execute("UPDATE payout SET status = 'approved'")


UNBALANCED = {
    "one side larger": legs("debit operator:commission_expense 1", "credit payee:beta:payable 1.000000000001"),
    "both on one side": legs("credit operator:commission_expense 1", "credit payee:beta:payable 1"),
}


def test_an_entry_that_does_not_balance_cannot_be_committed(
    owner: psycopg.Connection, application: psycopg.Connection
) -> None:
    for connection in (owner, application):
        for unbalanced in UNBALANCED.values():
            with pytest.raises(errors.IntegrityError, match="does not balance"):
                Forgery(legs=unbalanced).insert(connection)


def test_an_entry_needs_the_legs_it_declares(owner: psycopg.Connection) -> None:
    one = legs("debit operator:commission_expense 1")
    with pytest.raises(errors.IntegrityError, match=r"does not balance: 1 of 2 legs"):
        Forgery(legs=one).insert(owner)
    with pytest.raises(errors.CheckViolation, match="legs"):
        Forgery(legs=one, declared_legs=1).insert(owner)
    with pytest.raises(errors.IntegrityError, match=r"does not balance: 0 of 2 legs"):
        Forgery(legs=[]).insert(owner)


def test_an_amount_is_positive_finite_and_has_twelve_decimals(owner: psycopg.Connection) -> None:
    for amount in ("NaN", "Infinity", "-1", "0", "0.0000000000001", "1.0000000000001"):
        both = legs(f"debit operator:commission_expense {amount}", f"credit payee:beta:payable {amount}")
        with pytest.raises(errors.CheckViolation, match="posting_amount_usdt"):
            Forgery(legs=both, digest=b"any").insert(owner)


MISUSES = {
    "earned out of in flight": ("earned", legs("debit payee:beta:payable 1", "credit payee:beta:in_flight 1")),
    "earned backwards": ("earned", legs("debit payee:beta:payable 1", "credit operator:commission_expense 1")),
    "from one payee to another": (
        "payout_instructed",
        legs("debit payee:beta:payable 1", "credit payee:eve:in_flight 1"),
    ),
    "out of the treasury": ("payout_confirmed", legs("debit operator:treasury_usdt 1", "credit payee:beta:payable 1")),
    "between accounts of the operator": (
        "earned",
        legs("debit operator:commission_expense 1", "credit operator:write_off 1"),
    ),
}


def test_an_act_moves_only_the_accounts_it_is_meant_for(owner: psycopg.Connection) -> None:
    owner.execute("INSERT INTO payee VALUES ('eve', 'broker')")
    for kind, moved in MISUSES.values():
        with pytest.raises(errors.IntegrityError, match="moves what"):
            Forgery(kind=kind, legs=moved, effective_at=WINDOW if kind == "earned" else now()).insert(owner)


def test_an_account_must_be_declared(owner: psycopg.Connection) -> None:
    both = legs("debit operator:commission_expense 1", "credit payee:nobody:payable 1")
    with pytest.raises(errors.ForeignKeyViolation):
        Forgery(legs=both).insert(owner)
    with pytest.raises(errors.CheckViolation):
        owner.execute("INSERT INTO ledger_account VALUES ('operator:pocket', NULL, 'debit')")
    with pytest.raises(errors.CheckViolation):
        owner.execute("INSERT INTO ledger_account VALUES ('payee:beta:bonus', 'beta', 'credit')")


def test_the_same_event_is_booked_once(owner: psycopg.Connection) -> None:
    Forgery(key="k").insert(owner)
    for again in (
        Forgery(key="k"),
        Forgery(key="k", legs=legs("debit operator:commission_expense 9", "credit payee:beta:payable 9")),
    ):
        with pytest.raises(errors.UniqueViolation, match="idempotency_key"):
            again.insert(owner)


def test_an_entry_is_recorded_now_and_dated_to_its_window(owner: psycopg.Connection) -> None:
    hour = timedelta(hours=1)
    lies = (
        (Forgery(recorded_at=now() + hour), "not recorded now"),
        (Forgery(recorded_at=now() - hour), "does not follow the head"),
        (Forgery(recorded_at=now() - 2 * hour, chain="new"), "not recorded now"),
        (Forgery(effective_at=WINDOW - hour), "not dated to the window of its run"),
    )
    for lie, message in lies:
        with pytest.raises(errors.IntegrityError, match=message):
            lie.insert(owner)
    with pytest.raises(errors.CheckViolation):
        Forgery(run_id=None).insert(owner)


def test_what_is_no_settlement_cannot_be_dated_back_or_ahead(owner: psycopg.Connection) -> None:
    held = legs("debit payee:beta:payable 1", "credit payee:beta:held 1")
    for days in (-1, 1):
        with pytest.raises(errors.CheckViolation, match="entry_check"):
            Forgery(kind="held", legs=held, effective_at=now() + timedelta(days=days)).insert(owner)


def test_nothing_leaves_in_flight_or_held_that_is_not_there(owner: psycopg.Connection) -> None:
    for kind, account in (("payout_failed", "in_flight"), ("released", "held")):
        both = legs(f"debit payee:beta:{account} 0.000000000001", "credit payee:beta:payable 0.000000000001")
        with pytest.raises(errors.CheckViolation, match="balance"):
            Forgery(kind=kind, legs=both, effective_at=now()).insert(owner)


def test_no_leg_is_added_to_a_committed_entry(owner: psycopg.Connection, application: psycopg.Connection) -> None:
    more = legs("debit operator:commission_expense 5", "credit payee:beta:payable 5")
    for connection in (owner, application):
        with pytest.raises(errors.IntegrityError, match="has all its legs"), connection.transaction():
            add_legs(connection, 1, more, first=3)
        with pytest.raises(errors.UniqueViolation), connection.transaction():
            add_legs(connection, 1, more)


def test_a_chain_cannot_fork_skip_or_lie_about_its_hash(owner: psycopg.Connection) -> None:
    for lie, message in (
        (Forgery(sequence=1), "entry_chain_sequence_key"),
        (Forgery(sequence=3), "does not follow the head"),
        (Forgery(previous_hash=genesis_hash("alpha")), "does not follow the head"),
        (Forgery(hash=b"\x00" * 32), "does not carry the hash of its place"),
        (Forgery(digest=b"\x00" * 32), "does not carry the digest of its content"),
    ):
        with pytest.raises(errors.IntegrityError, match=message):
            lie.insert(owner)


def test_a_table_of_the_same_name_in_front_deceives_no_trigger(
    application: psycopg.Connection, database: Database
) -> None:
    for table in ("balance", "chain_head", "entry_shape"):
        application.execute(f"CREATE TEMP TABLE {table} (LIKE public.{table})")
    application.execute("INSERT INTO entry_shape VALUES ('earned', 'debit payable, credit in_flight')")
    with pytest.raises(errors.IntegrityError, match="moves what"):
        Forgery(legs=legs("debit payee:beta:payable 1", "credit payee:beta:in_flight 1")).insert(application)
    Forgery().insert(application)
    assert balances(database)["payee:beta:payable"] == 11

    with pytest.raises(errors.IntegrityError, match="does not balance: 0 of 2 legs"):
        _insert_with_legs_in_a_table_in_front(application, Forgery(key="k"))


def test_an_empty_or_broken_name_is_no_payee(owner: psycopg.Connection) -> None:
    for name, kind in (("", "broker"), ("a\nb", "broker"), ("client:okx:1", "broker"), ("beta-2", "client")):
        with pytest.raises(errors.CheckViolation):
            owner.execute("INSERT INTO payee VALUES (%s, %s)", [name, kind])


def test_what_was_refused_left_nothing_behind(owner: psycopg.Connection, database: Database) -> None:
    before: dict[str, Any] = balances(database)
    with pytest.raises(errors.IntegrityError):
        Forgery(legs=UNBALANCED["one side larger"]).insert(owner)
    assert balances(database) == before
    book(database, earned(new_run(database), "beta", "1"))
    assert balances(database)["payee:beta:payable"] == 11


def _insert_with_legs_in_a_table_in_front(connection: psycopg.Connection, forgery: Forgery) -> None:
    with connection.transaction():
        entry_id = forgery.insert_entry(connection)
        connection.execute("CREATE TEMP TABLE posting (LIKE public.posting)")
        add_legs(connection, entry_id, forgery.legs)
