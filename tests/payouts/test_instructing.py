from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import psycopg
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from settlement.cli import payouts as payouts_command  # noqa: F401 - registers the command
from settlement.cli.app import app
from settlement.payouts.planning import Payout, PayoutStatus
from settlement.pipeline.pay import plan_payouts
from settlement.rules.facts import PayoutTerms
from settlement.store.database import Database
from settlement.store.payouts import instruct, list_payouts, payout_addresses
from tests.store.booking import WINDOW, balances, book_many, now
from tests.store.small_world import START, load_small_world
from tests.store.worked_example import insert, new_load

TERMS = PayoutTerms(minimum=Decimal(10), quantum=Decimal("0.01"), auto_approve_limit=Decimal(100), hold_hours=0)


def instruct_run(database: Database, payees: list[str], *, run_id: int, **changes: Any) -> list[Payout]:
    words: dict[str, Any] = {"chain": "alpha", "terms": TERMS, "window_start": WINDOW, "now": now(), "rails": {}}
    with database.transaction() as connection:
        return instruct(connection, payees=payees, run_id=run_id, **words | changes)


def test_a_run_instructs_what_is_large_enough_and_the_rest_stays_payable(database: Database) -> None:
    run_id = book_many(database, ["beta"], "50.129")
    book_many(database, ["gamma"], "9.99")
    book_many(database, ["delta"], "100.01")
    rails = {"beta": ("okx", "uid 7")}
    paid = instruct_run(database, ["gamma", "delta", "beta"], run_id=run_id, rails=rails)
    assert [(p.payee, p.amount, p.status, p.rail, p.address) for p in paid] == [
        ("beta", Decimal("50.12"), PayoutStatus.APPROVED, "okx", "uid 7"),
        ("delta", Decimal("100.01"), PayoutStatus.WAITING, None, None),
    ]
    left = balances(database)
    assert left["payee:beta:payable"] == Decimal("0.009")
    assert left["payee:beta:in_flight"] == Decimal("50.12")
    assert left["payee:gamma:payable"] == Decimal("9.99")
    assert "payee:delta:payable" not in left
    with database.transaction() as connection:
        assert list_payouts(connection) == paid
        assert list_payouts(connection, status=PayoutStatus.WAITING) == paid[1:]
        assert list_payouts(connection, payee="beta") == paid[:1]


def test_each_instruction_has_its_event(database: Database) -> None:
    run_id = book_many(database, ["beta"], "50")
    (payout,) = instruct_run(database, ["beta"], run_id=run_id)
    with database.transaction() as connection:
        events = connection.execute(text("SELECT type, subject, data FROM outbox")).all()
    assert [tuple(event) for event in events] == [
        (
            "payout.instructed",
            f"payout/{payout.payout_id}",
            {
                "payout_id": payout.payout_id,
                "payee": "beta",
                "amount_usdt": "50.00",
                "status": "approved",
                "window_start": "2026-03-02T06:00:00+00:00",
            },
        )
    ]


def test_a_run_that_is_repeated_instructs_nothing_more(database: Database) -> None:
    run_id = book_many(database, ["beta"], "50")
    assert len(instruct_run(database, ["beta"], run_id=run_id)) == 1
    assert instruct_run(database, ["beta"], run_id=run_id) == []
    second_run = book_many(database, ["beta"], "50")
    assert instruct_run(database, ["beta"], run_id=run_id) == [], "the first run has paid beta already"
    assert len(instruct_run(database, ["beta"], run_id=second_run)) == 1


def test_nothing_is_left_when_the_callers_transaction_fails(database: Database) -> None:
    run_id = book_many(database, ["beta"], "50")
    before = balances(database)
    with pytest.raises(ZeroDivisionError):
        _instruct_and_fail(database, run_id)
    assert balances(database) == before
    with database.transaction() as connection:
        assert list_payouts(connection) == []
        assert connection.execute(text("SELECT count(*) FROM outbox")).scalar_one() == 0


def test_a_hold_keeps_back_what_was_earned_lately(database: Database) -> None:
    run_id = book_many(database, ["beta"], "50")
    terms = PayoutTerms(minimum=Decimal(1), quantum=Decimal("0.01"), auto_approve_limit=Decimal(100), hold_hours=1)
    assert instruct_run(database, ["beta"], run_id=run_id, terms=terms) == []
    assert balances(database)["payee:beta:payable"] == 50


def test_a_payees_own_minimum_in_force_beats_the_terms_for_runs_and_for_the_schedule(
    database: Database, superuser: psycopg.Connection
) -> None:
    load_small_world(superuser)
    since = {"kind": "minimum_payout", "product": "all", "liquidity": "all", "load_id": new_load(superuser, "registry")}
    ended = {"effective_from": START + timedelta(days=1), "effective_to": START + timedelta(days=2)}
    rows: list[dict[str, Any]] = [
        {"broker_id": "alpha", "value": 60, "effective_from": START},
        {"broker_id": "beta", "value": Decimal("0.5"), "effective_from": START},
        {"broker_id": "alpha-1", "value": 60, **ended},
    ]
    for row in rows:
        insert(superuser, "broker_override", [since | row])
    run_id = book_many(database, ["alpha", "beta", "alpha-1"], "0.75")
    assert [(p.payee, p.amount) for p in instruct_run(database, ["alpha", "beta", "alpha-1"], run_id=run_id)] == [
        ("beta", Decimal("0.75"))
    ]
    book_many(database, ["alpha", "beta", "alpha-1"], "0.5")
    assert [(p.payee, p.amount) for p in plan_payouts(database, now())] == [
        ("alpha-1", Decimal("1.25")),
        ("beta", Decimal("0.5")),
    ]
    enough = book_many(database, ["alpha"], "58.75")
    assert [(p.payee, p.amount) for p in instruct_run(database, ["alpha"], run_id=enough)] == [("alpha", Decimal(60))]


def test_addresses_come_from_the_row_in_force(database: Database, superuser: psycopg.Connection) -> None:
    load_small_world(superuser)
    moved = START + timedelta(days=60)
    row = {
        "broker_id": "alpha", "name": "n", "model": "api", "status": "active", "effective_from": moved,
        "effective_to": moved + timedelta(days=1), "payout_rail": "chain", "payout_address": "0x1",
        "load_id": new_load(superuser, "registry"),
    }  # fmt: skip
    insert(superuser, "broker", [row])

    def address(at: datetime) -> dict[str, tuple[str | None, str | None]]:
        with database.transaction() as connection:
            return payout_addresses(connection, ["alpha", "client:okx:101", "nobody"], at)

    assert address(START - timedelta(seconds=1)) == {}
    assert address(moved - timedelta(seconds=1)) == {"alpha": ("okx", "uid 1")}
    assert address(moved) == {"alpha": ("chain", "0x1")}
    assert address(moved + timedelta(days=1)) == {}


def test_the_schedule_pays_what_no_run_has_paid_over_all_chains(
    database: Database, superuser: psycopg.Connection
) -> None:
    load_small_world(superuser)
    book_many(database, ["alpha"], "0.6", chain="alpha")
    book_many(database, ["alpha"], "0.5", chain="beta")
    book_many(database, ["beta"], "0.9", chain="beta")
    paid = plan_payouts(database, now())
    assert [(p.payee, p.chain, p.amount, p.rail, p.run_id) for p in paid] == [
        ("alpha", "alpha", Decimal("1.1"), "okx", None)
    ]
    assert balances(database)["payee:beta:payable"] == Decimal("0.9")
    assert plan_payouts(database, now()) == [], "a doubled beat changes nothing"


def test_without_terms_nothing_is_paid(database: Database) -> None:
    book_many(database, ["alpha"], "600")
    assert plan_payouts(database, datetime.now(UTC)) == []


def test_the_command_lists_instructions(database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = book_many(database, ["beta"], "50")
    instruct_run(database, ["beta"], run_id=run_id, rails={"beta": ("okx", "uid 7")})
    monkeypatch.setenv("SETTLEMENT_DATABASE_URL", database_url)
    listed = CliRunner().invoke(app, ["payouts", "list"])
    assert (listed.exit_code, listed.stdout) == (0, "1  approved   50.00 USDT  beta  okx uid 7\n1 payouts\n")
    (document,) = orjson.loads(CliRunner().invoke(app, ["payouts", "list", "--json"]).stdout)
    assert "amount" not in document
    assert (document["payee"], document["amount_usdt"], document["status"]) == ("beta", "50.00", "approved")
    assert orjson.loads(CliRunner().invoke(app, ["payouts", "list", "--status", "waiting", "--json"]).stdout) == []
    assert CliRunner().invoke(app, ["payouts", "list", "--status", "lost"]).exit_code == 2


def _instruct_and_fail(database: Database, run_id: int) -> None:
    with database.transaction() as connection:
        words: dict[str, Any] = {"run_id": run_id, "window_start": WINDOW, "now": now(), "rails": {}}
        assert len(instruct(connection, chain="alpha", payees=["beta"], terms=TERMS, **words)) == 1
        raise ZeroDivisionError
