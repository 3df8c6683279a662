"""The product's commands, run in this process against the test's database."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

from typer.testing import CliRunner

import settlement.cli.main as _every_command  # noqa: F401 - registers every command
from settlement.cli.app import app


def run(*arguments: str | Path) -> str:
    """Standard output of a command that has to succeed."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def exported(what: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(run("export", what))))
