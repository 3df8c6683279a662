"""The harvesting process is killed at random moments, again and again: nothing is lost, nothing comes twice."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text

from settlement.store.database import Database
from tests.harvest.desk import Desk, the_hour, vault_of
from tests.harvest.puller_process import pull_hour
from tests.harvest.rows import served, stored, write_recording
from tests.venues.sandbox.running import running

KILLS = 50
SEED = 50
PAGES_MAX = 20
ACCOUNTS = 6
FILLS = 36_000


@dataclass(kw_only=True)
class Scene:
    desk: Desk
    start: datetime
    secret_key: str
    home: Path
    url: str
    context: ForkServerContext

    def run(self, *, pages: int | None, commits: bool = False, more_seconds: float = 0) -> bool:
        """Lets a process pull; after so many pages (and a commit), and a moment more, it is killed. True if it was."""
        seen, before = self.context.Value("i", 0), self.fills()
        arguments = (self.url, self.desk.redis_url, self.secret_key, self.home, self.start, seen)
        process = self.context.Process(target=pull_hour, args=arguments)
        process.start()
        if pages is not None:
            deadline = time.monotonic() + 30
            while process.is_alive() and time.monotonic() < deadline:
                if seen.value >= pages and (not commits or self.fills() > before):
                    break
                time.sleep(0.002)
            time.sleep(more_seconds)
            process.kill()
        process.join(60)
        assert process.exitcode in ({0} if pages is None else {0, -9}), process.exitcode
        return process.exitcode == -9

    def fills(self) -> int:
        return int(self.desk.one("SELECT count(*) FROM fill"))


@pytest.fixture
def scene(database: Database, database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Scene]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.harvest.puller_process"])
    key, start = Fernet.generate_key().decode(), the_hour()
    recording = tmp_path / "fills.jsonl"
    write_recording(recording, start=start, fills=FILLS, accounts=ACCOUNTS, types=("SPOT", "SWAP"))
    with running("--replay", str(recording)) as sandbox:
        desk = Desk(database=database, redis_url=redis_url, vault=vault_of(key, tmp_path), sandbox=sandbox)
        desk.add(sandbox.accounts, pull_from=start)
        yield Scene(desk=desk, start=start, secret_key=key, home=tmp_path, url=database_url, context=context)


@pytest.mark.processes
def test_fifty_kills_at_random_moments_lose_and_repeat_nothing(scene: Scene) -> None:
    drawn = random.Random(SEED)  # noqa: S311 - moments, not secrets
    stored_after: list[int] = []
    kills = 0
    while kills < KILLS:
        # Every other one right behind a commit, so that the next is near, however slow the machine is.
        commits = kills % 2 == 1
        kills += scene.run(pages=drawn.randrange(PAGES_MAX), commits=commits, more_seconds=drawn.uniform(0, 0.1))
        stored_after.append(scene.fills())
        # What is stored, the pages that it came in and the cursors appear together.
        unexplained = "SELECT count(*) FROM raw_page WHERE load_id NOT IN (SELECT load_id FROM load)"
        assert scene.desk.one(unexplained) == 0
    assert stored_after == sorted(stored_after)
    assert len(set(stored_after)) >= 10, f"hardly any kill came while something was being stored: {stored_after}"
    scene.run(pages=None)
    assert stored(scene.desk) == served(scene.desk, scene.start)
    with scene.desk.database.transaction() as connection:
        walks = connection.execute(
            text("SELECT count(walk_after), count(*) FILTER (WHERE covered = '{}') FROM harvest")
        )
        assert tuple(walks.one()) == (0, 0)
