"""The relay: hands committed events on, at least once.

1. Each event that waits is handed to whoever acts on it, and appended to the Redis stream for whoever listens.
2. Only then, in the transaction that holds its row, it is marked as relayed. A crash in between hands it on again with
   the same id; nothing is handed on before it is committed, and nothing committed is forgotten.
3. Two relays at once take different events (SKIP LOCKED).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from redis import Redis

from schemas.wire.events import CloudEvent, dataschema
from settlement.store import outbox
from settlement.store.database import Database

STREAM = "settlement.events"
STREAM_LENGTH = 100_000  # about as many events are kept for listeners; the outbox keeps a week of them
BATCH = 200  # events of one transaction: what a crash may hand on twice


def relay(database: Database, *, stream: Redis, act: Callable[[CloudEvent], None], now: datetime) -> int:
    """Hands on everything that waits and returns how many events that were. `act` queues the work of one event."""
    relayed = 0
    while batch := _relay_batch(database, stream=stream, act=act, now=now):
        relayed += batch
    return relayed


def _relay_batch(database: Database, *, stream: Redis, act: Callable[[CloudEvent], None], now: datetime) -> int:
    with database.transaction() as connection:
        waiting = outbox.claim(connection, limit=BATCH)
        if not waiting:
            return 0
        events = [_cloud_event(row) for row in waiting]
        for event in events:
            act(event)
        _append(stream, events)
        outbox.mark_relayed(connection, [row.outbox_id for row in waiting], now=now)
    return len(waiting)


def _append(stream: Redis, events: list[CloudEvent]) -> None:
    pipeline = stream.pipeline(transaction=False)
    for event in events:
        pipeline.xadd(STREAM, {"event": event.model_dump_json()}, maxlen=STREAM_LENGTH, approximate=True)
    pipeline.execute()


def _cloud_event(row: outbox.Waiting) -> CloudEvent:
    return CloudEvent(
        id=row.event_id,
        type=row.type,
        subject=row.subject,
        time=row.occurred_at,
        dataschema=dataschema(row.type),
        data=row.data,
    )
