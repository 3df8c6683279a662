"""A world in which one hour has been settled, line by line as a test says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from settlement.pipeline.load_report import Act

HOUR = datetime(2026, 9, 14, 8, tzinfo=UTC)
HEADERS = {
    "brokers": "broker_id,name,model,parent_id,share,status,effective_from,effective_to,own_accounts,payout_address",
    "codes": "code,broker_id,effective_from,effective_to",
    "clients": "venue,account,broker_id,effective_from,effective_to,referral_code,affiliated,account_class,rebate_share",
    "vip_levels": "venue,account,level,effective_from",
    "fee_rates": "venue,account,product,liquidity,rate,effective_from",
    "tiers": "broker_id,tier,effective_from,effective_to,reason",
    "overrides": "broker_id,kind,product,liquidity,value,effective_from,effective_to,reason",
}
ACT = Act(loaded_by="tester")

Rows = Callable[[str], list[tuple[object, ...]]]
"""The rows of a query, for looking at what a load left behind."""


@dataclass
class Registry:
    """A directory of registry files that a test writes row by row."""

    directory: Path

    def write(self, **files: str) -> Path:
        """Replaces the directory's files by these: rows of text, one a line, without the header."""
        for path in self.directory.glob("*.csv"):
            path.unlink()
        for name, rows in files.items():
            lines = [HEADERS[name], *(line.strip() for line in rows.strip().splitlines())]
            (self.directory / f"{name}.csv").write_text("\n".join(lines) + "\n")
        return self.directory


@dataclass
class SettledHour:
    """Writes settled lines straight into the tables, as the owner."""

    owner: psycopg.Connection
    run_id: int = 0
    lines: int = 0
    _terms_id: int | None = field(default=None, repr=False)

    def line(  # noqa: PLR0913 - each is a column that some load can reach
        self,
        *,
        status: str = "earned",
        account: str = "1",
        broker: str | None = "alpha",
        root: str = "",
        tag: str = "",
        minute: int = 30,
        instrument: tuple[str, str] = ("SPOT", "BTC-USDT"),
        price_id: int | None = None,
        revision: int = 0,
        bill_id: str | None = None,
    ) -> str:
        """One fill at `HOUR` + `minute` and its line; returns the bill id."""
        self._settle_hour()
        self.lines += 1
        bill = bill_id or f"bill-{self.lines}"
        if bill_id is None:
            self.owner.execute(
                "INSERT INTO fill (venue, account, bill_id, instrument, instrument_type, side, liquidity, price, size, fee,"
                " fee_currency, tag, executed_at, load_id)"
                " VALUES ('okx', %s, %s, %s, %s, 'buy', 'taker', 1, 1, -1, 'USDT', %s, %s, 0)",
                [account, bill, instrument[1], instrument[0], tag, HOUR + timedelta(minutes=minute)],
            )
        amount = 1 if status == "earned" else None
        self.owner.execute(
            "INSERT INTO line (window_start, venue, account, bill_id, revision, run_id, basis_id, net_fee_usdt,"
            " commission_usdt, notional_usdt, price_id) VALUES (%s, 'okx', %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                HOUR,
                account,
                bill,
                revision,
                self.run_id,
                self._basis(status, broker, root),
                amount,
                amount,
                amount,
                price_id,
            ],
        )
        self.owner.execute(
            "INSERT INTO run_outcome (run_id, root, line_root, status, reason, lines) VALUES (%s, '', '', %s, '', 1)"
            " ON CONFLICT (run_id, root, line_root, status, reason) DO UPDATE SET lines = run_outcome.lines + 1",
            [self.run_id, status],
        )
        return bill

    def rechecked(self) -> bool:
        """Whether the hour is marked for a supplementary run."""
        query = "SELECT recheck FROM settlement_window WHERE window_start = %s"
        return bool(self._one(query, HOUR))

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return int(self._one(f"SELECT count(*) FROM {table}"))  # noqa: S608 - a table's name from a test

    def _settle_hour(self) -> None:
        if self.run_id:
            return
        for parent in ("fill", "line"):
            self.owner.execute("SELECT ensure_partitions(%s, %s, %s)", [parent, HOUR.date(), HOUR.date()])
        self.owner.execute("INSERT INTO settlement_window (window_start, status) VALUES (%s, 'settled')", [HOUR])
        insert = "INSERT INTO run (window_start, revision, kind, closed_at) VALUES (%s, 0, 'scheduled', now()) RETURNING run_id"
        self.run_id = self._one(insert, HOUR)
        self.owner.execute("INSERT INTO run_shard (run_id, root) VALUES (%s, '')", [self.run_id])

    def _basis(self, status: str, broker: str | None, root: str) -> int:
        earned = status == "earned"
        reason = {"earned": "", "excluded": "NO_NET_FEE", "pending": "VIP_UNKNOWN"}[status]
        terms_id, split_id = self._terms() if earned else (None, None)
        return self._one(
            "INSERT INTO basis (root, broker_id, status, reason, product, tier, rate, terms_id, split_id, flags)"
            " VALUES (%s, %s, %s, %s, 'spot', %s, %s, %s, %s, '') ON CONFLICT DO NOTHING RETURNING basis_id",
            root, broker, status, reason, "T1" if earned else None, 0 if earned else None, terms_id, split_id,
        ) or self._one("SELECT basis_id FROM basis WHERE root = %s AND broker_id IS NOT DISTINCT FROM %s AND status = %s", root, broker, status)  # fmt: skip

    def _terms(self) -> tuple[int, int]:
        """Terms that have been replaced: a basis needs some, and no test is to find them in force."""
        if self._terms_id is None:
            load_id = self._one("INSERT INTO load (kind, source, loaded_by) VALUES ('terms', '', '') RETURNING load_id")
            self._terms_id = self._one(
                "INSERT INTO program_terms (name, effective_from, document, load_id, replaced_by_load)"
                " VALUES ('old', '2000-01-01', '', %s, %s) RETURNING terms_id", load_id, load_id,
            )  # fmt: skip
            self._one("INSERT INTO split (payees, shares) VALUES ('{alpha}', '{1}') RETURNING split_id")
        return self._terms_id, self._one("SELECT min(split_id) FROM split")

    def _one(self, query: str, *parameters: object) -> int:
        row = self.owner.execute(query, parameters).fetchone()  # type: ignore[call-overload]
        return row[0] if row else 0
