"""The user's side: hold the server's lock, and make sure that a keeper runs."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from settlement.embedded.layout import Place, ServerName
from settlement.embedded.locks import FileLock, is_held, is_shared
from settlement.errors import Refused, Unavailable

START_SECONDS_MAX = 120
POLL_SECONDS = 0.02
LAUNCHES_MAX = 3
LOG_BYTES_MAX = 8 * 1024 * 1024


@dataclass(frozen=True)
class Membership:
    """This process's hold on a server."""

    place: Place
    users_lock: FileLock
    url: str


_joined: dict[Place, Membership] = {}


def join_postgres(home: Path) -> str:
    """The URL of the home's PostgreSQL, which now runs for as long as this process lives."""
    return _join(Place(home, "postgres"))


def join_redis(home: Path) -> str:
    """The URL of the home's Redis, which now runs for as long as this process lives."""
    return _join(Place(home, "redis"))


def leave(home: Path, *, timeout_seconds: float = 60) -> None:
    """Gives up this process's holds on the home's servers, and waits for those to stop that have no other user."""
    places = [place for place in _joined if place.home == home]
    for place in places:
        _joined.pop(place).users_lock.close()
    deadline = time.monotonic() + timeout_seconds
    while any(is_held(place.keeper_lock) and not is_shared(place.users_lock) for place in places):
        if time.monotonic() > deadline:
            raise Unavailable(f"the embedded servers in {home} did not stop within {timeout_seconds:.0f} s")
        time.sleep(POLL_SECONDS)


def lost(home: Path) -> list[ServerName]:
    """The servers of the home that this process joined and that have stopped since: joining again starts them."""
    return [place.server for place in _joined if place.home == home and not is_held(place.keeper_lock)]


def _join(place: Place) -> str:
    membership = _joined.get(place)
    if membership is not None and is_held(place.keeper_lock):
        return membership.url
    users_lock = membership.users_lock if membership else _hold(place)
    start_lock = FileLock(place.start_lock)
    try:
        start_lock.take()
        url = _url_of_running(place)
    except BaseException:
        if membership is None:
            users_lock.close()
        raise
    finally:
        start_lock.close()
    _joined[place] = Membership(place, users_lock, url)
    return url


def _hold(place: Place) -> FileLock:
    """The shared hold; waits while a keeper that had no more users is stopping the server."""
    try:
        place.directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place.users_lock)
    except OSError as error:
        raise Refused(
            f"cannot be used for the embedded servers: {error.strerror}",
            where=str(place.home),
            mend="set SETTLEMENT_HOME to a directory that you may write to",
        ) from error
    lock.share()
    return lock


def _url_of_running(place: Place) -> str:
    """Called under the start lock: nobody else looks or starts."""
    deadline = time.monotonic() + START_SECONDS_MAX
    launches = 0
    while time.monotonic() < deadline:
        if not is_held(place.keeper_lock):
            if launches:
                _raise_failure(place, final=launches == LAUNCHES_MAX)
            _launch_keeper(place)
            launches += 1
        else:
            with suppress(FileNotFoundError):
                ready = json.loads(place.ready.read_text())
                if _answers(ready["socket"]):
                    return str(ready["url"])
            time.sleep(POLL_SECONDS)
    raise Unavailable(f"the embedded {place.server} did not start in {START_SECONDS_MAX} s; see {place.log}")


def _answers(path: str) -> bool:
    """Whether somebody listens; a keeper and its server that are just being killed still hold their lock."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0


def _raise_failure(place: Place, *, final: bool) -> None:
    if place.failure.exists():
        raise Unavailable(f"the embedded {place.server} did not start: {place.failure.read_text().strip()}")
    if final:
        raise Unavailable(f"the embedded {place.server} stopped while starting, {LAUNCHES_MAX} times; see {place.log}")


def _launch_keeper(place: Place) -> None:
    """Returns when the keeper holds its lock and has left this process's session."""
    keeper = [sys.executable, "-P", "-m", "settlement.embedded.keeper", place.server, str(place.home)]
    if place.log.exists() and place.log.stat().st_size > LOG_BYTES_MAX:
        place.log.replace(place.log.with_suffix(".log.1"))
    with place.log.open("ab") as log:
        subprocess.run(  # noqa: S603 - our own interpreter and module
            keeper, check=True, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
