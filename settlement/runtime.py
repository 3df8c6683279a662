"""The only place that wires things together: settings, the servers, the database and Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from settlement.config import Settings, read_settings, without_password
from settlement.errors import Refused, Unavailable

if TYPE_CHECKING:
    from redis import Redis

    from settlement.pipeline.venue import Page
    from settlement.store.database import Database
    from settlement.store.secret_key import KeyPlace
    from settlement.store.vault import Vault
    from settlement.venues.okx.observing import Observer
    from settlement.venues.okx.pulling import Puller


def settings() -> Settings:
    """The settings as the environment has them now."""
    return read_settings()


def database_url() -> str:
    """The URL of PostgreSQL; starts or joins the embedded server when none is configured."""
    configured = settings()
    if configured.database_url is not None:
        return configured.database_url.get_secret_value()
    from settlement.embedded import join_postgres

    return join_postgres(configured.home)


def redis_url() -> str:
    """The URL of Redis for redis-py; starts or joins the embedded server when none is configured."""
    configured = settings()
    if configured.redis_url is not None:
        return configured.redis_url.get_secret_value()
    from settlement.embedded import join_redis

    return join_redis(configured.home)


def broker_url() -> str:
    """The URL of the same Redis as Celery writes it: a socket is `redis+socket:///path?virtual_host=0` there."""
    url = redis_url()
    if not url.startswith("unix://"):
        return url
    path, _, options = url.removeprefix("unix://").partition("?")
    number = options.removeprefix("db=") or "0"
    return f"redis+socket://{path}?virtual_host={number}"


def secret_key_place() -> KeyPlace:
    """Where the key of stored credentials comes from."""
    from settlement.store.secret_key import key_place

    configured = settings()
    text = configured.secret_key.get_secret_value() if configured.secret_key is not None else None
    return key_place(text=text, file=configured.secret_key_file, home=configured.home)


def vault() -> Vault:
    """What seals and opens credentials; makes the default key file at first use."""
    from settlement.store.vault import open_vault

    return open_vault(secret_key_place())


def puller(
    database: Database, *, now: datetime, loaded_by: str, on_page: Callable[[Page], None] = lambda _: None
) -> Puller:
    """What pulls fills from OKX, with the vault that opens the accounts and the Redis that keeps the limits."""
    from settlement.venues.okx.pulling import Puller as OkxPuller

    return OkxPuller(
        database=database, vault=vault(), redis_url=redis_url(), now=now, loaded_by=loaded_by, on_page=on_page
    )


def observer(database: Database, *, now: datetime, loaded_by: str) -> Observer:
    """What asks OKX for instruments, prices, levels and eligibility, and loads them."""
    from settlement.pipeline.load_report import Act
    from settlement.venues.okx.observing import Observer as OkxObserver

    return OkxObserver(database=database, vault=vault(), redis_url=redis_url(), now=now, act=Act(loaded_by=loaded_by))


@contextmanager
def open_redis() -> Iterator[Redis]:
    """A Redis client that answers text, closed when the block ends."""
    from redis import Redis as Client

    client = Client.from_url(redis_url(), decode_responses=True, socket_connect_timeout=5, socket_timeout=30)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def open_database(*, pool_size: int = 5) -> Iterator[Database]:
    """The database, with the schema that this program needs; its connections are closed when the block ends.

    The embedded database is created or upgraded on the way. An external one is left alone: without the schema, or
    with another version of it, it is refused.
    """
    from settlement.store.database import Database

    database = Database(database_url(), pool_size=pool_size)
    try:
        _ensure_schema(database)
        yield database
    finally:
        database.dispose()


def initialise() -> tuple[str | None, str]:
    """Creates or upgrades the schema; the version before (None: there was none) and the version now."""
    from schemas.storage.migrate import current, upgrade
    from settlement.store.database import Database

    database = Database(database_url())
    before = current(database.owner_engine())
    upgrade(database.owner_engine())
    after = current(database.owner_engine())
    return before, after or ""


@dataclass(frozen=True, kw_only=True)
class DatabaseFacts:
    """What the database says of itself."""

    server_version: str
    schema_version: str


@dataclass(frozen=True, kw_only=True)
class RedisFacts:
    """What Redis says of itself; `described` is its URL without the password, `eviction_policy` empty if hidden."""

    server_version: str
    described: str
    eviction_policy: str


def database_facts(database: Database) -> DatabaseFacts:
    """The versions of the server and of the schema."""
    from schemas.storage.migrate import current
    from settlement.store.health import server_version

    with database.transaction() as connection:
        version = server_version(connection)
    return DatabaseFacts(server_version=version, schema_version=current(database.engine) or "none")


def redis_facts(client: Redis) -> RedisFacts:
    """The server's version, place and eviction policy; `Unavailable` if it does not answer."""
    from redis.exceptions import RedisError

    try:
        facts = client.info()
    except RedisError as error:
        raise Unavailable(f"Redis does not answer: {error}") from error
    return RedisFacts(
        server_version=str(facts["redis_version"]),
        described=without_password(redis_url()),
        eviction_policy=str(facts.get("maxmemory_policy", "")),
    )


def _ensure_schema(database: Database) -> None:
    from schemas.storage.migrate import current, head, upgrade

    installed, needed = current(database.owner_engine()), head()
    if installed == needed:
        return
    if settings().database_url is None:
        upgrade(database.owner_engine())
        return
    state = "has no schema" if installed is None else f"has schema version {installed}, this program needs {needed}"
    raise Refused(f"the database {state}", where=database.describe(), mend="run: settlement init")
