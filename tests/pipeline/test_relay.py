"""The relay hands each committed event on at least once, and never one that was not committed."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from redis import Redis
from sqlalchemy import text

from schemas.wire.events import DATA, CloudEvent, json_schema
from settlement.pipeline.relay import BATCH, STREAM, relay
from settlement.store import outbox
from settlement.store.database import Database

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


@pytest.fixture
def stream(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def due(run_id: int, roots: tuple[str, ...] = ("alpha",)) -> dict[str, Any]:
    return {"run_id": run_id, "window_start": "2026-03-01T07:00:00Z", "roots": list(roots)}


def emit(database: Database, *run_ids: int) -> None:
    with database.transaction() as connection:
        for run_id in run_ids:
            outbox.emit(connection, "window.due", subject="2026-03-01T07:00:00Z", data=due(run_id))


def streamed(stream: Redis) -> list[dict[str, Any]]:
    return [json.loads(fields["event"]) for _, fields in stream.xrange(STREAM)]


def waiting(database: Database) -> int:
    with database.transaction() as connection:
        return connection.execute(text("SELECT count(*) FROM outbox WHERE relayed_at IS NULL")).scalar_one()


def test_an_event_is_handed_on_and_streamed_as_a_cloud_event(database: Database, stream: Redis) -> None:
    emit(database, 1)
    acted: list[CloudEvent] = []
    assert relay(database, stream=stream, act=acted.append, now=NOW) == 1
    assert [event.data for event in acted] == [due(1)]
    [event] = streamed(stream)
    assert event == {
        "specversion": "1.0",
        "id": str(acted[0].id),
        "source": "/broker-settlement",
        "type": "window.due",
        "subject": "2026-03-01T07:00:00Z",
        "time": event["time"],
        "datacontenttype": "application/json",
        "dataschema": "urn:broker-settlement:event:window.due:1",
        "data": due(1),
    }
    assert relay(database, stream=stream, act=acted.append, now=NOW) == 0
    assert len(acted) == 1


def test_events_are_handed_on_in_the_order_they_were_written(database: Database, stream: Redis) -> None:
    emit(database, *range(BATCH + 5))
    acted: list[CloudEvent] = []
    assert relay(database, stream=stream, act=acted.append, now=NOW) == BATCH + 5
    assert [event.data["run_id"] for event in acted] == list(range(BATCH + 5))
    assert [event["data"]["run_id"] for event in streamed(stream)] == list(range(BATCH + 5))


def test_an_event_of_a_transaction_that_rolled_back_is_never_seen(database: Database, stream: Redis) -> None:
    with database.engine.connect() as connection:
        outbox.emit(connection, "window.due", subject="x", data=due(1))
        connection.rollback()
    assert relay(database, stream=stream, act=lambda _: None, now=NOW) == 0


def test_a_crash_between_streaming_and_commit_hands_the_event_on_again_with_the_same_id(
    database: Database, stream: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    emit(database, 1, 2)
    acted: list[CloudEvent] = []

    def crash(*_: object, **__: object) -> None:
        raise SystemError("the process ends here")

    with monkeypatch.context() as patched:
        patched.setattr(outbox, "mark_relayed", crash)
        with pytest.raises(SystemError):
            relay(database, stream=stream, act=acted.append, now=NOW)
    assert len(streamed(stream)) == 2
    assert waiting(database) == 2
    assert relay(database, stream=stream, act=acted.append, now=NOW) == 2
    assert Counter(event.id for event in acted) == dict.fromkeys({event.id for event in acted}, 2)
    assert Counter(event["id"] for event in streamed(stream)).total() == 4
    assert waiting(database) == 0


def test_if_the_work_cannot_be_queued_the_event_waits(database: Database, stream: Redis) -> None:
    emit(database, 1)

    def refuse(_: CloudEvent) -> None:
        raise ConnectionError("no broker")

    with pytest.raises(ConnectionError):
        relay(database, stream=stream, act=refuse, now=NOW)
    assert waiting(database) == 1
    assert streamed(stream) == []


def test_two_relays_at_once_take_different_events_and_lose_none(database: Database, stream: Redis) -> None:
    total = BATCH * 2
    emit(database, *range(total))
    acted: list[CloudEvent] = []
    both_hold_a_batch = threading.Barrier(2, timeout=20)
    first = threading.local()

    def act(event: CloudEvent) -> None:
        if not hasattr(first, "seen"):
            first.seen = True
            both_hold_a_batch.wait()
        acted.append(event)

    relays = [
        threading.Thread(target=relay, args=(database,), kwargs={"stream": stream, "act": act, "now": NOW})
        for _ in range(2)
    ]
    for thread in relays:
        thread.start()
    for thread in relays:
        thread.join(timeout=30)
    assert sorted(event.data["run_id"] for event in acted) == list(range(total))
    assert waiting(database) == 0


def test_relayed_events_are_kept_a_week_and_waiting_ones_for_ever(database: Database, stream: Redis) -> None:
    emit(database, 1)
    relay(database, stream=stream, act=lambda _: None, now=NOW)
    emit(database, 2)
    with database.transaction() as connection:
        assert outbox.prune(connection, relayed_before=NOW) == 0
        assert outbox.prune(connection, relayed_before=NOW + timedelta(days=1)) == 1
        assert [row.data["run_id"] for row in outbox.claim(connection, limit=10)] == [2]


def test_an_event_that_nobody_described_is_not_sent(database: Database) -> None:
    with database.transaction() as connection, pytest.raises(ValueError, match=r"unknown event type 'window\.lost'"):
        outbox.emit(connection, "window.lost", subject="x", data={})


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"run_id": 1, "roots": []}, id="a field is missing"),
        pytest.param({**due(1), "brokers": []}, id="a field is unknown"),
        pytest.param({**due(1), "window_start": "2026-03-01T07:00:00"}, id="a time has no zone"),
    ],
)
def test_an_event_whose_data_is_not_what_its_schema_says_is_not_sent(database: Database, data: dict[str, Any]) -> None:
    with database.transaction() as connection, pytest.raises(ValidationError):
        outbox.emit(connection, "window.due", subject="x", data=data)


def test_an_amount_is_sent_as_text_never_as_a_float(database: Database) -> None:
    data = {"payout_id": 1, "payee": "alpha", "amount_usdt": 1.5, "status": "approved", "window_start": None}
    with database.transaction() as connection, pytest.raises(ValidationError):
        outbox.emit(connection, "payout.instructed", subject="1", data=data)


@pytest.mark.parametrize("event_type", sorted(DATA))
def test_every_event_type_has_a_json_schema_of_its_envelope_and_its_data(event_type: str) -> None:
    schema = json_schema(event_type)
    assert schema["properties"]["type"]["const"] == event_type
    assert schema["properties"]["dataschema"]["const"].endswith(f"{event_type}:1")
    reference = schema["properties"]["data"]["$ref"].rpartition("/")[2]
    assert schema["$defs"][reference]["description"]
    assert schema["$defs"][reference]["additionalProperties"] is False
