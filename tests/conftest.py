"""What every test may ask for: a fresh migrated database, an empty Redis, and the design's examples.

The servers are the product's own embedded ones in a temporary home, or the external ones that SETTLEMENT_DATABASE_URL
and SETTLEMENT_REDIS_URL name. A database is cloned from a template that is migrated once per run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from redis import Redis
from sqlalchemy import make_url

from schemas.storage import migrate
from settlement import embedded, runtime
from settlement.store.database import Database

TEMPLATE_LOCK = 5_120_771_934
SHARED = Path(__file__).resolve().parents[2] / "shared"
HOME = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """The controller chooses the home and the run's name; the processes of xdist inherit both."""
    if hasattr(config, "workerinput"):
        return
    home = Path(tempfile.mkdtemp(prefix="settlement-tests-"))
    config.stash[HOME] = home
    os.environ["SETTLEMENT_HOME"] = str(home)
    os.environ["PYTEST_SETTLEMENT_RUN"] = uuid.uuid4().hex[:12]


def pytest_unconfigure(config: pytest.Config) -> None:
    if HOME not in config.stash:
        return
    if os.environ.get("SETTLEMENT_DATABASE_URL"):
        with _administrator() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(_template_name())))
    else:
        embedded.leave(config.stash[HOME])
    shutil.rmtree(config.stash[HOME], ignore_errors=True)


@pytest.fixture(scope="session")
def template() -> str:
    """The name of a migrated database that nobody is connected to."""
    name = _template_name()
    with _administrator() as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [TEMPLATE_LOCK])
        exists = connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone()
        if exists is None:
            draft = name + "_draft"
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(draft)))
            migrate.upgrade(Database(_url_of(draft)).owner_engine())
            rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            connection.execute(rename.format(sql.Identifier(draft), sql.Identifier(name)))
    return name


@pytest.fixture
def database_url(template: str) -> Iterator[str]:
    """The URL of a fresh migrated database, as its owner."""
    with _clone(template) as url:
        yield url


@pytest.fixture
def empty_database_url() -> Iterator[str]:
    """The URL of a database without any schema."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    with _administrator() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield _url_of(name)
    with _administrator() as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh migrated database as the application's role sees it."""
    opened = Database(database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def second_database(template: str) -> Iterator[Database]:
    """Another fresh one, for what two databases have to agree on."""
    with _clone(template) as url:
        opened = Database(url)
        yield opened
        opened.dispose()


@pytest.fixture
def superuser(database_url: str) -> Iterator[psycopg.Connection]:
    """A superuser's connection to the test's database, committing every statement: for attacks and for set-up."""
    with psycopg.connect(_libpq(database_url), autocommit=True) as connection:
        yield connection


@pytest.fixture
def redis_url(worker_id: str) -> str:
    """The URL of an empty Redis database of this test process."""
    url = _redis_number(runtime.redis_url(), worker_id)
    with Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The design's examples, beside the repository."""
    if not SHARED.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{SHARED} is missing, and CI must run this")
        pytest.skip(f"{SHARED} is missing")
    return SHARED


@contextmanager
def _clone(template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:16]}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    with _administrator() as connection:
        connection.execute(create)
    yield _url_of(name)
    with _administrator() as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _template_name() -> str:
    return f"template_{os.environ['PYTEST_SETTLEMENT_RUN']}"


def _administrator() -> psycopg.Connection:
    return psycopg.connect(_libpq(runtime.database_url()), autocommit=True)


def _url_of(name: str) -> str:
    return make_url(runtime.database_url()).set(database=name).render_as_string(hide_password=False)


def _libpq(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _redis_number(url: str, worker_id: str) -> str:
    """Each test process has its own number: the configured one counted down, or the embedded server's 1, 2, ..."""
    process = int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 0
    if url.startswith("unix://"):
        return url.partition("?")[0] + f"?db={process + 1}"
    base, _, number = url.rpartition("/")
    return f"{base}/{int(number) - process}"
