"""The database: one engine, one place that commits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, make_url

from schemas.storage.migrate import APPLICATION_ROLE

# Whoever works in a transaction takes the type from here: only the store knows SQLAlchemy.
__all__ = ["APPLICATION_ROLE", "Connection", "Database", "sqlalchemy_url"]

CONNECT_TIMEOUT_SECONDS = 10


class Database:
    """PostgreSQL as the application's role sees it.

    `url` is a libpq or SQLAlchemy URL of a user who may `SET ROLE settlement_app`. Everything the product does at run
    time goes through `transaction()`, which is the only place that commits; migrations use `owner_engine()`.
    """

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        self.url = sqlalchemy_url(url)
        self.engine = create_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=5,
            pool_recycle=300,
            pool_pre_ping=True,
            # An error shows its statement, not what was in it: accounts, for one.
            hide_parameters=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS},
        )
        event.listen(self.engine, "connect", _become_application)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction: committed when the block ends, rolled back whole when it raises."""
        with self.engine.begin() as connection:
            yield connection

    def owner_engine(self) -> Engine:
        """An engine without the application's role, for migrations and checks; it keeps no connection open."""
        return create_engine(self.url, poolclass=NullPool, connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS})

    def describe(self) -> str:
        """The URL without its password, for people."""
        return unquote(make_url(self.url).set(drivername="postgresql").render_as_string(hide_password=True))

    def dispose(self) -> None:
        """Closes every pooled connection."""
        self.engine.dispose()


def sqlalchemy_url(url: str) -> str:
    """`postgres://` and `postgresql://` as the SQLAlchemy URL of the psycopg driver."""
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url.removeprefix(scheme)
    return url


def _become_application(dbapi_connection: Any, _record: Any) -> None:
    """Runs once per connection: the application's role and UTC."""
    with dbapi_connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {APPLICATION_ROLE}")
        cursor.execute("SET TIME ZONE 'UTC'")
    dbapi_connection.commit()
