"""A sandbox exchange, its accounts added, and what pulls from it, on a real database and a real Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from settlement.store.database import Database
from tests.harvest.desk import Desk, the_hour, vault_of
from tests.harvest.shell import Shell, shell_of
from tests.venues.sandbox.running import running

StartDesk = Callable[..., Desk]
# A test that asks for the last hour more than once means the same one.
TEST_SECONDS = 40


@pytest.fixture(autouse=True)
def within_one_hour() -> None:
    """Waits for the next hour if this one is about to end."""
    left = 3600 - time.time() % 3600
    if left < TEST_SECONDS:
        time.sleep(left)


@pytest.fixture
def desk_at(database: Database, redis_url: str, tmp_path: Path) -> Iterator[StartDesk]:
    """Starts a sandbox with options, adds its accounts, and gives the desk in front of it."""
    vault = vault_of(Fernet.generate_key().decode(), tmp_path)
    with ExitStack() as stack:

        def start(*options: str, pull_from: datetime | None = None, with_broker: bool = False) -> Desk:
            sandbox = stack.enter_context(running(*options))
            desk = Desk(database=database, redis_url=redis_url, vault=vault, sandbox=sandbox)
            given = [*sandbox.accounts, *([sandbox.broker] if with_broker else [])]
            desk.add(given, pull_from=pull_from or the_hour())
            return desk

        yield start


@pytest.fixture
def shell(database_url: str, redis_url: str, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    """Commands, against the test's database. The environment is as before when the database is dropped."""
    with pytest.MonkeyPatch.context() as environment:
        yield shell_of(environment, capsys, database_url=database_url, redis_url=redis_url)
