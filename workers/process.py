"""What one worker process holds: a database and a Redis connection, opened by the first task that needs them.

Tasks run after the fork, so nothing is opened before it: two processes that share a socket mix up their conversations.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from typing import Any

from celery.signals import worker_process_shutdown
from redis import Redis

from settlement import runtime
from settlement.store.database import Database

POOL_SIZE = 2  # a process runs one task at a time; settling a shard reads over one connection and writes over another

_resources = ExitStack()


@cache
def database() -> Database:
    """The database of this process."""
    return _resources.enter_context(runtime.open_database(pool_size=POOL_SIZE))


@cache
def redis() -> Redis:
    """The Redis of this process: for the event stream and the length of queues, never for money."""
    return _resources.enter_context(runtime.open_redis())


def close(**_: Any) -> None:
    """Closes what this process has opened."""
    _resources.close()
    database.cache_clear()
    redis.cache_clear()


worker_process_shutdown.connect(close)
