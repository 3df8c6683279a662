"""Commands find the test's database the way a user's would: through the environment."""

from __future__ import annotations

import pytest


@pytest.fixture
def configured(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETTLEMENT_DATABASE_URL", database_url)
