"""Which line of a TOML document a key stands on: the parser of the standard library does not keep it."""

from __future__ import annotations

import re
from collections.abc import Mapping

KeyPath = tuple[str | int, ...]
"""Names of tables and keys, and positions in arrays of tables: ("tiers", 0, "rates")."""

_NAME = r"(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')"
_DOTTED = rf"{_NAME}(?:\s*\.\s*{_NAME})*"
_TABLE = re.compile(rf"\s*\[\s*({_DOTTED})\s*\]")
_ARRAY_ITEM = re.compile(rf"\s*\[\[\s*({_DOTTED})\s*\]\]")
_KEY = re.compile(rf"\s*({_DOTTED})\s*=")
_TRIPLE_QUOTE = re.compile(r"\"\"\"|'''")


def lines_of_keys(document: str) -> dict[KeyPath, int]:
    """The line, from 1, of every table header and of every key that begins a line."""
    lines: dict[KeyPath, int] = {(): 1}
    last_item: dict[KeyPath, int] = {}
    table: KeyPath = ()
    inside_text = False
    for number, line in enumerate(document.splitlines(), start=1):
        if not inside_text:
            if item := _ARRAY_ITEM.match(line):
                names = _names(item[1])
                path = (*_resolved(names[:-1], last_item), names[-1])
                last_item[path] = last_item.get(path, -1) + 1
                table = (*path, last_item[path])
                lines.setdefault(path, number)
                lines[table] = number
            elif header := _TABLE.match(line):
                table = _resolved(_names(header[1]), last_item)
                lines.setdefault(table, number)
            elif key := _KEY.match(line):
                _note_key(lines, table, _names(key[1]), number)
        inside_text ^= len(_TRIPLE_QUOTE.findall(line)) % 2 == 1
    return lines


def line_of(path: KeyPath, lines: Mapping[KeyPath, int]) -> int:
    """The line of `path`, or of the innermost table around it that begins a line."""
    while path not in lines:
        path = path[:-1]
    return lines[path]


def _names(dotted: str) -> KeyPath:
    return tuple(name.strip("\"'") for name in re.findall(_NAME, dotted))


def _resolved(names: KeyPath, last_item: Mapping[KeyPath, int]) -> KeyPath:
    """The path of a header: inside an array of tables it means the item that was begun last."""
    path: KeyPath = ()
    for name in names:
        path = (*path, name)
        if path in last_item:
            path = (*path, last_item[path])
    return path


def _note_key(lines: dict[KeyPath, int], table: KeyPath, names: KeyPath, number: int) -> None:
    for depth in range(1, len(names) + 1):
        lines.setdefault((*table, *names[:depth]), number)
