"""The summary: what each window came to, who is owed what, and whether the ledger was found whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from settlement.reports.plain_text import plain

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from settlement.ledger.verification import Report

WINDOWS = """
SELECT w.window_start, w.status, w.recheck, o.status AS outcome, o.reason, sum(o.lines)::bigint AS lines,
       sum(o.commission_usdt) AS commission_usdt
FROM settlement_window w
LEFT JOIN (run JOIN run_outcome o USING (run_id)) USING (window_start)
WHERE (CAST(:start AS timestamptz) IS NULL OR w.window_start >= :start)
  AND (CAST(:end AS timestamptz) IS NULL OR w.window_start < :end)
GROUP BY w.window_start, o.status, o.reason
ORDER BY w.window_start
"""

# Balances and payouts have no window: this is how they stand now.
PAYEES = """
WITH owed AS (
    SELECT a.payee, sum(b.balance_usdt) FILTER (WHERE right(a.account, 7) = 'payable') AS payable_usdt,
           sum(b.balance_usdt) FILTER (WHERE right(a.account, 9) = 'in_flight') AS in_flight_usdt,
           sum(b.balance_usdt) FILTER (WHERE right(a.account, 4) = 'held') AS held_usdt
    FROM balance b JOIN ledger_account a USING (account) WHERE a.payee IS NOT NULL GROUP BY a.payee
), instructed AS (
    SELECT payee, count(*) AS payouts, count(*) FILTER (WHERE status = 'waiting') AS waiting,
           sum(amount_usdt) FILTER (WHERE status NOT IN ('failed', 'cancelled')) AS instructed_usdt
    FROM payout GROUP BY payee
)
SELECT p.payee, p.kind, coalesce(payable_usdt, 0) AS payable_usdt, coalesce(in_flight_usdt, 0) AS in_flight_usdt,
       coalesce(held_usdt, 0) AS held_usdt, coalesce(payouts, 0) AS payouts, coalesce(waiting, 0) AS waiting,
       coalesce(instructed_usdt, 0) AS instructed_usdt
FROM payee p LEFT JOIN owed USING (payee) LEFT JOIN instructed USING (payee)
ORDER BY p.payee
"""

PROGRESS = """
SELECT count(*) AS windows,
       count(*) FILTER (WHERE NOT w.recheck AND w.status IN ('settled', 'incomplete')) AS settled,
       (SELECT count(*) FROM run r WHERE r.window_start >= :start AND r.window_start < :end) AS runs
FROM settlement_window w
WHERE w.window_start >= :start AND w.window_start < :end
"""


@dataclass(kw_only=True)
class WindowSummary:
    """One window as it stands: lines by outcome, and by reason where they do not earn."""

    window_start: datetime
    status: str
    recheck: bool
    fills: int = 0
    earned: int = 0
    excluded: int = 0
    pending: int = 0
    commission_usdt: Decimal = Decimal(0)
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, outcome: str, reason: str, *, lines: int, commission_usdt: Decimal) -> None:
        """Takes in one outcome."""
        self.fills += lines
        self.commission_usdt += commission_usdt
        setattr(self, outcome, getattr(self, outcome) + lines)
        if reason and lines:
            self.reasons[reason] = self.reasons.get(reason, 0) + lines


@dataclass(frozen=True, kw_only=True)
class PayeeSummary:
    """What one payee is owed and was instructed, in USDT; `waiting` payouts need an approval."""

    payee: str
    kind: str
    payable_usdt: Decimal
    in_flight_usdt: Decimal
    held_usdt: Decimal
    payouts: int
    waiting: int
    instructed_usdt: Decimal


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Windows of the asked period; payees as they stand now."""

    windows: list[WindowSummary]
    payees: list[PayeeSummary]

    @property
    def total(self) -> WindowSummary | None:
        """All windows added up; None where there are none."""
        if not self.windows:
            return None
        total = WindowSummary(window_start=self.windows[0].window_start, status="", recheck=False)
        for window in self.windows:
            total.fills += window.fills
            total.earned += window.earned
            total.excluded += window.excluded
            total.pending += window.pending
            total.commission_usdt += window.commission_usdt
            for reason, lines in window.reasons.items():
                total.reasons[reason] = total.reasons.get(reason, 0) + lines
        return total


def read_summary(connection: Connection, *, start: datetime | None = None, end: datetime | None = None) -> Summary:
    """The windows in `[start, end)` (None: no bound) and every payee."""
    windows: dict[datetime, WindowSummary] = {}
    for row in connection.execute(text(WINDOWS), {"start": start, "end": end}):
        window = windows.setdefault(
            row.window_start, WindowSummary(window_start=row.window_start, status=row.status, recheck=row.recheck)
        )
        if row.outcome is not None:
            window.add(row.outcome, row.reason, lines=row.lines, commission_usdt=row.commission_usdt)
    payees = [PayeeSummary(**row) for row in connection.execute(text(PAYEES)).mappings()]
    return Summary(windows=list(windows.values()), payees=payees)


def as_document(summary: Summary, audit: Report | None = None) -> dict[str, Any]:
    """The summary as plain values, with the ledger's audit where one was made."""
    document: dict[str, Any] = plain(
        {
            "windows": [asdict(window) for window in summary.windows],
            "total": asdict(summary.total) if summary.total else None,
            "payees": [asdict(payee) for payee in summary.payees],
        }
    )
    if audit is not None:
        checks = [{"name": one.name, "examined": one.examined, "findings": list(one.findings)} for one in audit.checks]
        document["ledger"] = {"ok": audit.ok, "checks": checks}
    return document


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the windows of a period are: `runs` ever made of them, `settled` of `windows` with nothing left to do."""

    windows: int
    settled: int
    runs: int


def read_progress(connection: Connection, *, start: datetime, end: datetime) -> Progress:
    """Counts the windows in `[start, end)` that exist."""
    row = connection.execute(text(PROGRESS), {"start": start, "end": end}).one()
    return Progress(windows=row.windows, settled=row.settled, runs=row.runs)
