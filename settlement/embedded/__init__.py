"""A real PostgreSQL and a real Redis under one directory, shared by every process that uses it.

    join_postgres(home), join_redis(home)  ->  the server's URL; started first if it does not run

Every process that joins holds a shared lock on `<home>/<server>/users.lock` for its life; the kernel releases it
whatever ends the process. A detached keeper (one for each server) starts the server, waits until nobody holds the
lock, stops the server cleanly and ends. The server dies with its keeper, and the next user heals what is left.
"""

from __future__ import annotations

from settlement.embedded.joining import join_postgres, join_redis, leave, lost

__all__ = ["join_postgres", "join_redis", "leave", "lost"]
