"""A desk that asks what would have been, and what the books of a database say in the same words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from settlement.pipeline.find_terms import find_terms
from settlement.pipeline.what_if import Question, ask
from settlement.pipeline.what_if_stretches import simulate_all
from settlement.store.database import Database
from settlement.store.lines import WINDOW
from settlement.store.what_if import what_if_of
from settlement.store.what_if_report import parts, totals
from tests.workers import program

HEADERS = {
    "brokers.csv": "broker_id,name,model,parent_id,share,status,effective_from,effective_to",
    "codes.csv": "code,broker_id,effective_from,effective_to",
    "clients.csv": "venue,account,broker_id,effective_from,effective_to,affiliated,account_class,rebate_share",
    "tiers.csv": "broker_id,tier,effective_from,effective_to",
    "overrides.csv": "broker_id,kind,product,liquidity,value,effective_from",
    "vip_levels.csv": "venue,account,level,effective_from",
}

Row = tuple[Any, ...]


@dataclass
class Desk:
    """One database, and a directory for what is asked about."""

    database: Database
    directory: Path

    def document(self, name: str, document: str) -> str:
        """Writes a document; its path."""
        path = self.directory / f"{name}.toml"
        path.write_text(document)
        return str(path)

    def registry(self, **files: Sequence[str]) -> Path:
        """Writes registry files, such as brokers=[...]; their directory."""
        directory = self.directory / "registry"
        directory.mkdir(exist_ok=True)
        for name, rows in files.items():
            (directory / f"{name}.csv").write_text("\n".join([HEADERS[f"{name}.csv"], *rows]) + "\n")
        return directory

    def asked(
        self,
        *terms: str,
        start: datetime = program.FIRST,
        end: datetime = program.FIRST + 4 * WINDOW,
        **question: Any,
    ) -> int:
        """Asks about terms, by default for the four windows of the program; the id of the what-if."""
        found = [find_terms(self.database, one) for one in terms]
        return ask(self.database, Question(start=start, end=end, terms=found, **question), by="anna")

    def simulate(self, *terms: str, **question: Any) -> dict[str, Any]:
        """Asks, settles it in this process, and reads the result."""
        what_if_id = self.asked(*terms, **question)
        simulate_all(self.database, what_if_id)
        return self.result(what_if_id)

    def result(self, what_if_id: int) -> dict[str, Any]:
        with self.database.transaction() as connection:
            asked = what_if_of(connection, what_if_id)
            figures = {"totals": totals(connection, what_if_id), **parts(connection, what_if_id)}
        return {"id": what_if_id, "notes": asked.notes, "done": asked.done_at is not None, **figures}

    def rows(self, query: str, **parameters: Any) -> list[Row]:
        with self.database.transaction() as connection:
            return [tuple(row) for row in connection.execute(text(query), parameters)]

    def execute(self, statement: str, **parameters: Any) -> None:
        with self.database.transaction() as connection:
            connection.execute(text(statement), parameters)

    def simulated(self, what_if_id: int) -> dict[str, list[Row]]:
        """What a what-if came to, in the words of `books`."""
        return {
            "sums": self.rows("""
                SELECT root, broker_id, tier, product, sum(lines), sum(net_fee_usdt), sum(commission_usdt), sum(volume_usdt)
                FROM what_if_sum WHERE what_if_id = :id AND NOT stands GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4""", id=what_if_id),
            "payees": self.rows("""
                SELECT payee, sum(amount_usdt) FROM what_if_payee WHERE what_if_id = :id
                GROUP BY 1 HAVING sum(amount_usdt) <> 0 ORDER BY 1""", id=what_if_id),
            "reasons": self.rows("""
                SELECT to_status, to_reason, sum(lines) FROM what_if_move WHERE what_if_id = :id
                GROUP BY 1, 2 ORDER BY 1, 2""", id=what_if_id),
            "reviews": self.rows("""
                SELECT broker_id, effective_from, tier, previous_tier, volume_usdt, clients, inputs, next_tier, gap
                FROM what_if_review WHERE what_if_id = :id AND volume_usdt IS NOT NULL ORDER BY 1, 2""", id=what_if_id),
        }  # fmt: skip

    def books(self, *, start: datetime, end: datetime) -> dict[str, list[Row]]:
        """What really stands of a range."""
        of = {"start": start, "end": end}
        return {
            "sums": self.rows("""
                SELECT root, broker_id, tier, product, count(*), sum(net_fee_usdt), sum(commission_usdt), sum(notional_usdt)
                FROM current_line JOIN basis USING (basis_id)
                WHERE status = 'earned' AND window_start >= :start AND window_start < :end
                GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4""", **of),
            "payees": self.rows("""
                SELECT payee, sum(amount_usdt)
                FROM line_share s JOIN current_line l USING (window_start, venue, account, bill_id, revision)
                WHERE window_start >= :start AND window_start < :end GROUP BY 1 ORDER BY 1""", **of),
            "reasons": self.rows("""
                SELECT status, reason, count(*) FROM current_line JOIN basis USING (basis_id)
                WHERE window_start >= :start AND window_start < :end GROUP BY 1, 2 ORDER BY 1, 2""", **of),
            "reviews": self.rows("""
                SELECT broker_id, effective_from, tier, previous_tier, volume_usdt, clients, inputs - 'unfinished', next_tier, gap
                FROM tier_review WHERE effective_from > :start AND effective_from <= :end ORDER BY 1, 2""", **of),
        }  # fmt: skip

    def everything(self) -> Mapping[str, int]:
        """How many rows each table has that is not of what-ifs."""
        tables = self.rows("""
            SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
            AND NOT relispartition AND relname NOT LIKE 'what_if%'""")
        return {name: self.rows(f"SELECT count(*) FROM {name}")[0][0] for (name,) in tables}  # noqa: S608 - the catalogue's names
