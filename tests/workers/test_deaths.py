"""Workers die, and nothing is lost or looped for ever."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from settlement.pipeline.relay import STREAM
from settlement.store import outbox
from settlement.store.database import Database
from tests.workers.conftest import REPOSITORY, Fleet

pytestmark = pytest.mark.processes


def test_the_task_of_a_killed_process_runs_again(fleet: Fleet) -> None:
    fleet.start_worker()
    fleet.send("probe.kill_own_process", "once", 1)
    fleet.wait_until(lambda: fleet.count("once:done") == 1)
    assert fleet.count("once:runs") == 2


def test_a_task_that_always_kills_its_process_is_given_up_with_an_alert(fleet: Fleet) -> None:
    fleet.start_worker()
    fleet.send("probe.kill_own_process", "deadly", 1000)
    attempts = 3  # the probe's max_retries, and the first
    fleet.wait_until(lambda: fleet.count("deadly:runs") == attempts)
    fleet.wait_until(lambda: "task given up" in fleet.logs())
    time.sleep(2)
    assert fleet.count("deadly:runs") == attempts
    assert fleet.redis.hlen("settlement.unacked") == 0


def test_the_task_of_a_worker_that_vanished_goes_to_another_after_the_visibility_timeout(fleet: Fleet) -> None:
    vanishing = fleet.start_worker()
    fleet.send("probe.sleep_once", "vanished")
    fleet.wait_until(lambda: fleet.count("vanished:runs") == 1)
    fleet.kill(vanishing)
    assert fleet.redis.hlen("settlement.unacked") == 1
    fleet.start_worker()
    fleet.wait_until(lambda: fleet.count("vanished:done") == 1)
    fleet.wait_until(lambda: fleet.redis.hlen("settlement.unacked") == 0)
    assert fleet.count("vanished:runs") == 2


def test_a_passing_failure_is_retried_and_a_refusal_is_not(fleet: Fleet) -> None:
    fleet.start_worker()
    fleet.send("probe.fail", "refused", 1, "final")
    fleet.send("probe.fail", "passing", 1, "passing")
    fleet.wait_until(lambda: fleet.count("passing:done") == 1)
    assert fleet.count("passing:runs") == 2
    assert fleet.count("refused:runs") == 1
    assert fleet.count("refused:done") == 0


def test_a_task_that_overruns_is_stopped_and_not_sent_round_again(fleet: Fleet) -> None:
    fleet.start_worker()
    fleet.send("probe.overrun", "long")
    fleet.wait_until(lambda: "task given up" in fleet.logs())
    assert fleet.count("long:runs") == 1
    assert fleet.redis.hlen("settlement.unacked") == 0


def test_a_worker_refuses_to_start_if_redis_would_give_a_running_task_to_another(fleet: Fleet) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "tests.workers.probe", "worker", "-Q", "ops", "-c", "1"],
        cwd=REPOSITORY,
        env={**fleet.environment, "PROBE_VISIBILITY_TIMEOUT": "8"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 1
    assert "visibility_timeout is 8 s, and a task may run for 8 s" in refused.stderr


RELAY_THAT_DIES = """
import os, signal
from datetime import UTC, datetime
from settlement import runtime
from settlement.pipeline import relay
from settlement.store import outbox

outbox.mark_relayed = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
with runtime.open_database() as database, runtime.open_redis() as redis:
    relay.relay(database, stream=redis, act=lambda event: None, now=datetime.now(UTC))
"""


def test_a_relay_killed_between_the_stream_and_the_commit_hands_its_events_on_again(
    fleet: Fleet, database: Database
) -> None:
    with database.transaction() as connection:
        data = {"window_start": "2026-03-01T07:00:00Z", "sources": ["okx"]}
        outbox.emit(connection, "window.incomplete", subject="2026-03-01T07:00:00Z", data=data)
    dead = subprocess.run([sys.executable, "-c", RELAY_THAT_DIES], cwd=REPOSITORY, env=fleet.environment, check=False)
    assert dead.returncode == -signal.SIGKILL
    assert fleet.redis.xlen(STREAM) == 1
    fleet.start_worker(app="workers.app")
    fleet.send("settlement.relay")
    fleet.wait_until(lambda: fleet.redis.xlen(STREAM) == 2)
    first, second = (json.loads(fields["event"]) for _, fields in fleet.redis.xrange(STREAM))
    assert first == second
    with database.transaction() as connection:
        fleet.wait_until(lambda: outbox.oldest_waiting(connection) is None)
