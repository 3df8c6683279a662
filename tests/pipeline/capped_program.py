"""A program whose VIP 1 clients are capped, with levels and caps that change, and fills that arrive in any order."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from sqlalchemy import text

from settlement.pipeline.audit import verify_ledger
from settlement.pipeline.load_prices import load_prices
from settlement.pipeline.load_report import Act
from settlement.pipeline.settle import settle_window
from settlement.store.database import Database
from settlement.store.lines import WINDOW
from tests.pipeline.ingesting import take_in
from tests.recalculation.desk import Desk
from tests.venues.fill_files import GOOD
from tests.workers import program

FIRST = program.FIRST
# The end of February, the night after it, and four hours of the morning.
WINDOWS = [datetime(2026, 2, 28, 22, tzinfo=UTC) + number * WINDOW for number in range(4)] + program.WINDOWS
CAP = """
[cap]
monthly_usdt = "{usdt}"
vip_levels = [1]
[[tiers]]"""
# Account 1 is not limited for an hour; beta has a cap of its own for an hour; from 09:00 on the terms' cap is higher. Tags
# bring some of the fills of accounts 1 and 2 to the other's tree.
CHANGES = """
INSERT INTO vip_level (venue, account, level, effective_from, load_id) VALUES
    ('okx', '1', 2, '2026-03-01T07:20Z', 1), ('okx', '1', 1, '2026-03-01T08:20Z', 1);
INSERT INTO broker_override (broker_id, kind, product, liquidity, value, effective_from, effective_to, load_id) VALUES
    ('beta', 'cap', 'all', 'all', 2.5, '2026-03-01T07:30Z', '2026-03-01T08:30Z', 1);
INSERT INTO program_terms (name, effective_from, document, load_id) VALUES ('later', '2026-03-01T09:00Z', :later, 1);
INSERT INTO broker_code (code, broker_id, effective_from, load_id) VALUES
    ('ALPHA1', 'alpha', :ago, 1), ('BETA1', 'beta', :ago, 1)
"""
ROUNDS_MAX = 12

Row = dict[str, str]


def capped_terms(usdt: str) -> str:
    return program.TERMS.replace("[[tiers]]", CAP.format(usdt=usdt).strip())


def load_capped_program(database: Database, *, usdt: str = "2") -> None:
    """Everything but fills, and the price of BTC."""
    program.load_program(database, terms=capped_terms(usdt), fills=False)
    later = capped_terms("3").replace("2025-01-01", "2026-03-01").replace("T00:00:00Z", "T09:00:00Z")
    with database.transaction() as connection:
        for statement in CHANGES.split(";\n"):
            values = {"later": later, "ago": program.LONG_AGO}
            connection.execute(
                text(statement), {name: value for name, value in values.items() if f":{name}" in statement}
            )


def a_fill(number: int | str, *, account: str = "1", at: datetime = FIRST, fee: str = "-1", **columns: str) -> Row:
    """A fill that earns 0.3 of its fee."""
    bill = {**GOOD, "account": account, "bill_id": str(number), "executed_at": at.isoformat()}
    return {**bill, "fee": fee, "fee_currency": "USDT", "tag": "", "channel": "api", **columns}


def drawn_fills(random: Random, count: int) -> list[Row]:
    """Fills of all windows; one in eight is charged in BTC, and half of those have no price yet."""
    rows = []
    for number in range(count):
        account = random.choice(["1", "1", "2", "3", "4", "6"])
        tag = random.choice(["", "", "ALPHA1", "BETA1"]) if account in {"1", "2"} else ""
        at = random.choice(WINDOWS) + timedelta(milliseconds=random.choice([0, 1, random.randrange(3_600_000)]))
        row = a_fill(f"{random.randrange(10**6)}-{number}", account=account, at=at, tag=tag)
        if random.random() < 1 / 8:
            rows.append({**row, "fee": f"-0.0000{random.randrange(1, 99):02}", "fee_currency": "BTC"})
        else:
            rows.append({**row, "fee": f"-{random.randrange(1, 1200) / 1000}"})
    return rows


def load_prices_of_btc(database: Database, *, of_half_past_six: str = "50000", correction: str | None = None) -> None:
    """The prices that let the pending fills be settled: two in the first hour, one in each of the others."""
    prices = {window + timedelta(minutes=1): "60000" for window in WINDOWS}
    rows = [f"BTC,{ts.isoformat()},{usdt}" for ts, usdt in (prices | {FIRST + WINDOW / 2: of_half_past_six}).items()]
    with TemporaryDirectory() as directory:
        path = Path(directory, "prices.csv")
        path.write_text("\n".join(["currency,ts,price_usdt", *rows]) + "\n")
        load_prices(database, path, act=Act(loaded_by="test", correction=correction))


def settle(database: Database, windows: Sequence[datetime]) -> None:
    for window_start in windows:
        settle_window(database, window_start, now=datetime.now(UTC))


def settle_at_once(database: Database, windows: Sequence[datetime]) -> None:
    """Settles several windows at the same moment, as workers do."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        for settled in [pool.submit(settle, database, [window_start]) for window_start in windows]:
            settled.result()


def waiting(database: Database) -> list[datetime]:
    """The windows that are to be settled, or to be looked at again."""
    query = text(
        "SELECT window_start FROM settlement_window WHERE (status = 'open' OR recheck) AND window_start < '2026-04-01'"
        " ORDER BY window_start"
    )
    with database.transaction() as connection:
        return list(connection.execute(query).scalars())


def settle_all(database: Database, random: Random | None = None, *, at_once: bool = False) -> int:
    """Settles until nothing waits, in an order drawn anew each time; returns how many rounds that took."""
    for done in range(ROUNDS_MAX):
        windows = waiting(database)
        if not windows:
            return done
        if random:
            random.shuffle(windows)
        (settle_at_once if at_once else settle)(database, windows)
    raise AssertionError(f"windows still wait after {ROUNDS_MAX} rounds")


@dataclass
class CapDesk(Desk):
    """A desk that sees what the cap did."""

    taken_in: list[str] = field(default_factory=list)

    def take_in(self, *rows: Row) -> None:
        self.taken_in.append(f"fills-{len(self.taken_in)}.csv")
        assert take_in(self.database, rows, file=self.taken_in[-1]).stored == len(rows)

    def outcomes(self, account: str = "1") -> list[str]:
        """Per fill of an account, in order of execution: `0.3`, `0.1 CAP_REMAINDER` or its reason."""
        found = self.rows(f"""
            SELECT CASE WHEN reason <> '' THEN reason
                        WHEN basis.flags LIKE '%CAP_REMAINDER' THEN trim_scale(commission_usdt) || ' CAP_REMAINDER'
                        ELSE trim_scale(commission_usdt)::text END
            FROM current_line JOIN basis USING (basis_id) JOIN fill USING (venue, account, bill_id)
            WHERE account = '{account}' ORDER BY executed_at, bill_id
        """)  # noqa: S608 - the tests' own accounts
        return [outcome for (outcome,) in found]

    def runs(self) -> list[tuple[str, int]]:
        """Kind and number of the runs."""
        return [tuple(row) for row in self.rows("SELECT kind, count(*) FROM run GROUP BY kind ORDER BY kind")]

    def to_recheck(self) -> int:
        [(count,)] = self.rows("SELECT count(*) FROM cap_recheck")
        return int(count)

    def verify_check(self, name: str) -> list[str]:
        """What one check of the audit finds."""
        report = verify_ledger(self.database, sample=0)
        return [finding for check in report.checks if check.name == name for finding in check.findings]
