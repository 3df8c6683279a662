"""The demonstration's exchange: the sandbox as a process of its own, its accounts, and the sample day pulled from it.

It serves the recorded rows of the sample day and, for the same accounts, a live market. It listens on any free port, so each
time it starts its accounts are added again with where it is now.
"""

from __future__ import annotations

import queue
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from settlement.cli.times import HOUR
from settlement.errors import SettlementError, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from settlement.pipeline.harvest import HarvestReport
    from settlement.pipeline.load_report import LoadReport
    from settlement.program.instruments import Instruments
    from settlement.store.database import Database
    from settlement.store.venue_accounts import StoredAccount
    from settlement.supervisor import Group, Say

NAME = "exchange"
START_SECONDS_MAX = 60.0
LOOK_SECONDS = 0.2
# A demonstration that was stopped for longer than this begins with new live hours instead of catching up.
CAUGHT_UP = timedelta(days=1)
# What was recorded within the last minute is not taken for complete, so an hour is pulled a little after its end.
HOUR_OVER = timedelta(minutes=2)


class Exchange:
    """The sandbox that runs; `accounts` are the clients' and `live_from` is where their live fills are expected from."""

    def __init__(self, say: Say) -> None:
        self.accounts: list[str] = []
        self.base_url = ""
        self.live_from = datetime.max.replace(tzinfo=UTC)
        self.ending = False
        self._say = say
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def hear(self, name: str, line: str) -> None:
        """Keeps the line that says it is ready, which holds secrets; passes any other on.

        What it says of answers that it breaks off at the end is no news.
        """
        if line.startswith("{"):
            self._lines.put(line)
        elif not self.ending:
            self._say(name, line)

    def join(self, database: Database, group: Group) -> str:
        """Waits until it is ready and adds its accounts; returns what became of them."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            try:
                return self._add(database, self._lines.get(timeout=LOOK_SECONDS))
            except queue.Empty:
                group.wait(0)
        raise Unavailable(f"the sandbox exchange did not start within {START_SECONDS_MAX:.0f} s")

    def keep(self, database: Database, group: Group) -> None:
        """Starts it again if it has ended, and adds its accounts where it listens now."""
        group.wait(0)
        while not self._lines.empty():
            try:
                self._say(NAME, self._add(database, self._lines.get()))
            except SettlementError as error:
                self._say(NAME, str(error))

    def pull_day(self, database: Database, *, start: datetime, end: datetime) -> HarvestReport:
        """Pulls what of the recorded day was never pulled, by the code that `settlement backfill` calls."""
        from settlement import runtime
        from settlement.pipeline import pulling
        from settlement.pipeline.load_report import current_user
        from settlement.venues.okx.parse import VENUE

        now = datetime.now(UTC)
        puller = runtime.puller(database, now=now, loaded_by=current_user())
        report = puller.pull(self.accounts, pulling.missing(start, end, venue=VENUE, now=now))
        if report.failures:
            first = report.failures[0]
            raise Unavailable(
                f"{len(report.failures)} pulls of the sample day ended early: {first.error}; run it again"
            )
        return report

    def load_instruments(self, database: Database) -> list[LoadReport]:
        """Loads what the exchange lists, from the live hours on: in the sample day, what was unlisted stays so."""
        from settlement.pipeline.load_instruments import load_instruments
        from settlement.pipeline.load_report import Act, current_user
        from settlement.venues.okx.event_loop import run_async

        act = Act(loaded_by=current_user())
        return [
            load_instruments(database, instruments, act=act, effective_from=self.live_from)
            for instruments in run_async(lambda: _read_instruments(self.base_url))
        ]

    def _add(self, database: Database, line: str) -> str:
        """By the code that `settlement accounts add` calls."""
        from settlement import runtime
        from settlement.pipeline import accounts
        from settlement.pipeline.load_report import current_user
        from settlement.program.account_documents import parse_accounts
        from settlement.store.venue_accounts import Outcome
        from settlement.venues.okx.fills import INSTRUMENT_TYPES
        from settlement.venues.okx.parse import VENUE

        now = datetime.now(UTC)
        entries = parse_accounts(line.encode(), source="the sandbox exchange")
        clients = [entry.account for entry in entries if entry.account.role == "client"]
        self.accounts, self.base_url = [client.account for client in clients], clients[0].base_url
        pull_from = _new_live_hours(self._standing(database), now=now)
        outcomes = accounts.add(
            database,
            runtime.vault(),
            [replace(entry, pull_from=pull_from) for entry in entries],
            instrument_types={VENUE: INSTRUMENT_TYPES},
            added_by=current_user(),
            now=now,
        )
        self.live_from = min(account.pull_from for account in self._standing(database))
        counts = ", ".join(f"{outcomes.count(each)} {each.value}" for each in Outcome if each in outcomes)
        return f"{self.base_url}, {len(self.accounts)} accounts and the broker's own: {counts}"

    def _standing(self, database: Database) -> list[StoredAccount]:
        from settlement.pipeline.accounts import list_accounts

        own = set(self.accounts)
        return [account for account in list_accounts(database) if account.account in own]


def last_full_hour(now: datetime) -> datetime:
    """The end of the last hour that can have been pulled whole."""
    return (now - HOUR_OVER).replace(minute=0, second=0, microsecond=0)


@contextmanager
def running_exchange(exchange: Exchange, recording: Path) -> Iterator[Group]:
    """Runs the sandbox until the block ends, however it ends. Until somebody else takes the signals, they interrupt."""
    from settlement.sample.world import SEED
    from settlement.supervisor import Process, running

    main = [sys.executable, "-P", "-c", "from settlement.cli.main import main; main()"]
    command = [*main, "sandbox", "--port", "0", "--seed", str(SEED), "--replay", str(recording)]
    with running([Process(NAME, command)], say=exchange.hear) as group:
        # What is loaded and pulled before the workers run is given up at once; all of it can be done again.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
        try:
            yield group
        finally:
            exchange.ending = True


def _new_live_hours(standing: list[StoredAccount], *, now: datetime) -> datetime | None:
    """Live fills are expected from an hour ago; None: from where they were, if they were pulled within a day."""
    pulled = [account.pulled_at for account in standing if account.pulled_at is not None]
    return None if pulled and max(pulled) > now - CAUGHT_UP else last_full_hour(now) - HOUR


async def _read_instruments(base_url: str) -> list[Instruments]:
    from settlement import runtime
    from settlement.venues.okx.limits import RateLimits
    from settlement.venues.okx.session import open_session
    from settlement.venues.okx.snapshots import families_of, read_instruments

    async with open_session(RateLimits(runtime.redis_url())) as session:
        found, failed = await read_instruments(session.public(base_url), families_of(()))
    for error in failed.values():
        raise error
    return list(found.values())
