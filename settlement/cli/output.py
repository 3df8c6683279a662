"""What commands print: JSON for machines, a progress bar for a person at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import typer

if TYPE_CHECKING:
    from rich.console import Console

Item = TypeVar("Item")

PLAIN_WIDTH = 200


def print_json(document: Any) -> None:
    """One JSON document on standard output; decimals and times as text."""
    import orjson

    typer.echo(orjson.dumps(document, default=str, option=orjson.OPT_INDENT_2).decode())


def console(*, plain_width: int = PLAIN_WIDTH) -> Console:
    """The terminal; where there is none, wide plain lines."""
    from rich.console import Console

    found = Console()
    return found if found.is_terminal else Console(width=plain_width)


def progress(items: Sequence[Item], *, label: str) -> Iterator[Item]:
    """Yields `items`, with a progress bar on standard error where that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if not sys.stderr.isatty() or len(items) < 2:  # noqa: PLR2004 - a bar of one step shows nothing
        yield from items
        return
    yield from track(items, description=label, console=console, transient=True)


def write_file(output: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Lets `write` fill `output`, under another name until it is whole, so that a broken file never looks finished."""
    if not output.parent.is_dir():
        raise typer.BadParameter(f"there is no directory {output.parent}", param_hint="--output")
    if output.exists() and not output.is_file():
        with output.open("wb") as sink:
            write(sink)
        return
    partial = output.with_name(f".{output.name}.partial")
    try:
        with partial.open("wb") as sink:
            write(sink)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def counting(label: str) -> Iterator[Callable[[int, int], None]]:
    """Gives what takes `(done, of how many)`, and shows it as a bar on standard error where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
