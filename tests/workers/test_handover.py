"""What is due reaches the task that does it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from celery.exceptions import Retry
from redis import Redis

from schemas.wire.events import DATA, CloudEvent, dataschema
from settlement.pipeline.sweep import (
    PullFills,
    RelayEvents,
    ReviewTiers,
    SettleShard,
    SettleWindow,
    SimulateTerms,
    Step,
)
from workers import handover
from workers.app import app
from workers.queues import ROUTES, SETTLE_QUEUE_LIMIT, SWEEP_SECONDS
from workers.tasks import sweep as sweep_tasks

NOW = datetime(2026, 3, 1, 7, tzinfo=UTC)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[Any]]]:
    """The messages that would have been queued."""
    messages: list[tuple[str, list[Any]]] = []

    def send_task(name: str, arguments: list[Any] | None = None, **_: Any) -> None:
        messages.append((name, arguments or []))

    monkeypatch.setattr(app, "send_task", send_task)
    return messages


def event(event_type: str, data: dict[str, Any]) -> CloudEvent:
    return CloudEvent(id=uuid4(), type=event_type, subject="x", time=NOW, dataschema=dataschema(event_type), data=data)


def test_a_due_window_becomes_one_task_per_root(sent: list[tuple[str, list[Any]]]) -> None:
    handover.act_on(event("window.due", {"run_id": 7, "window_start": NOW.isoformat(), "roots": ["", "alpha"]}))
    assert sent == [("settlement.settle_shard", [7, ""]), ("settlement.settle_shard", [7, "alpha"])]


@pytest.mark.parametrize("event_type", sorted(DATA.keys() - handover.EVENT_TASKS.keys()))
def test_news_ask_for_no_work(sent: list[tuple[str, list[Any]]], event_type: str) -> None:
    handover.act_on(event(event_type, {}))
    assert sent == []


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (SettleWindow(NOW), ("settlement.settle_window", ["2026-03-01T07:00:00+00:00"])),
        (SettleShard(7, "alpha"), ("settlement.settle_shard", [7, "alpha"])),
        (RelayEvents(), ("settlement.relay", [])),
        (ReviewTiers(NOW), ("settlement.review_tiers", ["2026-03"])),
        (SimulateTerms(7), ("settlement.simulate_terms", [7])),
        (PullFills(2, 8), ("settlement.pull_fills", [2, 8])),
        (PullFills(2, 8, again=True), ("settlement.pull_fills", [2, 8, True])),
    ],
)
def test_a_step_becomes_a_task(sent: list[tuple[str, list[Any]]], step: Step, message: tuple[str, list[Any]]) -> None:
    handover.hand_over(step)
    assert sent == [message]
    assert message[0] in ROUTES


def test_a_reminder_to_pull_expires_and_one_to_read_again_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    options: list[dict[str, Any]] = []
    monkeypatch.setattr(app, "send_task", lambda *_, **given: options.append(given))
    handover.hand_over(PullFills(0, 1))
    handover.hand_over(PullFills(0, 1, again=True))
    assert options == [{"expires": SWEEP_SECONDS}, {}]


def test_the_room_shrinks_with_the_settle_queue(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        monkeypatch.setattr(handover, "redis", lambda: client)
        assert handover.room() == SETTLE_QUEUE_LIMIT
        client.rpush("settle", "a message", "another")
        assert handover.room() == SETTLE_QUEUE_LIMIT - 2


@pytest.fixture
def gate_says(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    def choose(passes: bool) -> None:  # noqa: FBT001 - the only thing there is to choose
        monkeypatch.setattr(sweep_tasks, "database", lambda: None)
        monkeypatch.setattr(sweep_tasks.sweep, "settle_last", lambda *_, **__: passes)

    return choose


def test_the_last_window_is_tried_again_until_its_gate_passes(gate_says: Callable[[bool], None]) -> None:
    gate_says(False)
    with pytest.raises(Retry):
        sweep_tasks.settle_last_window()
    gate_says(True)
    sweep_tasks.settle_last_window()
