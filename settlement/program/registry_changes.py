"""One change to the registry by hand: the row that it adds to those that stand for its key.

1. `add` begins a key: refused while a row of the key is in force then, or where one begins later.
2. `set` takes the row in force at an instant and changes, from then on, what is given; an empty text clears a value. What
   was before stays as it was.
3. `end` gives the row in force at an instant that end.
4. A row of the key that begins later takes over then, as ever: whoever changes something before it is told so.

A row is as its file has it: every value is text, "" where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from settlement.errors import InputRefused

Verb = Literal["add", "set", "end"]

NOUNS = {
    "brokers.csv": "broker",
    "codes.csv": "code",
    "clients.csv": "client",
    "tiers.csv": "tier",
    "overrides.csv": "override",
}


@dataclass(frozen=True, kw_only=True)
class StandingRow:
    """A row that stands, and its period; `ends` is None where it has no end of its own."""

    values: Mapping[str, str]
    begins: datetime
    ends: datetime | None


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is to happen, from `at` on, to the rows of `key` in the registry file `file` (of those in NOUNS)."""

    file: str
    verb: Verb
    key: Mapping[str, str]
    at: datetime
    given: Mapping[str, str]

    @property
    def act(self) -> str:
        """Its name in the audit log, such as "broker.set"."""
        return f"{NOUNS[self.file]}.{self.verb}"

    @property
    def subject(self) -> str:
        """What it is about: the values of the key."""
        return " ".join(self.key.values())

    @property
    def where(self) -> str:
        """How refusals name it."""
        return f"{NOUNS[self.file]} {self.subject}"


def in_force(rows: Sequence[StandingRow], at: datetime) -> StandingRow | None:
    """Of the rows of one key, the one in force at `at`."""
    latest = _latest(rows, at)
    return None if latest is None or (latest.ends is not None and latest.ends <= at) else latest


def _latest(rows: Sequence[StandingRow], at: datetime) -> StandingRow | None:
    return max((row for row in rows if row.begins <= at), key=lambda row: row.begins, default=None)


def next_after(rows: Sequence[StandingRow], at: datetime) -> StandingRow | None:
    """Of the rows of one key, the first that begins later than `at`."""
    return min((row for row in rows if row.begins > at), key=lambda row: row.begins, default=None)


def new_row(change: Change, rows: Sequence[StandingRow]) -> Mapping[str, str] | None:
    """The row that `change` adds to `rows` of its key; None where they say that already. Raises `InputRefused`."""
    standing = in_force(rows, change.at)
    if change.verb == "add":
        return _added(change, standing or next_after(rows, change.at))
    if change.verb == "end":
        return _ended(change, rows)
    if standing is None:
        raise _nothing_in_force(change)
    if all(standing.values[name] == value for name, value in change.given.items()):
        return None
    return {**standing.values, **change.given, "effective_from": change.at.isoformat()}


def _added(change: Change, other: StandingRow | None) -> Mapping[str, str] | None:
    row = {**change.key, **change.given, "effective_from": change.at.isoformat()}
    if other is None:
        return row
    if other.begins == change.at and all(other.values[name] == value for name, value in change.given.items()):
        return None
    raise InputRefused(
        f"it is there already, from {written(other.begins)} on",
        where=change.where,
        mend=f"settlement {NOUNS[change.file]}s set changes it",
    )


def _ended(change: Change, rows: Sequence[StandingRow]) -> Mapping[str, str] | None:
    latest = _latest(rows, change.at)
    if latest is not None and latest.ends == change.at:
        return None
    if in_force(rows, change.at) is None or latest is None:
        raise _nothing_in_force(change)
    return {**latest.values, "effective_to": change.at.isoformat()}


def _nothing_in_force(change: Change) -> InputRefused:
    return InputRefused(
        f"no row is in force at {written(change.at)}",
        where=change.where,
        mend=f"see settlement {NOUNS[change.file]}s list --all, and add one",
    )


def written(instant: datetime) -> str:
    """2026-03-02T06:00:00Z, with a fraction only where there is one."""
    return instant.isoformat().replace("+00:00", "Z")
