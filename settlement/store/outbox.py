"""The outbox: follow-up work, written in the transaction that makes it necessary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import Connection, text

EVENT_TYPES = frozenset(
    {
        "fills.ingested",
        "fill.quarantined",
        "source.lagging",
        "window.due",
        "window.settled",
        "window.incomplete",
        "payout.instructed",
        "payout.changed",
        "tier.changed",
        "recalculation.planned",
        "recalculation.applied",
    }
)


def emit(connection: Connection, event_type: str, *, subject: str, data: Mapping[str, Any]) -> None:
    """Adds one event; the relay hands it on after the transaction has committed. Amounts in `data` are strings."""
    if event_type not in EVENT_TYPES:
        raise ValueError(f"unknown event type {event_type!r}")
    connection.execute(
        text("INSERT INTO outbox (type, subject, data) VALUES (:type, :subject, CAST(:data AS jsonb))"),
        {"type": event_type, "subject": subject, "data": orjson.dumps(data).decode()},
    )
