"""A small HTTP server on loopback that answers as a test says, and an OKX session to ask it with."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from settlement.program.venue_accounts import ApiKey, VenueAccount
from settlement.venues.okx.limits import RateLimits
from settlement.venues.okx.session import OkxSession, open_session

T = TypeVar("T")
Answers = Callable[[dict[str, str], str], Any]
"""The rows of `data` for the parameters and the API key of a request, or a code (str) that refuses it."""


@dataclass
class Venue:
    """What is answered, by the end of the path; and what was asked."""

    base_url: str
    answers: dict[str, Answers]
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def count(self, path: str) -> int:
        return sum(asked == path for asked, _ in self.asked)


@contextmanager
def answering(**answers: Answers) -> Iterator[Venue]:
    """Serves `answers`; a path is named with "_" for "/" and "-": trade_fee answers /api/v5/account/trade-fee."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            params = dict(parse_qsl(url.query))
            name = url.path.rpartition("/")[2].replace("-", "_")
            venue.asked.append((name, params))
            data = venue.answers[name](params, self.headers.get("OK-ACCESS-KEY", "")) if name != "time" else _time()
            code, rows = (data, []) if isinstance(data, str) else ("0", data)
            body = json.dumps({"code": code, "msg": "", "data": rows}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    venue = Venue(f"http://127.0.0.1:{server.server_port}", answers)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield venue
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(redis_url: str, asking: Callable[[OkxSession], Awaitable[T]]) -> T:
    """Runs `asking` with a session."""

    async def run() -> T:
        limits = RateLimits(redis_url)
        try:
            async with open_session(limits) as session:
                return await asking(session)
        finally:
            storage: Any = limits._window.storage
            await storage.bridge.storage.connection_pool.disconnect()

    return asyncio.run(run())


def account_of(venue: Venue, account: str, *, role: Any = "client") -> VenueAccount:
    credentials = ApiKey(api_key=f"key-{account}", secret=f"s-{account}", passphrase=f"p-{account}")
    return VenueAccount(venue="okx", account=account, base_url=venue.base_url, credentials=credentials, role=role)


def _time() -> list[dict[str, str]]:

    return [{"ts": str(time.time_ns() // 1_000_000)}]
