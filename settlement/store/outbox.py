"""The outbox: follow-up work, written in the transaction that makes it necessary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from schemas.wire.events import check_data

PRUNE_BATCH = 10_000


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """One event that has not been handed on."""

    outbox_id: int
    event_id: UUID
    type: str
    subject: str
    data: dict[str, Any]
    occurred_at: datetime


def emit(connection: Connection, event_type: str, *, subject: str, data: Mapping[str, Any]) -> None:
    """Adds one event; the relay hands it on after the transaction has committed. Amounts in `data` are strings.

    Raises ValueError if the type or its data is not in schemas/wire/events.py: the transaction that would have sent a
    wrong event fails, not everybody who listens.
    """
    encoded = orjson.dumps(data)
    check_data(event_type, encoded)
    connection.execute(
        text("INSERT INTO outbox (type, subject, data) VALUES (:type, :subject, CAST(:data AS jsonb))"),
        {"type": event_type, "subject": subject, "data": encoded.decode()},
    )


def claim(connection: Connection, *, limit: int) -> list[Waiting]:
    """The oldest events that wait and that no other relay holds, locked until the transaction ends."""
    rows = connection.execute(
        text(
            "SELECT outbox_id, event_id, type, subject, data, occurred_at FROM outbox WHERE relayed_at IS NULL"
            " ORDER BY outbox_id LIMIT :limit FOR UPDATE SKIP LOCKED"
        ),
        {"limit": limit},
    )
    return [Waiting(**row) for row in rows.mappings()]


def mark_relayed(connection: Connection, outbox_ids: Sequence[int], *, now: datetime) -> None:
    """Says that these events have been handed on."""
    connection.execute(
        text("UPDATE outbox SET relayed_at = :now WHERE outbox_id = ANY(:outbox_ids)"),
        {"now": now, "outbox_ids": list(outbox_ids)},
    )


def oldest_waiting(connection: Connection) -> datetime | None:
    """Since when the oldest event waits; None if none does."""
    query = text("SELECT occurred_at FROM outbox WHERE relayed_at IS NULL ORDER BY outbox_id LIMIT 1")
    occurred_at: datetime | None = connection.execute(query).scalar()
    return occurred_at


def prune(connection: Connection, *, relayed_before: datetime) -> int:
    """Deletes the oldest events if they were handed on before `relayed_before`; returns how many.

    Looks at the first rows of the primary key only, so that it costs the same however long the outbox is.
    """
    result = connection.execute(
        text(
            "DELETE FROM outbox WHERE relayed_at < :relayed_before"
            " AND outbox_id = ANY(ARRAY(SELECT outbox_id FROM outbox ORDER BY outbox_id LIMIT :batch))"
        ),
        {"relayed_before": relayed_before, "batch": PRUNE_BATCH},
    )
    return result.rowcount
