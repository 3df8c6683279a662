"""A TOML document read strictly: every fault names the line and the mend, and nothing unknown is passed over.

1. A fault does not end the reading: it is noted, a harmless value goes on in its place, and whoever reads the document asks
   for its faults at the end. What is compared with other values has to be sound first.
2. One fault a place: that a key is missing says all about it.
3. TOML's own numbers with a point are floats, so an amount or a rate is written as a string or as a whole number.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from settlement.errors import InputRefused
from settlement.program.toml_lines import KeyPath, line_of, lines_of_keys

SHOWN_CHARACTERS_LIMIT = 60

_PLAIN_DECIMAL = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,18})?")
_PLACE_IN_ERROR = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)")


class WrittenFloat(str):
    """A number with a point as it was written; never turned into a float."""

    __slots__ = ()


@dataclass
class Faults:
    """What is wrong with the document `source`, by its place; the first that was found comes first."""

    source: str
    lines: Mapping[KeyPath, int]
    found: dict[KeyPath, InputRefused] = field(default_factory=dict)

    def note(self, path: KeyPath, what: str, *, mend: str) -> None:
        """Notes a fault at `path`, unless there is one already."""
        where = f"{self.source} line {line_of(path, self.lines)}"
        self.found.setdefault(path, InputRefused(what, where=where, mend=mend))

    def refuse(self) -> None:
        """Raises the first fault, if there is one."""
        for fault in self.found.values():
            raise fault

    def by_line(self) -> list[InputRefused]:
        """Every fault, from the top of the document to its end."""
        return [fault for _, fault in sorted(self.found.items(), key=lambda item: line_of(item[0], self.lines))]


class Section:
    """One table of a document, at `path` in it; reading a value checks its kind and notes a fault if it is another one."""

    def __init__(self, values: Mapping[str, Any], *, path: KeyPath, faults: Faults) -> None:
        self.values, self.path, self.faults = values, path, faults

    def fault(self, what: str, *, mend: str, key: str) -> None:
        """Notes that something is wrong with `key` in this table."""
        self.faults.note((*self.path, key), what, mend=mend)

    def is_sound(self, *keys: str) -> bool:
        """Whether nothing was found wrong with this table, or with these of its keys and all below them."""
        places = [(*self.path, key) for key in keys] or [self.path]
        return not any(path[: len(place)] == place for path in self.faults.found for place in places)

    def allow_only(self, known: Collection[str]) -> None:
        """Notes every key that is not among `known`, with the nearest one as the mend."""
        for key in self.values:
            if key not in known:
                near = get_close_matches(key, known, n=1, cutoff=0.6)
                mend = f"did you mean {near[0]!r}?" if near else f"take it out; known are {', '.join(known)}"
                self.fault(f"unknown key {key!r}{self._place()}", mend=mend, key=key)

    def section(self, key: str) -> Section:
        """The table under `key`; an absent one is empty."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            self.fault(f"{key!r} is not a table", mend=f"write [{key}] and its keys below", key=key)
            return Section({}, path=(*self.path, key), faults=Faults(self.faults.source, self.faults.lines))
        return Section(value, path=(*self.path, key), faults=self.faults)

    def sections(self, key: str) -> list[Section]:
        """The tables of an array such as [[tiers]], at least one."""
        value = self._required(key, mend=f"add at least one [[{key}]]")
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            self.fault(f"{key!r} is not a list of tables", mend=f"write each one under [[{key}]]", key=key)
            return []
        return [
            Section(item, path=(*self.path, key, position), faults=self.faults) for position, item in enumerate(value)
        ]

    def text(self, key: str) -> str:
        """A required text, neither empty nor padded with spaces."""
        value = self._required(key, mend=f'write {key} = "..."')
        if not isinstance(value, str) or isinstance(value, WrittenFloat) or not value or value != value.strip():
            self.fault(
                f"{key} {_shown(value)} is not a text", mend=f'write {key} = "..." without spaces around it', key=key
            )
            return ""
        return value

    def one_of(self, key: str, choices: Sequence[str]) -> str:
        """One of `choices`; the first of them where the key is absent."""
        value = self.values.get(key, choices[0])
        if value not in choices:
            self.fault(f"{key} {_shown(value)} is unknown", mend=f"write one of {', '.join(choices)}", key=key)
        return str(value)

    def texts(self, key: str) -> frozenset[str]:
        """A list of texts; empty where the key is absent."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            self.fault(f"{key} {_shown(value)} is not a list of texts", mend=f'write {key} = ["...", "..."]', key=key)
            return frozenset()
        return frozenset(value)

    def count(self, key: str, *, minimum: int, maximum: int, default: int | None = None) -> int:
        """A whole number in `minimum..maximum`; required where there is no default."""
        mend = f"write a whole number from {minimum} to {maximum}"
        value = self._required(key, mend=mend) if default is None else self.values.get(key, default)
        if not _is_count(value, minimum, maximum):
            self.fault(f"{key} {_shown(value)} is not a whole number from {minimum} to {maximum}", mend=mend, key=key)
            return minimum
        return int(value)

    def counts(self, key: str, *, minimum: int, maximum: int) -> list[int]:
        """A required list of different whole numbers in `minimum..maximum`, at least one."""
        example = f"{key} = [{minimum}, {minimum + 1}]"
        value = self._required(key, mend=f"write {example}")
        if not isinstance(value, list) or not value or not all(_is_count(one, minimum, maximum) for one in value):
            what = f"{key} {_shown(value)} is not a list of whole numbers from {minimum} to {maximum}"
            self.fault(what, mend=f"write such as {example}", key=key)
            return []
        if twice := sorted({one for one in value if value.count(one) > 1}):
            self.fault(f"{key} names {twice[0]} twice", mend="write each one once", key=key)
        return value

    def amount(self, key: str, *, decimals: int = 18) -> Decimal:
        """A decimal of 0 or more with at most `decimals` decimals, written as a string or a whole number."""
        value = self._required(key, mend=f'write {key} = "..."')
        if isinstance(value, WrittenFloat):
            self.fault(f"{key} {value} is a float", mend=f'write it as a string: {key} = "{value}"', key=key)
        text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
        if _PLAIN_DECIMAL.fullmatch(text) is None:
            mend = f'write a plain decimal of 0 or more as a string, such as {key} = "0.25"'
            self.fault(f"{key} {_shown(value)} is not a decimal of 0 or more", mend=mend, key=key)
            return Decimal(0)
        number = Decimal(text)
        if _decimals(number) > decimals:
            self.fault(
                f"{key} {text} has more than {decimals} decimals", mend=f"round it to {decimals} decimals", key=key
            )
        return number

    def instant(self, key: str) -> datetime:
        """A time with its zone, as UTC."""
        mend = f"write it with its zone: {key} = 2026-06-01T00:00:00Z"
        value = self._required(key, mend=mend)
        if isinstance(value, str):
            value = _parsed_instant(value)
        if not isinstance(value, datetime) or value.tzinfo is None:
            self.fault(f"{key} {_shown(self.values.get(key))} is not a time with a zone", mend=mend, key=key)
            return datetime.min.replace(tzinfo=UTC)
        return value.astimezone(UTC)

    def _required(self, key: str, *, mend: str) -> Any:
        if key not in self.values:
            self.fault(f"{key!r} is missing{self._place()}", mend=mend, key=key)
        return self.values.get(key)

    def _place(self) -> str:
        names = [str(step) for step in self.path if isinstance(step, str)]
        return f" in {'.'.join(names)}" if names else ""


def read_document(document: str, *, source: str) -> Section:
    """The whole document as a section; `source` is what faults call it. Raises `InputRefused` for what is no TOML."""
    try:
        values = tomllib.loads(document, parse_float=WrittenFloat)
    except (ValueError, RecursionError) as fault:
        place = _PLACE_IN_ERROR.search(str(fault))
        line = place.group(1) if place and place.group(1) else document.count("\n") + 1
        what = f"not TOML: {_PLACE_IN_ERROR.sub('', str(fault)).lower()}"
        raise InputRefused(what, where=f"{source} line {line}", mend="mend the syntax there") from fault
    return Section(values, path=(), faults=Faults(source, lines_of_keys(document)))


def _parsed_instant(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if "T" in text.upper() else None
    except ValueError:
        return None


def _is_count(value: Any, minimum: int, maximum: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum


def _decimals(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _shown(value: Any) -> str:
    shown = f'"{value}"' if isinstance(value, str) and not isinstance(value, WrittenFloat) else str(value)
    return shown if len(shown) <= SHOWN_CHARACTERS_LIMIT else f"{shown[:SHOWN_CHARACTERS_LIMIT]}..."
