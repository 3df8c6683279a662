"""Queries that are worth a file of their own."""

from __future__ import annotations

from importlib.resources import files


def read_sql(name: str) -> str:
    """The text of one file of this folder."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
