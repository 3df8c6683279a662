"""Which file of the home means what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ServerName = Literal["postgres", "redis"]


@dataclass(frozen=True)
class Place:
    """One server's directory under the home."""

    home: Path
    server: ServerName

    @property
    def directory(self) -> Path:
        """Everything of this server."""
        return self.home / self.server

    @property
    def data(self) -> Path:
        """The server's own data directory."""
        return self.directory / "data"

    @property
    def sockets(self) -> Path:
        """The directory of the server's sockets, or a link to it."""
        return self.directory / "sockets"

    @property
    def users_lock(self) -> Path:
        """Shared by every process that uses the server; exclusive once the keeper stops it."""
        return self.directory / "users.lock"

    @property
    def start_lock(self) -> Path:
        """Exclusive while a process looks for a keeper and starts one."""
        return self.directory / "start.lock"

    @property
    def keeper_lock(self) -> Path:
        """Exclusive for the life of the keeper."""
        return self.directory / "keeper.lock"

    @property
    def ready(self) -> Path:
        """Written when the server answers: its URL, its process and where its sockets are."""
        return self.directory / "ready.json"

    @property
    def failure(self) -> Path:
        """Why the keeper gave up: one line for people."""
        return self.directory / "failure.txt"

    @property
    def log(self) -> Path:
        """What the keeper and the server print."""
        return self.directory / "server.log"
