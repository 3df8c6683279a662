"""A broker's desk in front of a sandbox exchange: what the harvest's tests do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import text

from settlement.pipeline import accounts, pulling
from settlement.pipeline.harvest import HarvestReport, PlanOf
from settlement.program.account_documents import parse_accounts
from settlement.store.database import Database
from settlement.store.secret_key import key_place
from settlement.store.vault import Vault, open_vault
from settlement.venues.okx.fills import INSTRUMENT_TYPES
from settlement.venues.okx.pulling import Puller
from tests.venues.sandbox.running import Sandbox

HOUR = timedelta(hours=1)


def the_hour(hours_ago: int = 1) -> datetime:
    """The start of the hour that many hours before the running one."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - hours_ago * HOUR


def vault_of(key: str, tmp: Any) -> Vault:
    return open_vault(key_place(text=key, file=None, home=tmp))


@dataclass(kw_only=True)
class Desk:
    """A broker's desk in front of a sandbox."""

    database: Database
    redis_url: str
    vault: Vault
    sandbox: Sandbox
    now: datetime | None = None

    def add(self, given: Sequence[dict[str, Any]], *, pull_from: datetime) -> None:
        document = [{**account, "pull_from": pull_from.isoformat()} for account in given]
        entries = parse_accounts(orjson.dumps(document), source="test")
        accounts.add(
            self.database,
            self.vault,
            entries,
            instrument_types={"okx": INSTRUMENT_TYPES},
            added_by="test",
            now=datetime.now(UTC),
        )

    def pull(self, plan: PlanOf | None = None, *, only: Sequence[str] | None = None) -> HarvestReport:
        now = self.now or datetime.now(UTC)
        puller = Puller(database=self.database, vault=self.vault, redis_url=self.redis_url, now=now, loaded_by="test")
        return puller.pull(only, plan or pulling.scheduled(now))

    def pull_hour(self, start: datetime, *, hours: int = 1) -> HarvestReport:
        return self.pull(pulling.requested(start, start + hours * HOUR, now=datetime.now(UTC)))

    def stored(self, columns: str = "account, bill_id, price, size, fee, tag, flags") -> list[tuple[Any, ...]]:
        with self.database.transaction() as connection:
            rows = connection.execute(text(f"SELECT {columns} FROM fill ORDER BY account, bill_id"))  # noqa: S608 - a test's own columns
            return [tuple(row) for row in rows]

    def one(self, query: str) -> Any:
        with self.database.transaction() as connection:
            return connection.execute(text(query)).scalar_one()
