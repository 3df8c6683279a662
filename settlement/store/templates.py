"""SQL whose table and column names are filled in: one statement for every table of facts.

What is filled in comes from constants of this program, never from input; input goes in as parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Template
from typing import Any

from sqlalchemy import Connection, CursorResult, text


def run(
    connection: Connection, template: str, parameters: Mapping[str, Any] | None = None, **parts: str
) -> CursorResult[Any]:
    """Executes `template` with its `$name` parts filled in and its `:name` parameters bound."""
    return connection.execute(text(fill(template, **parts)), dict(parameters or {}))


def fill(template: str, **parts: str) -> str:
    """`template` with each `$name` replaced by its part."""
    return Template(template).substitute(parts)


def listed(names: Sequence[str], *, of: str = "") -> str:
    """Column names joined by commas, each preceded by the table's alias `of`."""
    return ", ".join(f"{of}.{name}" if of else name for name in names)


def equal(names: Sequence[str], left: str, right: str) -> str:
    """A condition that the named columns of two aliases are equal; true for no columns."""
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in names) or "true"
