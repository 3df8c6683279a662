"""A desk at an empty database."""

from __future__ import annotations

import pytest

from settlement.store.database import Database
from tests.reviews.desk import Desk


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)
