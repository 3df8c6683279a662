"""Every command and every variable is in the README and helps; the rulebook lists the reasons in the order they are checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from settlement.cli import main  # noqa: F401 - registers every command
from settlement.cli.app import app
from settlement.config import PREFIX, Settings
from settlement.reports.export_queries import QUERIES
from settlement.rules.reasons import Reason

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
RULEBOOK = (ROOT / "docs" / "rulebook.md").read_text()


def _walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, below in getattr(command, "commands", {}).items():
        if getattr(below, "commands", None):
            yield from _walk(below, (*path, name))
        else:
            yield " ".join((*path, name)), below


COMMANDS = dict(_walk(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme_and_says_what_it_does(name: str) -> None:
    assert re.search(rf"`(settlement )?{name}\b", README), f"README.md does not name `settlement {name}`"
    assert COMMANDS[name].help
    assert [option.name for option in COMMANDS[name].params if not option.help] == []


def test_the_readme_names_no_command_that_does_not_exist() -> None:
    named = re.findall(r"^\s+(?:\.venv/bin/)?settlement ([a-z]+(?: [a-z]+)?)", README, flags=re.MULTILINE)
    known = {*COMMANDS, *(f"{name} {word}" for name in COMMANDS if " " not in name for word in QUERIES)}
    unknown = {name for name in named if name not in known and name.split()[0] not in COMMANDS}
    assert named
    assert unknown == set()


@pytest.mark.parametrize("name", ["database_url", "redis_url", "home", "log_level", "log_format"])
def test_every_variable_is_in_the_readme(name: str) -> None:
    assert name in Settings.model_fields
    assert PREFIX + name.upper() in README


def test_no_variable_is_left_out() -> None:
    assert {name for name in Settings.model_fields if PREFIX + name.upper() not in README} == set()


def test_the_rulebook_lists_every_reason_in_the_order_of_the_checks() -> None:
    listed = re.findall(r"^\| (\d+) \| `([A-Z_]+)` \| (\w+) \|", RULEBOOK, flags=re.MULTILINE)
    assert listed == [
        (str(int(reason)), reason.name, reason.status) for reason in Reason if reason is not Reason.EARNED
    ]


def test_files_that_documents_point_to_exist() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for path in re.findall(r"`((?:settlement|docs|schemas|workers|tests)/[\w/.-]+\.\w+)`", document.read_text()):
            assert (ROOT / path).exists(), f"{document.name} names {path}"
