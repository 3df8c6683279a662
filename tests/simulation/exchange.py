"""The sandbox exchange over HTTP, in a thread of the process, with the fills of the world that is being run."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any
from unittest.mock import patch

import orjson
import uvicorn
from cryptography.fernet import Fernet
from tenacity import wait_none

from settlement.errors import Unavailable
from settlement.pipeline import accounts, pulling
from settlement.program.account_documents import parse_accounts
from settlement.store.database import Database
from settlement.store.secret_key import key_place
from settlement.store.vault import open_vault
from settlement.venues.okx import client
from settlement.venues.okx.endpoints import FILLS_HISTORY
from settlement.venues.okx.fills import INSTRUMENT_TYPES
from settlement.venues.okx.pulling import Puller
from settlement.venues.okx.sandbox.door import CuttableProtocol
from settlement.venues.okx.sandbox.exchange import Exchange, Options
from settlement.venues.okx.sandbox.faults import Planned
from settlement.venues.okx.sandbox.server import HOST, application
from tests.simulation.acts import FIRST_WINDOW, FillRow, Pull, Unanswered, World
from tests.simulation.jobs import FoundError
from tests.venues.fill_files import as_okx

START_SECONDS_MAX = 20
NOT_OF_OKX = ("channel", "fee_rebate")
"""What OKX does not say of a fill."""


class Venue:
    """One listening socket for all worlds; `show` puts the exchange of one of them behind it."""

    def __init__(self, redis_url: str) -> None:
        self.redis_url = redis_url
        self.vault = open_vault(key_place(text=Fernet.generate_key().decode(), file=None, home=Path()))
        self._application: Any = None
        self._exchange: Exchange | None = None
        self._listener = socket.create_server((HOST, 0))

    def show(self, world: World) -> None:
        """From now on the fills of this world are served, and its requests fail as its faults say."""
        rows = [row for act in world.acts if isinstance(act, Pull) for row in act.rows]
        if not rows:
            self._exchange = None
            return
        unanswered = [fault for fault in world.faults if isinstance(fault, Unanswered)]
        script = [
            Planned(path=FILLS_HISTORY.path, nth=each.nth, times=each.times, fault="50004") for each in unanswered
        ]
        with tempfile.TemporaryDirectory() as folder:
            recording = Path(folder) / "fills.jsonl"
            recording.write_text("".join(json.dumps(row) + "\n" for row in as_okx([_of_okx(row) for row in rows])))
            self._exchange = Exchange(Options(replay=(recording,), script=tuple(script)))
        self._exchange.base_url = f"http://{HOST}:{self._listener.getsockname()[1]}"
        self._application = application(self._exchange)

    def pull(self, act: Pull, database: Database, *, now: datetime) -> None:
        """Adds the accounts and pulls their fills; raises Unavailable if some could not be pulled."""
        if self._exchange is None:
            return
        line = self._exchange.ready_line()
        given = [{**account, "pull_from": FIRST_WINDOW.isoformat()} for account in line["accounts"]]
        entries = parse_accounts(orjson.dumps(given), source="sandbox")
        types = {"okx": INSTRUMENT_TYPES}
        accounts.add(database, self.vault, entries, instrument_types=types, added_by="anna", now=now)
        puller = Puller(database=database, vault=self.vault, redis_url=self.redis_url, now=now, loaded_by="anna")
        report = puller.pull(None, pulling.requested(act.start, act.end, now=now))
        if report.failures:
            raise Unavailable(f"not everything was pulled: {report.failures}")

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Serves in a thread until the block ends. Requests are tried again at once."""
        ready = Event()
        server = _Server(
            uvicorn.Config(
                self._serve, http=CuttableProtocol, interface="asgi3", ws="none", lifespan="off", log_level="error"
            )
        )
        server.ready = ready
        thread = Thread(target=lambda: asyncio.run(server.serve(sockets=[self._listener])), daemon=True)
        thread.start()
        if not ready.wait(START_SECONDS_MAX):
            raise FoundError("the sandbox did not start")
        with patch.object(client, "_soon", wait_none()), patch.object(client, "_later", wait_none()):
            yield
        server.should_exit = True
        thread.join(START_SECONDS_MAX)
        self._listener.close()

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        await self._application(scope, receive, send)


class _Server(uvicorn.Server):
    ready: Event

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()


def _of_okx(row: FillRow) -> FillRow:
    moment = datetime.fromisoformat(row["executed_at"])
    instant = str(int(moment.timestamp() * 1000))
    kept = {name: value for name, value in row.items() if name not in NOT_OF_OKX}
    return {**kept, "executed_at": instant, "recorded_at": instant}
