"""Fixtures of the loads' tests."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.pipeline.loads.settled import Registry, Rows, SettledHour


@pytest.fixture
def settled_hour(superuser: psycopg.Connection) -> SettledHour:
    return SettledHour(superuser)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    directory = tmp_path / "registry"
    directory.mkdir()
    return Registry(directory)


@pytest.fixture
def standing(superuser: psycopg.Connection) -> Rows:
    return lambda query: superuser.execute(query).fetchall()  # type: ignore[call-overload]
