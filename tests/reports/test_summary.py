"""The summary: windows by reason, what is owed and instructed, and its tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from rich.console import Console
from rich.table import Table

from settlement.pipeline.audit import verify_ledger
from settlement.reports import summary_tables
from settlement.reports.summary import Summary, as_document, read_progress, read_summary
from settlement.store.database import Database

BEFORE_TERMS = datetime(2026, 3, 1, 23, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_windows_add_up_to_the_total(settled: Database) -> None:
    summary = _summary(settled)
    assert summary.total is not None
    assert summary.total.fills == sum(window.fills for window in summary.windows) > 0
    assert summary.total.commission_usdt == sum(window.commission_usdt for window in summary.windows) > 0
    for window in summary.windows:
        assert window.fills == window.earned + window.excluded + window.pending
        assert sum(window.reasons.values()) == window.excluded + window.pending


def test_what_was_earned_is_owed_or_instructed(settled: Database) -> None:
    summary = _summary(settled)
    owed = sum(payee.payable_usdt + payee.in_flight_usdt + payee.held_usdt for payee in summary.payees)
    assert summary.total is not None
    assert owed == summary.total.commission_usdt
    assert all(payee.in_flight_usdt == payee.instructed_usdt for payee in summary.payees)


def test_a_period_bounds_the_windows(settled: Database) -> None:
    summary = _summary(settled, start=BEFORE_TERMS, end=BEFORE_TERMS + HOUR)
    assert [window.window_start for window in summary.windows] == [BEFORE_TERMS]
    assert summary.windows[0].earned == 0
    assert summary.windows[0].reasons["TERMS_MISSING"] == summary.windows[0].pending > 0


def test_progress_counts_settled_windows_and_runs(settled: Database) -> None:
    with settled.transaction() as connection:
        progress = read_progress(connection, start=BEFORE_TERMS, end=BEFORE_TERMS + 25 * HOUR)
    assert (progress.windows, progress.settled, progress.runs) == (25, 2, 2)


def test_the_document_is_plain_json_with_the_audit(settled: Database) -> None:
    document = as_document(_summary(settled), verify_ledger(settled, sample=20))
    assert json.loads(json.dumps(document)) == document
    assert document["ledger"]["ok"] is True
    assert Decimal(document["total"]["commission_usdt"]) > 0


def test_a_wide_table_counts_each_reason_and_a_narrow_one_leaves_them_out(settled: Database) -> None:
    summary = _summary(settled)
    wide, narrow = (_text(summary_tables.windows_table(summary, width=width), width) for width in (150, 80))
    assert summary.total is not None
    assert str(summary.total.reasons["VIP_EXCLUDED"]) in wide.splitlines()[-2]
    assert len(wide.splitlines()) == len(narrow.splitlines()) == 27 + 5
    assert "\u2026" not in wide + narrow


def test_tables_name_every_reason_that_occurs_every_broker_and_every_check(settled: Database) -> None:
    summary, audit = _summary(settled), verify_ledger(settled, sample=20)
    assert summary.total is not None
    reasons = _text(summary_tables.reasons_table(summary), 150)
    assert all(reason in reasons for reason in summary.total.reasons)
    payees = _text(summary_tables.payees_table(summary), 150)
    assert all(payee.payee in payees for payee in summary.payees if payee.kind == "broker")
    checks = _text(summary_tables.audit_table(audit), 150)
    assert all(check.name in checks for check in audit.checks)


def test_money_is_cut_never_rounded_up() -> None:
    assert summary_tables.money(Decimal("1234.999999")) == "1,234.99"


def _summary(database: Database, **period: datetime) -> Summary:
    with database.transaction() as connection:
        return read_summary(connection, **period)


def _text(table: Table, width: int) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        console.print(table)
    return captured.get()
