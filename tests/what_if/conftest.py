"""A settled program to ask about."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from settlement.pipeline.settle import settle_window
from settlement.store.database import Database
from tests.what_if.desk import Desk
from tests.workers import program
from tests.workers.conftest import fleet

__all__ = ["desk", "fleet"]


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Desk:
    """Four windows of three trees, settled."""
    program.load_program(database)
    for window_start in program.WINDOWS:
        settle_window(database, window_start, now=datetime.now(UTC))
    return Desk(database, tmp_path)
