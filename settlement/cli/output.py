"""What commands print: JSON for machines, a progress bar for a person at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import typer

Item = TypeVar("Item")


def print_json(document: Any) -> None:
    """One JSON document on standard output; decimals and times as text."""
    import orjson

    typer.echo(orjson.dumps(document, default=str, option=orjson.OPT_INDENT_2).decode())


def progress(items: Sequence[Item], *, label: str) -> Iterator[Item]:
    """Yields `items`, with a progress bar on standard error where that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if not sys.stderr.isatty() or len(items) < 2:  # noqa: PLR2004 - a bar of one step shows nothing
        yield from items
        return
    yield from track(items, description=label, console=console, transient=True)
