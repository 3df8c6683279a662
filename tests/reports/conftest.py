"""One settled database for all tests that only read: two windows of the sample, the second across the change of terms."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from settlement import runtime
from settlement.pipeline.ingest import ingest
from settlement.pipeline.load_instruments import load_instruments
from settlement.pipeline.load_prices import load_prices
from settlement.pipeline.load_registry import load_registry
from settlement.pipeline.load_report import Act
from settlement.pipeline.load_terms import load_terms, read_document
from settlement.pipeline.settle import settle_window
from settlement.sample.world import Sample, write_sample
from settlement.store.database import Database
from settlement.venues.okx.instruments import parse_instruments
from settlement.venues.reading import FillFile
from tests.reports.story import Told, tell_all

BEFORE_TERMS = datetime(2026, 3, 1, 23, tzinfo=UTC)
CHANGE_OF_TERMS = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOT_SETTLED = CHANGE_OF_TERMS + timedelta(hours=1)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return write_sample(tmp_path_factory.mktemp("sample"), fills=8_000)


@pytest.fixture(scope="session")
def settled_url(template: str, sample: Sample) -> Iterator[str]:
    """The URL of a database with the sample's facts, its fills, and two of its windows settled; only to be read."""
    with new_database(template) as url:
        _settle(url, sample)
        yield url


@pytest.fixture(scope="session")
def settled(settled_url: str) -> Iterator[Database]:
    opened = Database(settled_url)
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def told(template: str) -> Iterator[Told]:
    """The whole story, with statements issued on its way; only to be read."""
    with new_database(template) as url:
        database = Database(url)
        yield tell_all(database)
        database.dispose()


@pytest.fixture
def told_environment(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands started by the test use the database of the whole story."""
    monkeypatch.setenv("SETTLEMENT_DATABASE_URL", told.database.url)


@pytest.fixture
def settled_environment(settled_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands started by the test use the settled database."""
    monkeypatch.setenv("SETTLEMENT_DATABASE_URL", settled_url)


@contextmanager
def new_database(template: str) -> Iterator[str]:
    """The URL of a fresh migrated database, for many tests."""
    name = f"reports_{uuid.uuid4().hex[:16]}"
    server = make_url(runtime.database_url()).set(drivername="postgresql")
    with psycopg.connect(server.render_as_string(hide_password=False), autocommit=True) as administrator:
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        administrator.execute(create)
        yield server.set(database=name).render_as_string(hide_password=False)
        administrator.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _settle(url: str, sample: Sample) -> None:
    database, act, now = Database(url), Act(loaded_by="test"), datetime.now(UTC)
    load_registry(database, sample.registry, act=act)
    for path in sample.terms:
        document, source = read_document(str(path))
        load_terms(database, document, source=source, act=act)
    instruments = parse_instruments(sample.instruments.read_bytes(), source=sample.instruments.name)
    load_instruments(database, instruments, act=act)
    load_prices(database, sample.prices, act=act)
    for source, paths in sample.fills.items():
        for path in paths:
            ingest(database, FillFile(path=path), source=source, file=path.name, loaded_by="test", now=now)
    for window in (BEFORE_TERMS, CHANGE_OF_TERMS):
        settle_window(database, window, now=now)
    database.dispose()
