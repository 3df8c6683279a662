"""A drawn world in a database, and a desk that settles and reviews it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from settlement.pipeline.audit import verify_ledger
from settlement.pipeline.review import MonthReview, review_month
from settlement.pipeline.settle import settle_window
from settlement.store.database import Database
from tests.reviews.worlds import CODES, LINKS, Asked, Fill, World

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

TERMS = """
name = "drawn"
effective_from = 2020-01-01T00:00:00Z
entry_tier = "T1"
[eligibility]
max_vip = 5
[pricing]
[review]
volume_window = "{window}"
acquisition = "{acquisition}"
groups = "{groups}"
[payout]
minimum = "1000000"
quantum = "0.01"
auto_approve_limit = "1"
hold_hours = 0
"""

FACTS = """
INSERT INTO load (kind, source, loaded_by, loaded_at) VALUES ('registry', 'test', 'test', :ago);
INSERT INTO broker (broker_id, name, model, parent_id, share, status, effective_from, load_id) VALUES
    ('r1', 'R1', 'api', NULL, NULL, 'active', :ago, 1), ('r2', 'R2', 'api', NULL, NULL, 'active', :ago, 1),
    ('r3', 'R3', 'api', NULL, NULL, 'active', :ago, 1), ('s1', 'S1', 'api', 'r1', 0.5, 'active', :ago, 1),
    ('s2', 'S2', 'api', 'r2', 0.5, 'active', :ago, 1), ('s1', 'S1', 'api', 'r2', 0.25, 'active', :moved_at, 1);
INSERT INTO vip_level (venue, account, level, effective_from, load_id)
    SELECT 'okx', number::text, 1, :ago, 1 FROM generate_series(1, 7) number;
INSERT INTO instrument (venue, instrument, instrument_type, contract_type, contract_value, contract_multiplier,
                        contract_value_currency, settle_currency, effective_from, load_id)
    VALUES ('okx', 'BTC-USDT-SWAP', 'SWAP', 'linear', 1, 1, 'BTC', 'USDT', :ago, 1);
INSERT INTO program_terms (name, effective_from, document, load_id) VALUES ('drawn', :ago, :terms, 1)
"""


@dataclass
class Desk:
    """One database and what a desk does with it."""

    database: Database

    def found(self, world: World) -> None:
        """Brings in everything but the fills."""
        parameters = {"ago": LONG_AGO, "moved_at": world.moved_at, "terms": terms_of(world)}
        for statement in FACTS.split(";\n"):
            self.execute(statement, **{name: value for name, value in parameters.items() if f":{name}" in statement})
        for code, broker in CODES.items():
            self.execute(
                "INSERT INTO broker_code (code, broker_id, effective_from, load_id) VALUES (:code, :broker, :ago, 1)",
                code=code, broker=broker, ago=LONG_AGO,
            )  # fmt: skip
        for account, broker in LINKS.items():
            self.execute(
                "INSERT INTO client_link (venue, account, broker_id, effective_from, load_id)"
                " VALUES ('okx', :account, :broker, :ago, 1)",
                account=account, broker=broker, ago=LONG_AGO,
            )  # fmt: skip

    def trade(self, fills: Iterable[Fill]) -> None:
        """Stores fills, and opens their windows (again)."""
        for fill in fills:
            self.execute("SELECT ensure_partitions('fill', CAST(:at AS date), CAST(:at AS date))", at=fill.at)
            spot = fill.product == "spot"
            self.execute(
                "INSERT INTO fill (venue, account, bill_id, instrument, instrument_type, side, liquidity, price, size, fee,"
                " fee_currency, tag, executed_at, channel, load_id) VALUES ('okx', :account, :bill_id, :instrument, :kind,"
                " 'buy', 'taker', 1, :size, :fee, 'USDT', :tag, :at, 'api', 1)",
                account=fill.account, bill_id=fill.bill_id, instrument="BTC-USDT" if spot else "BTC-USDT-SWAP",
                kind="SPOT" if spot else "SWAP", size=fill.volume, fee=-1 if fill.charged else 1, tag=fill.tag or None,
                at=fill.at,
            )  # fmt: skip
            self.execute(
                "INSERT INTO settlement_window (window_start) VALUES (:window) ON CONFLICT (window_start)"
                " DO UPDATE SET recheck = settlement_window.status <> 'open'",
                window=fill.window,
            )

    def settle(self) -> None:
        """Settles every window that waits."""
        waiting = "SELECT window_start FROM settlement_window WHERE status = 'open' OR recheck ORDER BY window_start"
        for (window,) in self.rows(waiting):
            settle_window(self.database, window, now=datetime.now(UTC))

    def review(self, world: World, **asked: Any) -> MonthReview:
        """The review of the world's month, made an hour after it takes effect."""
        now = world.effective_from + timedelta(hours=1)
        return review_month(self.database, world.month, by="desk", now=now, **asked)

    def rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with self.database.transaction() as connection:
            return [tuple(row) for row in connection.execute(text(query), parameters)]

    def execute(self, statement: str, **parameters: Any) -> None:
        with self.database.transaction() as connection:
            connection.execute(text(statement), parameters)

    def events(self) -> list[dict[str, Any]]:
        """The events tier.changed, in the order in which they were written."""
        return [data for (data,) in self.rows("SELECT data FROM outbox WHERE type = 'tier.changed' ORDER BY outbox_id")]

    def findings(self) -> list[str]:
        """What the audit finds."""
        return [finding for check in verify_ledger(self.database, sample=0).checks for finding in check.findings]


def terms_of(world: World) -> str:
    """The world's terms as a document."""
    head = TERMS.format(
        window="rolling_30d" if world.rolling else "calendar_month",
        acquisition="new_clients" if world.new_clients else "active_clients",
        groups="max_of_spot_and_contracts" if world.apart else "all",
    )
    return head + "".join(_tier(number, asked) for number, asked in enumerate(world.tiers, 1))


def _tier(number: int, asked: Asked) -> str:
    if "all" in asked.volume:
        volume, clients = f'"{asked.volume["all"]:f}"', str(asked.clients["all"])
    else:
        volume = "{ " + ", ".join(f'{group} = "{one:f}"' for group, one in asked.volume.items()) + " }"
        clients = "{ " + ", ".join(f"{group} = {one}" for group, one in asked.clients.items()) + " }"
    thresholds = f"min_volume = {volume}\nmin_clients = {clients}"
    return f'[[tiers]]\nname = "T{number}"\n{thresholds}\nrates = {{ spot = "0.{number}", futures = "0.{number}" }}\n'
