"""A TOML document read strictly: every refusal names the line and the mend, and nothing unknown is passed over.

TOML's own numbers with a point are floats, so an amount or a rate is written as a string or as a whole number.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, NoReturn

from settlement.errors import InputRefused
from settlement.program.toml_lines import KeyPath, line_of, lines_of_keys

SHOWN_CHARACTERS_LIMIT = 60

_PLAIN_DECIMAL = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,18})?")
_PLACE_IN_ERROR = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)")


class WrittenFloat(str):
    """A number with a point as it was written; never turned into a float."""

    __slots__ = ()


class Section:
    """One table of a document, at `path` in it; reading a value checks its kind."""

    def __init__(self, values: Mapping[str, Any], *, path: KeyPath, source: str, lines: Mapping[KeyPath, int]) -> None:
        self.values, self.path = values, path
        self._source, self._lines = source, lines

    def refuse(self, what: str, *, mend: str, key: str | None = None) -> NoReturn:
        """Refuses the document at the line of `key` in this table, or of the table itself."""
        path = self.path if key is None else (*self.path, key)
        raise InputRefused(what, where=f"{self._source} line {line_of(path, self._lines)}", mend=mend)

    def allow_only(self, known: Collection[str]) -> None:
        """Refuses a key that is not among `known`, with the nearest one as the mend."""
        for key in self.values:
            if key not in known:
                near = get_close_matches(key, known, n=1, cutoff=0.6)
                mend = f"did you mean {near[0]!r}?" if near else f"take it out; known are {', '.join(known)}"
                self.refuse(f"unknown key {key!r}{self._place()}", mend=mend, key=key)

    def section(self, key: str) -> Section:
        """The table under `key`; an absent one is empty."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            self.refuse(f"{key!r} is not a table", mend=f"write [{key}] and its keys below", key=key)
        return self._child(value, key)

    def sections(self, key: str) -> list[Section]:
        """The tables of an array such as [[tiers]], at least one."""
        value = self._required(key, mend=f"add at least one [[{key}]]")
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            self.refuse(f"{key!r} is not a list of tables", mend=f"write each one under [[{key}]]", key=key)
        return [self._child(item, key, position) for position, item in enumerate(value)]

    def text(self, key: str) -> str:
        """A required text, neither empty nor padded with spaces."""
        value = self._required(key, mend=f'write {key} = "..."')
        if not isinstance(value, str) or isinstance(value, WrittenFloat) or not value or value != value.strip():
            self.refuse(
                f"{key} {_shown(value)} is not a text", mend=f'write {key} = "..." without spaces around it', key=key
            )
        return value

    def one_of(self, key: str, choices: Sequence[str]) -> str:
        """One of `choices`; the first of them where the key is absent."""
        value = self.values.get(key, choices[0])
        if value not in choices:
            self.refuse(f"{key} {_shown(value)} is unknown", mend=f"write one of {', '.join(choices)}", key=key)
        return str(value)

    def texts(self, key: str) -> frozenset[str]:
        """A list of texts; empty where the key is absent."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            self.refuse(f"{key} {_shown(value)} is not a list of texts", mend=f'write {key} = ["...", "..."]', key=key)
        return frozenset(value)

    def count(self, key: str, *, minimum: int, maximum: int, default: int | None = None) -> int:
        """A whole number in `minimum..maximum`; required where there is no default."""
        mend = f"write a whole number from {minimum} to {maximum}"
        value = self._required(key, mend=mend) if default is None else self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            self.refuse(f"{key} {_shown(value)} is not a whole number from {minimum} to {maximum}", mend=mend, key=key)
        return value

    def amount(self, key: str, *, decimals: int = 18) -> Decimal:
        """A decimal of 0 or more with at most `decimals` decimals, written as a string or a whole number."""
        value = self._required(key, mend=f'write {key} = "..."')
        if isinstance(value, WrittenFloat):
            self.refuse(f"{key} {value} is a float", mend=f'write it as a string: {key} = "{value}"', key=key)
        text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
        if _PLAIN_DECIMAL.fullmatch(text) is None:
            mend = f'write a plain decimal of 0 or more as a string, such as {key} = "0.25"'
            self.refuse(f"{key} {_shown(value)} is not a decimal of 0 or more", mend=mend, key=key)
        number = Decimal(text)
        if _decimals(number) > decimals:
            self.refuse(
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
            self.refuse(f"{key} {_shown(self.values[key])} is not a time with a zone", mend=mend, key=key)
        return value.astimezone(UTC)

    def _required(self, key: str, *, mend: str) -> Any:
        if key not in self.values:
            self.refuse(f"{key!r} is missing{self._place()}", mend=mend)
        return self.values[key]

    def _child(self, values: Mapping[str, Any], *steps: str | int) -> Section:
        return Section(values, path=(*self.path, *steps), source=self._source, lines=self._lines)

    def _place(self) -> str:
        names = [str(step) for step in self.path if isinstance(step, str)]
        return f" in {'.'.join(names)}" if names else ""


def read_document(document: str, *, source: str) -> Section:
    """The whole document as a section; `source` is what refusals call it."""
    try:
        values = tomllib.loads(document, parse_float=WrittenFloat)
    except (ValueError, RecursionError) as fault:
        place = _PLACE_IN_ERROR.search(str(fault))
        line = place.group(1) if place and place.group(1) else document.count("\n") + 1
        what = f"not TOML: {_PLACE_IN_ERROR.sub('', str(fault)).lower()}"
        raise InputRefused(what, where=f"{source} line {line}", mend="mend the syntax there") from fault
    return Section(values, path=(), source=source, lines=lines_of_keys(document))


def _parsed_instant(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if "T" in text.upper() else None
    except ValueError:
        return None


def _decimals(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _shown(value: Any) -> str:
    shown = f'"{value}"' if isinstance(value, str) and not isinstance(value, WrittenFloat) else str(value)
    return shown if len(shown) <= SHOWN_CHARACTERS_LIMIT else f"{shown[:SHOWN_CHARACTERS_LIMIT]}..."
