"""Serves the sandbox on loopback until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from settlement.errors import Refused
from settlement.venues.okx.sandbox.broker import FILES, download
from settlement.venues.okx.sandbox.control import control_routes
from settlement.venues.okx.sandbox.door import CuttableProtocol, Door
from settlement.venues.okx.sandbox.endpoints import ENDPOINTS
from settlement.venues.okx.sandbox.exchange import Exchange

HOST: Final = "127.0.0.1"
BACKLOG: Final = 2048

OnReady = Callable[[dict[str, Any]], None]


def serve(exchange: Exchange, *, port: int, on_ready: OnReady) -> None:
    """Serves until SIGINT or SIGTERM; `on_ready` is told the ready line once requests are answered.

    Port 0 is any free one. Refused if the port is taken.
    """
    try:
        listener = socket.create_server((HOST, port), backlog=BACKLOG)
    except OSError as error:
        raise Refused(f"port {port} cannot be used: {error.strerror}", mend="give another --port, or 0") from None
    with listener:
        exchange.base_url = f"http://{HOST}:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            application(exchange),
            http=CuttableProtocol,
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="error",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
            server_header=False,
            proxy_headers=False,
        )
        server = _Server(config, lambda: on_ready(exchange.ready_line()))
        asyncio.run(server.serve(sockets=[listener]))


def application(exchange: Exchange) -> Starlette:
    """The routes of the exchange, and those of the control API."""
    doors = [Route(each.path, Door(exchange, each), methods=[each.method]) for each in ENDPOINTS]
    files = Route(f"{FILES}/{{name}}", partial(download, exchange), methods=["GET"])
    return Starlette(routes=[*doors, files, *control_routes(exchange)])


class _Server(uvicorn.Server):
    """uvicorn, but a signal ends it with exit code 0, and it says when it is ready."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield
