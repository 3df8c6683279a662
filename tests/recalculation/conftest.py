"""A settled program that is then corrected: what most tests of recalculations begin with."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from settlement.pipeline.settle import settle_window
from settlement.store.database import Database
from tests.cli.conftest import settlement
from tests.recalculation.desk import Desk
from tests.workers import program
from tests.workers.conftest import fleet

__all__ = ["desk", "fleet", "settlement"]


@pytest.fixture
def desk(database: Database) -> Desk:
    """Four windows of three trees, settled."""
    program.load_program(database)
    for window_start in program.WINDOWS:
        settle_window(database, window_start, now=datetime.now(UTC))
    return Desk(database)
