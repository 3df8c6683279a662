"""A broker desk at work: it corrects facts, plans, approves and applies, and reads the books."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import text

from settlement.pipeline import recalculate
from settlement.pipeline.audit import verify_ledger
from settlement.pipeline.load_registry import load_registry
from settlement.pipeline.load_report import Act
from settlement.pipeline.recalculation_plan import plan_all
from settlement.pipeline.settle import settle_shard, settle_window
from settlement.store.database import Database
from settlement.store.lines import WINDOW
from settlement.store.recalculation_report import parts
from settlement.store.recalculations import Plan, plan_of
from tests.pipeline.ingesting import take_in_file
from tests.workers import program

HEADERS = {
    "vip_levels.csv": "venue,account,level,effective_from",
    "clients.csv": "venue,account,broker_id,effective_from,effective_to,affiliated,account_class,rebate_share",
    "brokers.csv": "broker_id,name,model,parent_id,share,status,effective_from",
    "overrides.csv": "broker_id,kind,product,liquidity,value,effective_from",
}
LONG_AGO = program.LONG_AGO.isoformat()


@dataclass
class Desk:
    """One database and what a desk does with it."""

    database: Database

    def correct(self, file: str, *rows: str, correction: str | None = "it was wrong") -> None:
        """Loads a registry of one file with these rows."""
        with TemporaryDirectory() as directory:
            Path(directory, file).write_text("\n".join([HEADERS[file], *rows]) + "\n")
            load_registry(self.database, Path(directory), act=Act(loaded_by="anna", correction=correction))

    def late_fill(self, bill_id: str, *, account: str = "2", executed_at: str = "2026-03-01T06:30:00Z") -> None:
        """A fill arrives for a window that is settled."""
        row = f"okx,{account},{bill_id},t,o,BTC-USDT,SPOT,buy,taker,50000,0.01,-0.5,USDT,,{executed_at},api"
        data = f"{program.HEADER_OF_CSV},channel\n{row}\n".encode()
        assert take_in_file(self.database, data, file="late.csv").stored == 1

    def settle(self, windows: Iterable[datetime] = program.WINDOWS) -> None:
        for window_start in windows:
            settle_window(self.database, window_start, now=datetime.now(UTC))

    def plan(self, *, by: str = "anna", broker: str | None = None, windows: int = 4, **asked: Any) -> int:
        """Plans the first windows of the program."""
        plan_id = recalculate.request(
            self.database,
            start=program.FIRST,
            end=program.FIRST + windows * WINDOW,
            broker=broker,
            reason="a level was wrong",
            by=by,
            **asked,
        )
        plan_all(self.database, plan_id, progress=lambda _done, _all: None)
        return plan_id

    def apply(self, plan_id: int, *, by: str = "carl") -> Plan:
        return recalculate.apply(self.database, plan_id, by=by, now=lambda: datetime.now(UTC))

    def open_runs(self, plan_id: int) -> list[tuple[int, str]]:
        """Approves a plan and opens its runs; posts nothing yet."""
        recalculate.approve(self.database, plan_id, by="bert")
        return recalculate.open_runs(self.database, plan_id, by="carl")

    def post(self, shards: Iterable[tuple[int, str]]) -> None:
        """Settles shards of runs that are open."""
        for run_id, root in shards:
            assert settle_shard(self.database, run_id, root, now=datetime.now(UTC))

    def recalculate(self, **asked: Any) -> Plan:
        """Plans, approves and applies."""
        plan_id = self.plan(**asked)
        recalculate.approve(self.database, plan_id, by="bert")
        return self.apply(plan_id)

    def parts(self, plan_id: int) -> dict[str, list[dict[str, Any]]]:
        with self.database.transaction() as connection:
            return parts(connection, plan_id)

    def state(self, plan_id: int) -> Plan:
        with self.database.transaction() as connection:
            return plan_of(connection, plan_id)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.database.transaction() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def books(self) -> dict[str, list[tuple[Any, ...]]]:
        """Lines, shares and what each payee is owed in all, as they stand, whichever runs made them so."""
        return {
            "lines": self.rows("""
                SELECT l.window_start, venue, account, bill_id, root, broker_id, status, reason, product, tier, rate,
                       terms_id, flags, net_fee_usdt, commission_usdt, notional_usdt
                FROM current_line l JOIN basis USING (basis_id) ORDER BY 1, 2, 3, 4"""),
            "shares": self.rows("""
                SELECT s.window_start, s.venue, s.account, s.bill_id, payee, amount_usdt
                FROM line_share s JOIN current_line l USING (window_start, venue, account, bill_id, revision)
                ORDER BY 1, 2, 3, 4, 5"""),
            "owed": self.rows("""
                SELECT payee, sum(b.balance_usdt) AS owed FROM balance b JOIN ledger_account USING (account)
                WHERE payee IS NOT NULL GROUP BY payee HAVING sum(b.balance_usdt) <> 0 ORDER BY payee"""),
            "windows": self.rows("""
                SELECT window_start, status, reason, sum(lines), sum(commission_usdt)
                FROM run_outcome JOIN run USING (run_id) GROUP BY 1, 2, 3 HAVING sum(lines) <> 0 ORDER BY 1, 2, 3"""),
            "activity": self.rows("""
                SELECT window_start, root, venue, account, broker_id, product, sum(earned_lines), sum(volume_usdt),
                       sum(commission_usdt)
                FROM activity GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(earned_lines) <> 0 ORDER BY 1, 2, 3, 4, 5, 6"""),
        }

    def verify(self) -> list[str]:
        """What the audit finds."""
        report = verify_ledger(self.database, sample=None)
        return [finding for check in report.checks for finding in check.findings]
