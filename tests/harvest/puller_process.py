"""A process that pulls an hour in many small transactions, made to be killed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from settlement.pipeline import harvest, pulling
from settlement.store.database import Database
from settlement.venues.okx.pulling import Puller
from tests.harvest.desk import HOUR, vault_of


def pull_hour(  # noqa: PLR0913, PLR0917 - all that a process is told
    database_url: str, redis_url: str, secret_key: str, home: Path, start: datetime, pages: Any
) -> None:
    """Pulls what the task pulls, by the same code, but commits every 150 rows."""
    harvest.BATCH_ROWS, harvest.BATCH_SECONDS = 150, 0.05

    def count(_page: object) -> None:
        pages.value += 1

    now = datetime.now(UTC)
    puller = Puller(
        database=Database(database_url),
        vault=vault_of(secret_key, home),
        redis_url=redis_url,
        now=now,
        loaded_by="test",
        on_page=count,
    )
    report = puller.pull(None, pulling.requested(start, start + HOUR, now=now))
    if report.failures:
        raise SystemExit(f"{report.failures}")
