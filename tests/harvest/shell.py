"""Commands as somebody types them, each with what it printed; no secret of a sandbox stands in any of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from settlement.cli.main import main
from settlement.store.secret_key import new_key
from tests.ran import Ran

SECRETS = ("api_key", "secret", "passphrase", "access_token", "refresh_token")


@dataclass(kw_only=True)
class Shell:
    """Runs commands against one database, as the environment of a user names it."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    hushed: set[str] = field(default_factory=set)

    def use(self, *, database_url: str, redis_url: str) -> None:
        self.monkeypatch.setenv("SETTLEMENT_DATABASE_URL", database_url)
        self.monkeypatch.setenv("SETTLEMENT_REDIS_URL", redis_url)

    def hush(self, line: Any) -> None:
        """Every secret of a ready line is looked for in what is printed from now on."""
        self.hushed |= set(_secrets(line))

    def run(self, *arguments: object, given: Any = None) -> Ran:
        content = given if isinstance(given, bytes) else orjson.dumps(given)
        self.monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        self.monkeypatch.setattr("sys.argv", ["settlement", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        captured = self.capsys.readouterr()
        assert [secret for secret in self.hushed if secret in captured.out + captured.err] == []
        return Ran(code=int(left.value.code or 0), out=captured.out, err=captured.err)

    def done(self, *arguments: object, given: Any = None) -> str:
        """Standard output of a command that has to succeed."""
        ran = self.run(*arguments, given=given)
        assert ran.code == 0, ran.err
        return ran.out


def shell_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, database_url: str, redis_url: str
) -> Shell:
    """A shell in front of a database, with a key of its own and everything logged."""
    shell = Shell(monkeypatch=monkeypatch, capsys=capsys)
    shell.use(database_url=database_url, redis_url=redis_url)
    monkeypatch.setenv("SETTLEMENT_SECRET_KEY", new_key())
    monkeypatch.setenv("SETTLEMENT_LOG_LEVEL", "DEBUG")
    return shell


def _secrets(document: Any) -> Iterator[str]:
    if isinstance(document, list):
        for each in document:
            yield from _secrets(each)
    elif isinstance(document, dict):
        yield from (document[name] for name in SECRETS if document.get(name))
        for value in document.values():
            yield from _secrets(value)
