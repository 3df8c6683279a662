"""Commands as somebody types them, against the test's database."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from settlement.cli.main import main
from tests.ran import Ran

Settlement = Callable[..., Ran]


@pytest.fixture
def settlement(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Settlement:
    """Runs `settlement` with these arguments; whatever it writes, to text or to bytes, is what it printed."""
    monkeypatch.setenv("SETTLEMENT_DATABASE_URL", database_url)

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr("sys.argv", ["settlement", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        captured = capfdbinary.readouterr()
        return Ran(code=int(left.value.code or 0), out=captured.out.decode(), err=captured.err.decode())

    return run
