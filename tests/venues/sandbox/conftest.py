"""One sandbox with a market, shared by the tests that change nothing in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.venues.sandbox.running import Sandbox, running

SIZE = ("--accounts", "40", "--fills-per-hour", "9000")


@pytest.fixture(scope="session")
def market() -> Iterator[Sandbox]:
    with running("--seed", "20260302", *SIZE) as sandbox:
        yield sandbox
