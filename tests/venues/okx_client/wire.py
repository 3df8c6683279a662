"""What really goes over the wire: a server on loopback that keeps every request as it came and answers by script."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qsl

import pytest
from tenacity import wait_none

from settlement.program.venue_accounts import ApiKey, Credentials, VenueAccount
from settlement.venues.okx import client
from settlement.venues.okx.client import Renew
from settlement.venues.okx.limits import RateLimits
from settlement.venues.okx.session import OkxSession, open_session

T = TypeVar("T")
TIME_PATH = "/api/v5/public/time"
KEY = ApiKey(api_key="key-5b", secret="secret-8e", passphrase="phrase-2d")  # noqa: S106 - opens nothing


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as it came, and when; `target` is the path with its query, byte for byte."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2]))


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer; a cut one ends the connection before the answer, or inside its body."""

    body: bytes = b""
    status: int = 200
    cut: Literal["", "before", "inside"] = ""


Script = Callable[[Request], Reply]


@dataclass(kw_only=True)
class Wire:
    """The server: `requests` are those that came, without those for the time; its clock is ahead by `ahead_seconds`."""

    base_url: str
    script: Script
    ahead_seconds: float = 0
    requests: list[Request] = field(default_factory=list)
    times_told: int = 0

    def of(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]

    def account(self, account: str = "7001", *, credentials: Credentials = KEY, demo: bool = False) -> VenueAccount:
        return VenueAccount(venue="okx", account=account, base_url=self.base_url, credentials=credentials, demo=demo)


def rows(*data: Any) -> Reply:
    """An envelope with these rows."""
    return Reply(body=json.dumps({"code": "0", "msg": "", "data": data}).encode())


def refusal(code: object, status: int = 200) -> Reply:
    """An envelope with a code, and without data."""
    return Reply(body=json.dumps({"code": code, "msg": ""}).encode(), status=status)


def in_turn(*replies: Reply) -> Script:
    """Each reply once; the last one from then on."""
    left = list(replies)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def serving(script: Script, *, ahead_seconds: float = 0) -> Iterator[Wire]:
    """Serves `script` on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            at = time.monotonic()
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(method=self.command, target=self.path, headers=self.headers, body=body, at=at)
            if request.path == TIME_PATH:
                wire.times_told += 1
                self._send(rows({"ts": str(int((time.time() + wire.ahead_seconds) * 1000))}))
            else:
                wire.requests.append(request)
                self._send(wire.script(request))

        do_POST = do_GET  # noqa: N815 - http.server looks for this name

        def _send(self, reply: Reply) -> None:
            self.close_connection = bool(reply.cut)
            if reply.cut == "before":
                return
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    wire = Wire(base_url=f"http://127.0.0.1:{server.server_port}", script=script, ahead_seconds=ahead_seconds)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield wire
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(redis_url: str, asking: Callable[[OkxSession], Awaitable[T]], *, renew: Renew | None = None) -> T:
    """Runs `asking` with a session."""

    async def run() -> T:
        async with open_session(RateLimits(redis_url), renew=renew) as session:
            return await asking(session)

    return asyncio.run(run())


def without_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight attempts wait sixteen seconds and more: the tests count attempts, and need not wait for them."""
    monkeypatch.setattr(client, "_soon", wait_none())
    monkeypatch.setattr(client, "_later", wait_none())
