"""The summary as tables for a terminal or a log."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from settlement.rules.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from settlement.ledger.verification import Report
    from settlement.reports.summary import PayeeSummary, Summary, WindowSummary

CENT = Decimal("0.01")
WIDE_ENOUGH = 136
NOT_EARNING = tuple(reason for reason in Reason if reason is not Reason.EARNED)


def money(value: Decimal) -> str:
    """USDT for reading: two decimals, cut, never rounded up."""
    return f"{value.quantize(CENT, rounding=ROUND_DOWN):,}"


def windows_table(summary: Summary, *, width: int) -> Table:
    """One row a window; the columns under a number count the lines with that reason, where the terminal is wide enough."""
    wide = width >= WIDE_ENOUGH
    reasons = [reason for reason in NOT_EARNING if wide and summary.total and summary.total.reasons.get(reason.name)]
    table = _table("Windows")
    table.add_column("window (UTC)", no_wrap=True)
    for name in ("fills", "earned", "excluded", "pending"):
        table.add_column(name, justify="right", no_wrap=True)
    for reason in reasons:
        table.add_column(str(int(reason)), justify="right", no_wrap=True, style="dim")
    table.add_column("commission", justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for window in summary.windows:
        name = f"{window.window_start:%Y-%m-%d %H:%M}"
        table.add_row(name, *_figures(window, reasons), window.status + (" *" if window.recheck else ""))
    if summary.total:
        table.add_section()
        table.add_row("all", *_figures(summary.total, reasons), "", style="bold")
    return table


def reasons_table(summary: Summary) -> Table:
    """What the numbers mean, and how many lines each reason has."""
    table = _table("Why lines do not earn")
    table.add_column("no", justify="right")
    table.add_column("reason", no_wrap=True)
    table.add_column("status")
    table.add_column("lines", justify="right")
    for reason in NOT_EARNING:
        lines = summary.total.reasons.get(reason.name, 0) if summary.total else 0
        if lines:
            table.add_row(str(int(reason)), reason.name, reason.status, f"{lines:,}")
    return table


def payees_table(summary: Summary) -> Table:
    """One row a broker, and one for all clients with a rebate."""
    table = _table("Owed and instructed (USDT)")
    table.add_column("payee", no_wrap=True)
    for name in ("payable", "in flight", "instructed", "payouts", "to approve"):
        table.add_column(name, justify="right", no_wrap=True)
    for payee in summary.payees:
        if payee.kind == "broker":
            table.add_row(payee.payee, *_owed([payee]))
    clients = [payee for payee in summary.payees if payee.kind == "client"]
    if clients:
        table.add_row(f"{len(clients)} clients with a rebate", *_owed(clients))
    table.add_section()
    table.add_row("all", *_owed(summary.payees), style="bold")
    return table


def audit_table(audit: Report) -> Table:
    """One row a check of the ledger."""
    table = _table("Ledger verified" if audit.ok else "LEDGER NOT WHOLE")
    table.add_column("check", no_wrap=True)
    table.add_column("examined", justify="right")
    table.add_column("result")
    for check in audit.checks:
        table.add_row(check.name, f"{check.examined:,}", "ok" if check.ok else "\n".join(check.findings[:3]))
    return table


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )


def _figures(window: WindowSummary, reasons: Iterable[Reason]) -> list[str]:
    counts = [window.fills, window.earned, window.excluded, window.pending]
    by_reason = [window.reasons.get(reason.name, 0) for reason in reasons]
    return [
        *(f"{count:,}" for count in counts),
        *(str(lines) if lines else "" for lines in by_reason),
        money(window.commission_usdt),
    ]


def _owed(payees: list[PayeeSummary]) -> list[str]:
    sums = [
        sum((payee.payable_usdt for payee in payees), Decimal(0)),
        sum((payee.in_flight_usdt for payee in payees), Decimal(0)),
        sum((payee.instructed_usdt for payee in payees), Decimal(0)),
    ]
    counts = [sum(payee.payouts for payee in payees), sum(payee.waiting for payee in payees)]
    return [*(money(one) for one in sums), *(f"{count:,}" for count in counts)]
