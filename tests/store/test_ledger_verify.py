"""What `ledger verify` finds once a superuser has tampered with triggers switched off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import Connection, text
from typer.testing import CliRunner

from settlement.cli import ledger  # noqa: F401 - registers the command
from settlement.cli.app import app
from settlement.ledger.verification import Check
from settlement.pipeline.audit import verify_ledger
from settlement.store.database import Database
from settlement.store.verification import ledger_checks, rerating
from tests.store.booking import book_many
from tests.store.small_world import HOUR, add_price, load_small_world, settle_hour

# Words that stand for a query in what is done below.
WORDS = {
    "BETA_EARNED": "(SELECT entry_id FROM entry WHERE kind = 'earned' AND chain = 'beta')",
    "ALPHA_LENGTH": "(SELECT max(sequence) FROM entry WHERE chain = 'alpha')",
}

# What is done, the check that finds it, and words of the finding.
TAMPERINGS = {
    "a count of a run": (
        "UPDATE run_outcome SET lines = lines + 1 WHERE root = 'beta' AND status = 'earned'",
        "counts are of the lines",
        ["root beta, earned: its runs counted", "its lines are"],
    ),
    "an amount of one leg": (
        "UPDATE posting SET amount_usdt = 999 WHERE leg = 2 AND entry_id = BETA_EARNED",
        "entries say what was posted",
        ["(earned run:", ":beta:beta, chain beta", "leg 2, credit payee:beta:payable, is 999 and was posted as 3.0"],
    ),
    "both legs alike": (
        "UPDATE posting SET amount_usdt = 999 WHERE entry_id = BETA_EARNED",
        "entries say what was posted",
        [":beta:beta, chain beta", "leg 1 debit 999 operator:commission_expense, leg 2 credit 999 payee:beta:payable"],
    ),
    "the account of a leg": (
        "UPDATE posting SET account = 'payee:alpha:payable' WHERE leg = 2 AND entry_id = BETA_EARNED",
        "entries say what was posted",
        ["payee:alpha:payable"],
    ),
    "the date of an entry": (
        "UPDATE entry SET effective_at = effective_at - interval '1 hour' WHERE entry_id = BETA_EARNED",
        "entries say what was posted",
        [":beta:beta"],
    ),
    "when an entry was recorded": (
        "UPDATE entry SET recorded_at = recorded_at - interval '1 hour' WHERE entry_id = BETA_EARNED",
        "chains are whole",
        [":beta:beta", "does not carry its own hash"],
    ),
    "an unbalanced entry": (
        "UPDATE posting SET amount_usdt = 2 WHERE leg = 1 AND entry_id = BETA_EARNED",
        "entries balance",
        [":beta:beta", "2 of 2 legs, debits less credits -1.0"],
    ),
    "a leg lost": (
        "DELETE FROM posting WHERE leg = 2 AND entry_id = BETA_EARNED",
        "entries balance",
        [":beta:beta", "1 of 2 legs"],
    ),
    "an entry without its postings": (
        "DELETE FROM entry WHERE entry_id = BETA_EARNED",
        "entries balance",
        ["payee:beta:payable", "which does not exist"],
    ),
    "an entry deleted in the middle": (
        "DELETE FROM entry WHERE chain = 'alpha' AND sequence = 2",
        "chains are whole",
        ["chain alpha: entries 2 to 2 are missing before entry", "sequence 3"],
    ),
    "the last entry deleted": (
        "DELETE FROM entry WHERE chain = 'alpha' AND sequence = ALPHA_LENGTH",
        "chains are whole",
        ["chain alpha: entries", "its last, are missing"],
    ),
    "a whole chain deleted": (
        "DELETE FROM entry WHERE chain = 'beta'",
        "chains are whole",
        ["chain beta: all its entries, 1 to 2, are missing"],
    ),
    "everything truncated": (
        "TRUNCATE entry, posting",
        "chains are whole",
        ["chain alpha: all its entries, 1 to", "chain beta: all its entries, 1 to 2, are missing"],
    ),
    "a chain truncated with its head": (
        "DELETE FROM entry WHERE chain = 'beta'; DELETE FROM chain_head WHERE chain = 'beta'",
        "runs booked what their lines give",
        ["payee beta: booked 0, its lines give 3"],
    ),
    "a head moved back": (
        (
            "DELETE FROM entry WHERE chain = 'beta' AND sequence = 2; UPDATE chain_head SET sequence = 1,"
            " hash = (SELECT hash FROM entry WHERE chain = 'beta' AND sequence = 1) WHERE chain = 'beta'"
        ),
        "payouts are their entries",
        ["has no entry payout:run:"],
    ),
    "a balance": (
        "UPDATE balance SET balance_usdt = 5 WHERE account = 'payee:beta:in_flight'",
        "balances add up",
        ["account payee:beta:in_flight in chain beta: the balance says 5, its postings add up to 3.0"],
    ),
    "a payout's amount": (
        "UPDATE payout SET amount_usdt = 4 WHERE payee = 'beta'",
        "payouts are their entries",
        ["(4 to beta, chain beta) differs from its entry"],
    ),
    "a payout deleted": (
        "DELETE FROM payout WHERE payee = 'beta'",
        "payouts are their entries",
        ["to beta and there is no payout payout:run:"],
    ),
    "a payout said to be confirmed": (
        "UPDATE payout SET status = 'confirmed' WHERE payee = 'beta'",
        "payouts are their entries",
        ["(beta) is confirmed; the ledger says in flight"],
    ),
    "a line's commission": (
        "UPDATE line SET commission_usdt = 4 WHERE bill_id = '5'",
        "runs booked what their lines give",
        ["payee beta: booked 3.0", "its lines give 4"],
    ),
    "a line deleted": (
        "DELETE FROM line WHERE bill_id = '7'",
        "every fill has its line",
        ["fill okx 301 7 of window 2026-03-02 06:00:00+00 has no line"],
    ),
    "a fill deleted": (
        "DELETE FROM fill WHERE bill_id = '7'",
        "every fill has its line",
        ["line okx 301 7 (revision 0)", "has no fill"],
    ),
    "a basis lost": (
        "UPDATE line SET basis_id = 4711 WHERE bill_id = '7'",
        "every fill has its line",
        ["line okx 301 7", "has no basis 4711"],
    ),
    "a line under another run": (
        "UPDATE line SET run_id = 4711 WHERE bill_id = '7'",
        "every fill has its line",
        ["line okx 301 7", "names run 4711, which did not settle that window"],
    ),
    "a client's volume": (
        "UPDATE activity SET volume_usdt = volume_usdt + 1 WHERE root = 'beta'",
        "activity adds up",
        ["root beta, client okx 201 of beta, spot: kept 1 lines, volume 1201.0", "its lines give 1, 1200.0"],
    ),
    "a client's activity lost": (
        "DELETE FROM activity WHERE root = 'beta'",
        "activity adds up",
        ["root beta, client okx 201 of beta, spot: kept 0 lines", "its lines give 1, 1200.0"],
    ),
    "activity moved to another month": (
        "UPDATE activity SET window_start = window_start - interval '31 days' WHERE root = 'beta'",
        "activity adds up",
        ["kept for window 2026-01-30 06:00:00+00, which the run did not settle"],
    ),
}

# What is done to a line or a fill, and what the second rating says.
REVALUATIONS = {
    "a commission": (
        "UPDATE line SET commission_usdt = 4 WHERE bill_id = '5'",
        ["line okx 201 5", "commission is 4, re-rated 3", "shares is {beta=4}, re-rated {beta=3}"],
    ),
    "a notional": (
        "UPDATE line SET notional_usdt = 1 WHERE bill_id = '3'",
        ["line okx 102 3", "notional is 1, re-rated 4200.07"],
    ),
    "a reason": (
        "UPDATE line SET basis_id = (SELECT basis_id FROM basis WHERE reason = 'UNATTRIBUTED') WHERE bill_id = '4'",
        ["line okx 102 4", "broker is empty, re-rated alpha-1; reason is UNATTRIBUTED, re-rated NO_NET_FEE"],
    ),
    "a fee that was settled": (
        "UPDATE fill SET fee = -24 WHERE bill_id = '5'",
        ["line okx 201 5", "net fee is 12, re-rated 24; commission is 3, re-rated 6"],
    ),
    "a share of the tree": (
        "UPDATE broker SET share = 0.5 WHERE broker_id = 'alpha-1'",
        ["line okx 102 3", "shares is"],
    ),
    "a rate of the terms": (
        "UPDATE program_terms SET document = replace(document, '\"0.25\"', '\"0.26\"')",
        ["line okx 201 5", "rate is 0.25, re-rated 0.26; commission is 3, re-rated 3.12"],
    ),
}


@pytest.fixture
def settled(database: Database, superuser: psycopg.Connection) -> Database:
    load_small_world(superuser)
    settle_hour(database)
    return database


@contextmanager
def tampered(database: Database, statement: str) -> Iterator[Connection]:
    """A superuser's transaction in which `statement` was run with every trigger off; undone at the end."""
    with database.owner_engine().connect() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("SET LOCAL TIME ZONE 'UTC'"))
        for word, query in WORDS.items():
            statement = statement.replace(word, query)
        for part in statement.split("; "):
            assert connection.execute(text(part)).rowcount != 0, part
        yield connection
        connection.rollback()


def test_an_honest_ledger_passes_every_check(settled: Database) -> None:
    for sample in (0, 3, None):
        report = verify_ledger(settled, sample=sample)
        assert report.ok, [check for check in report.checks if not check.ok]
    examined = {check.name: check.examined for check in report.checks}
    assert examined == {
        "entries balance": 7,
        "entries say what was posted": 7,
        "chains are whole": 2,
        "balances add up": 9,
        "runs booked what their lines give": 4,
        "payouts are their entries": 3,
        "every fill has its line": 8,
        "caps are held": 0,
        "counts are of the lines": 5,
        "activity adds up": 4,
        "seals are true": 1,
        "lines re-rate to the same": 8,
    }


def test_each_tampering_is_found_and_named(settled: Database) -> None:
    for name, (statement, check_name, words) in TAMPERINGS.items():
        with tampered(settled, statement) as connection:
            found = {check.name: check for check in ledger_checks(connection)}
        assert _says(found[check_name], words), (name, found[check_name])


def test_the_second_rating_names_each_line_that_differs(settled: Database) -> None:
    for name, (statement, words) in REVALUATIONS.items():
        with tampered(settled, statement) as connection:
            check = rerating(connection, sample=None)
        assert _says(check, words), (name, check)


def test_a_seal_tells_when_its_fills_have_changed(settled: Database, superuser: psycopg.Connection) -> None:
    superuser.execute("SET session_replication_role = replica")
    superuser.execute("UPDATE fill SET price = price + 1 WHERE bill_id = '7'")
    checks = {check.name: check for check in verify_ledger(settled, sample=0).checks}
    assert _says(checks["seals are true"], ["window 2026-03-02 06:00:00+00:00", "its fills now give"])


def test_a_supplementary_run_agrees_too(settled: Database, superuser: psycopg.Connection) -> None:
    add_price(superuser, "DOGE", "0.11")
    run_id = settle_hour(settled)
    report = verify_ledger(settled, sample=None)
    assert report.ok, [check for check in report.checks if not check.ok]
    rows = superuser.execute("SELECT revision FROM line WHERE run_id = %s", [run_id]).fetchall()
    assert rows == [(1,)], "the pending line was settled by the second run"


def test_a_fact_is_taken_as_it_was_known_when_the_run_was_opened(
    settled: Database, superuser: psycopg.Connection
) -> None:
    superuser.execute(
        "WITH correction AS (INSERT INTO load (kind, source, correction, loaded_by) VALUES ('prices', 'p', 'typo', 't')"
        " RETURNING load_id) UPDATE price SET replaced_by_load = correction.load_id FROM correction WHERE currency = 'BTC'"
    )
    add_price(superuser, "BTC", "70000", ts=HOUR - timedelta(minutes=10))
    report = verify_ledger(settled, sample=None)
    assert report.ok, [check for check in report.checks if not check.ok]


def test_a_run_that_booked_without_lines_is_found(database: Database) -> None:
    run_id = book_many(database, ["beta"], "10")
    checks = {check.name: check for check in verify_ledger(database).checks}
    assert checks["runs booked what their lines give"].findings == (
        f"run {run_id}, payee beta: booked 10, its lines give 0",
    )


def test_the_command_names_what_is_wrong_and_exits_with_1(
    settled: Database, superuser: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SETTLEMENT_DATABASE_URL", settled.engine.url.render_as_string(hide_password=False))
    honest = CliRunner().invoke(app, ["ledger", "verify", "--all"])
    assert (honest.exit_code, honest.stderr) == (0, "")
    assert "ok     lines re-rate to the same (8 examined)" in honest.stdout

    superuser.execute("SET session_replication_role = replica")
    superuser.execute("UPDATE posting SET amount_usdt = 999 WHERE leg = 2 AND account = 'payee:beta:payable'")
    found = CliRunner().invoke(app, ["ledger", "verify"])
    assert found.exit_code == 1
    assert "leg 2, credit payee:beta:payable, is 999 and was posted as 3" in found.stderr

    document = json.loads(CliRunner().invoke(app, ["ledger", "verify", "--json"]).stdout)
    assert document["ok"] is False
    assert [check["name"] for check in document["checks"] if not check["ok"]] == [
        "entries balance",
        "entries say what was posted",
        "balances add up",
        "runs booked what their lines give",
    ]


def _says(check: Check, words: list[str]) -> bool:
    """Whether the findings hold all the words, each whole."""
    everything = "\n".join(check.findings)
    return not check.ok and all(word in everything for word in words)
