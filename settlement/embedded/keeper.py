"""The keeper: starts one server, stops it with its last user. `python -m settlement.embedded.keeper SERVER HOME`."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Protocol

from settlement.embedded.layout import Place
from settlement.embedded.locks import FileLock

POLL_SECONDS = 0.1
IDLE_SECONDS = 1.0
LOOKERS_SECONDS = 0.5
RESTARTS_MAX = 3
RESTARTS_WINDOW_SECONDS = 60


class Server(Protocol):
    """What the keeper needs to know of a server."""

    def start(self) -> dict[str, object]:
        """Heals what is left of an earlier life, starts, waits until it answers; what users need to know."""
        ...

    def is_running(self) -> bool:
        """Whether the process still lives."""
        ...

    def stop(self) -> None:
        """Stops it cleanly, by force if that takes too long, and removes what is not data."""
        ...


def main(arguments: list[str]) -> int:
    """Takes the keeper's lock, leaves the caller's session and keeps the server; returns at once for the caller."""
    name, home = arguments
    place = Place(Path(home), "postgres" if name == "postgres" else "redis")
    keeper_lock = FileLock(place.keeper_lock)
    if not _take_patiently(keeper_lock):
        return 0  # another keeper runs
    place.ready.unlink(missing_ok=True)
    place.failure.unlink(missing_ok=True)
    if os.fork():
        return 0  # the child shares the lock, so that the caller finds it held
    os.setsid()
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        return _keep(place, _server(place))
    except Exception as error:
        place.failure.write_text(f"{error}\n")
        raise
    finally:
        keeper_lock.release()


def _take_patiently(lock: FileLock) -> bool:
    """Whoever only looks whether the lock is held holds it himself for a moment."""
    deadline = time.monotonic() + LOOKERS_SECONDS
    while not lock.try_take():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _server(place: Place) -> Server:
    if place.server == "postgres":
        from settlement.embedded.postgres import PostgresServer  # noqa: PLC0415 - one of the two is needed

        return PostgresServer(place)
    from settlement.embedded.redis import RedisServer  # noqa: PLC0415 - one of the two is needed

    return RedisServer(place)


def _keep(place: Place, server: Server) -> int:
    users_lock = FileLock(place.users_lock)
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    restarts: list[float] = []
    try:
        _announce(place, server.start())
        idle_since: float | None = None
        while not stopping:
            time.sleep(POLL_SECONDS)
            if not server.is_running():
                _restart(place, server, restarts)
            if not users_lock.try_take():
                idle_since = None
                continue
            idle_since = idle_since or time.monotonic()
            if time.monotonic() - idle_since >= IDLE_SECONDS:
                break  # the lock stays taken: who comes now waits for the end of the stop
            users_lock.release()
    finally:
        place.ready.unlink(missing_ok=True)
        server.stop()
    return 0


def _restart(place: Place, server: Server, restarts: list[float]) -> None:
    now = time.monotonic()
    restarts[:] = [moment for moment in restarts if now - moment < RESTARTS_WINDOW_SECONDS] + [now]
    if len(restarts) > RESTARTS_MAX:
        raise RuntimeError(f"it ended {RESTARTS_MAX} times within {RESTARTS_WINDOW_SECONDS} s; see {place.log}")
    print(f"keeper: the {place.server} server ended by itself and is started again", flush=True)  # noqa: T201 - the log
    place.ready.unlink(missing_ok=True)
    _announce(place, server.start())


def _announce(place: Place, facts: dict[str, object]) -> None:
    """Written aside and renamed: a reader sees all of it or nothing."""
    draft = place.ready.with_suffix(".draft")
    draft.write_text(json.dumps({"keeper": os.getpid(), **facts}))
    draft.replace(place.ready)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
