"""The configuration of the workers says what the design asks for."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
from celery import Celery, Task
from celery.schedules import crontab, schedule
from kombu.exceptions import OperationalError as BrokerUnavailable
from redis.exceptions import ConnectionError as RedisUnavailable
from sqlalchemy import exc

from settlement.errors import Refused, SettlementError, Unavailable
from workers import queues
from workers.app import SOFT_LIMIT_SECONDS, app, configuration, longest_hard_limit, refuse_unsafe
from workers.base import SettlementTask, alert, retry_helps
from workers.schedule import SCHEDULE

BODY_LINES_MAX = 10
TASKS = {
    "settlement.ingest_file",
    "settlement.settle_window",
    "settlement.settle_shard",
    "settlement.request_recalculation",
    "settlement.plan_recalculation",
    "settlement.approve_recalculation",
    "settlement.apply_recalculation",
    "settlement.cancel_recalculation",
    "settlement.review_tiers",
    "settlement.simulate_terms",
    "settlement.plan_payouts",
    "settlement.relay",
    "settlement.sweep",
    "settlement.settle_last_window",
    "settlement.verify_ledger",
    "settlement.pull_due",
    "settlement.pull_fills",
    "settlement.read_again",
    "settlement.snapshot_prices",
    "settlement.snapshot_instruments",
    "settlement.snapshot_levels",
    "settlement.snapshot_eligibility",
}


@pytest.fixture(scope="module")
def tasks() -> Iterator[dict[str, Any]]:
    app.loader.import_default_modules()
    return {name: task for name, task in app.tasks.items() if name.startswith("settlement.")}


def test_every_task_has_a_name_of_its_own_a_queue_and_the_base_class(tasks: dict[str, Any]) -> None:
    assert set(tasks) == TASKS
    assert set(queues.ROUTES) == TASKS
    assert {route["queue"] for route in queues.ROUTES.values()} == set(queues.QUEUES)
    assert all(isinstance(task, SettlementTask) for task in tasks.values())


def test_every_task_is_ten_lines_at_most_and_explains_its_race(tasks: dict[str, Any]) -> None:
    for name, task in tasks.items():
        function = ast.parse(inspect.getsource(task.run)).body[0]
        assert isinstance(function, ast.FunctionDef)
        of_all = inspect.getmodule(task.run).__doc__ or ""  # type: ignore[union-attr]  # a task stands in a module
        assert "Race: " in (task.run.__doc__ or "") or "Race, for each: " in of_all, name
        statements = function.body[1:]
        assert (statements[-1].end_lineno or 0) - statements[0].lineno < BODY_LINES_MAX, name


def test_the_schedule_is_that_of_the_design() -> None:
    assert {entry["task"]: entry["schedule"] for entry in SCHEDULE.values()} == {
        "settlement.settle_last_window": crontab(minute="5"),
        "settlement.sweep": crontab(),
        "settlement.plan_payouts": crontab(minute="20"),
        "settlement.review_tiers": crontab(day_of_month="1", hour="0", minute="10"),
        "settlement.verify_ledger": crontab(hour="3", minute="40"),
        "settlement.relay": schedule(run_every=1.0),
        "settlement.pull_due": crontab(minute="2,32"),
        "settlement.read_again": crontab(hour="4", minute="10"),
        "settlement.snapshot_prices": crontab(minute="*/5"),
        "settlement.snapshot_instruments": crontab(minute="50"),
        "settlement.snapshot_levels": crontab(minute="1"),
        "settlement.snapshot_eligibility": crontab(minute="*/6"),
    }


def test_every_scheduled_task_exists_and_has_a_queue(tasks: dict[str, Any]) -> None:
    named = {entry["task"] for entry in SCHEDULE.values()}
    assert named <= tasks.keys()
    assert named <= queues.ROUTES.keys()


def test_a_reminder_expires_before_the_next_but_one_is_due() -> None:
    day, half_hour = 24 * 3600, 1800
    period = {
        "settlement.relay": 5,
        "settlement.sweep": 60,
        "settlement.snapshot_prices": 300,
        "settlement.pull_due": half_hour,
        "settlement.snapshot_eligibility": half_hour,
        "settlement.read_again": day,
        "settlement.verify_ledger": day,
    }
    for entry in SCHEDULE.values():
        assert 0 < entry["options"]["expires"] <= period.get(entry["task"], 3600)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("task_acks_late", True),
        ("task_reject_on_worker_lost", True),
        ("task_retry_on_worker_lost", True),
        ("task_ignore_result", True),
        ("result_backend", None),
        ("accept_content", ["json"]),
        ("task_serializer", "json"),
        ("worker_prefetch_multiplier", 1),
        ("broker_connection_retry_on_startup", True),
        ("timezone", "UTC"),
        ("enable_utc", True),
        ("task_create_missing_queues", False),
    ],
)
def test_the_setting(setting: str, value: object) -> None:
    assert configuration()[setting] == value
    assert app.conf[setting] == value


def test_the_cap_on_redeliveries_is_one_that_this_celery_knows() -> None:
    assert hasattr(Task, "retry_on_worker_lost")
    assert 0 < SettlementTask.max_retries < 10


def test_long_lived_processes_are_replaced() -> None:
    assert 0 < app.conf.worker_max_tasks_per_child <= 1000


def test_the_visibility_timeout_is_above_the_longest_hard_limit(tasks: dict[str, Any]) -> None:
    assert all(task.time_limit is None or task.time_limit <= app.conf.task_time_limit for task in tasks.values())
    assert longest_hard_limit(app) == app.conf.task_time_limit > SOFT_LIMIT_SECONDS
    assert app.conf.broker_transport_options["visibility_timeout"] > longest_hard_limit(app)
    refuse_unsafe(app)


@pytest.mark.parametrize(
    ("hard_limit", "visibility", "message"),
    [
        pytest.param(60, 60, "visibility_timeout is 60 s, and a task may run for 60 s", id="equal"),
        pytest.param(None, 3600, "visibility_timeout is 3600 s, and a task may run for inf s", id="no limit"),
        pytest.param(60, None, "visibility_timeout is 0 s", id="not set"),
    ],
)
def test_an_unsafe_visibility_timeout_is_refused(hard_limit: int | None, visibility: int | None, message: str) -> None:
    unsafe = Celery("unsafe", set_as_current=False)
    options = {} if visibility is None else {"visibility_timeout": visibility}
    unsafe.conf.update(task_time_limit=hard_limit, broker_transport_options=options)
    with pytest.raises(Refused, match=message):
        refuse_unsafe(unsafe)


def test_the_longest_limit_of_a_single_task_counts() -> None:
    mixed = Celery("mixed", set_as_current=False)
    mixed.conf.update(task_time_limit=60, broker_transport_options={"visibility_timeout": 100})
    refuse_unsafe(mixed)

    @mixed.task(name="long", time_limit=200, shared=False)  # type: ignore[untyped-decorator]  # Celery is untyped
    def long() -> None: ...

    with pytest.raises(Refused, match="may run for 200 s"):
        refuse_unsafe(mixed)


def test_importing_the_application_reaches_no_server(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SETTLEMENT_")}
    script = "from workers import handover; from workers.tasks import audit, ingest, payouts, pull, relay, settle, snapshot, sweep"
    subprocess.run(
        [sys.executable, "-c", script], env={**environment, "SETTLEMENT_HOME": str(tmp_path / "home")}, check=True
    )
    assert not (tmp_path / "home").exists()


class _DriverError(psycopg.Error):
    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


def _wrapped(error: Exception) -> exc.DBAPIError:
    return exc.DBAPIError("SELECT 1", {}, error)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Unavailable("no answer"), id="the error says so"),
        pytest.param(_wrapped(_DriverError("40001")), id="serialization failure"),
        pytest.param(_wrapped(_DriverError("40P01")), id="deadlock"),
        pytest.param(_DriverError("40P01"), id="deadlock in COPY, from the driver itself"),
        pytest.param(_wrapped(psycopg.OperationalError("server closed the connection")), id="PostgreSQL went away"),
        pytest.param(psycopg.OperationalError("connection refused"), id="PostgreSQL is not there"),
        pytest.param(exc.TimeoutError("pool"), id="no connection free"),
        pytest.param(RedisUnavailable("no Redis"), id="Redis is not there"),
        pytest.param(BrokerUnavailable("no broker"), id="the broker is not there"),
    ],
)
def test_trying_again_helps_where(error: Exception) -> None:
    assert retry_helps(error)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(SettlementError("no"), id="an error that does not say so"),
        pytest.param(Refused("it is not allowed"), id="a refusal"),
        pytest.param(_wrapped(_DriverError("23505")), id="a unique key"),
        pytest.param(_wrapped(_DriverError("42501")), id="a missing right"),
        pytest.param(ValueError("a mistake"), id="a mistake in the program"),
    ],
)
def test_trying_again_does_not_help_where(error: Exception) -> None:
    assert not retry_helps(error)


def test_a_task_that_is_given_up_raises_an_alert() -> None:
    app.loader.import_default_modules()
    with structlog.testing.capture_logs() as logged:
        alert(app.tasks["settlement.relay"], task_id="1", exception=ValueError("no"), args=[], kwargs={})
    [event] = logged
    assert event["log_level"] == "error"
    assert event["alert"] is True
    assert event["error"] == "ValueError: no"
