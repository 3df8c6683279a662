"""Use case: ask what past fills would have come to under other terms, trees or shares.

1. What is assumed is checked as a load would check it, and refused with file and row; nothing of it is stored as a fact.
2. The windows of the range are put into stretches, which what_if_stretches.py settles beside the books.
3. A what-if is a result to look at. It is kept for a day, and nothing can be posted from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from settlement.errors import InputRefused, Refused
from settlement.pipeline.find_terms import FoundTerms
from settlement.pipeline.what_if_facts import Assumed, frames_of, rows_of
from settlement.pipeline.what_if_reviews import brought_along, next_review
from settlement.program.broker_tree import DEPTH_LIMIT, BrokerRow, find_cycle, find_too_deep
from settlement.program.registry import CheckedFile, read_registry
from settlement.rules.facts import Facts, Terms
from settlement.rules.limits import has_cap
from settlement.store import loads, what_if
from settlement.store.database import Connection, Database
from settlement.store.facts import load_facts
from settlement.store.lines import WINDOW
from settlement.store.recalculations import clock
from settlement.store.what_if import Period

# Stretches are small enough to be shared among workers, and to be done well within a task's time.
STRETCH_HOURS = 6
STRETCH_FILLS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked: which windows, whose lines, and what is assumed.

    `registry` is a directory with rows that stand in for those of the same key; `as_of` a recorded time at which everything
    else was known, now if None.
    """

    start: datetime
    end: datetime
    terms: Sequence[FoundTerms]
    broker: str | None = None
    registry: Path | None = None
    ignore_overrides: bool = False
    as_of: datetime | None = None


def ask(database: Database, question: Question, *, by: str) -> int:
    """Records a what-if, to be settled stretch by stretch; its id.

    Raises `Refused` for a range without windows, versions of the terms that do not cover it, an unknown broker or a time that
    has not come, and `InputRefused` for faulty documents or rows.
    """
    versions = _versions(question)
    files = _registry(question.registry)
    assumed = Assumed(
        terms=tuple(terms for _, terms in versions),
        registry=frames_of(rows_of(files)),
        ignore_overrides=question.ignore_overrides,
    )
    with database.transaction() as connection:
        loads.keep_out(connection)
        facts_at = _facts_at(connection, question.as_of)
        windows = what_if.windows_of(connection, start=question.start, end=question.end)
        if not windows:
            where = f"{question.start.isoformat()} to {question.end.isoformat()}"
            raise Refused("there are no fills in this range", where=where, mend="see: settlement export windows")
        known = load_facts(connection, start=question.end, end=question.end, as_of=facts_at, terms=assumed.terms)
        facts = assumed.facts(known, reviews=())
        _refuse_faulty_tree(facts, files)
        values = {
            "range_start": question.start,
            "range_end": question.end,
            "broker_id": question.broker,
            "brokers": _brokers_below(question.broker, known, facts),
            "documents": [
                {"label": found.label, "document": found.document, "since": terms.effective_from.isoformat()}
                for found, terms in versions
            ],
            "registry": rows_of(files),
            "ignore_overrides": question.ignore_overrides,
            "in_order": has_cap(facts),
            "facts_at": facts_at,
            "notes": _notes(question, assumed, known, facts),
            "asked_by": by,
            "open_to": min(next_review(question.start), question.end),
        }
        reviews = brought_along(known, assumed.terms, start=question.start)
        return what_if.add(connection, values=values, stretches=stretches(windows), reviews=reviews)


def stretches(windows: Sequence[tuple[datetime, int | None]]) -> list[Period]:
    """Windows, given with their number of fills (None: unknown), in stretches: some hours of one day, so many fills."""
    found: list[Period] = []
    fills = 0
    for start, sealed in windows:
        more = STRETCH_FILLS if sealed is None else sealed
        if found and _part_of_day(start) == _part_of_day(found[-1][0]) and fills + more <= STRETCH_FILLS:
            found[-1] = (found[-1][0], start + WINDOW)
            fills += more
        else:
            found.append((start, start + WINDOW))
            fills = more
    return found


def _part_of_day(start: datetime) -> datetime:
    return start.replace(hour=start.hour - start.hour % STRETCH_HOURS)


def _versions(question: Question) -> list[tuple[FoundTerms, Terms]]:
    """The documents with their terms, the earliest first: a single one holds for the whole range."""
    versions = [(found, found.terms()) for found in question.terms]
    if len(versions) == 1:
        ((found, terms),) = versions
        return [(found, replace(terms, effective_from=question.start))]
    versions.sort(key=lambda version: version[1].effective_from)
    for (one, earlier), (other, later) in pairwise(versions):
        if earlier.effective_from == later.effective_from:
            raise InputRefused(
                f"the same effective_from as {one.label}: {later.effective_from.isoformat()}",
                where=other.label,
                mend="several documents take over from each other: give them different effective_from",
            )
    first, terms = versions[0]
    if terms.effective_from > question.start:
        raise InputRefused(
            f"no terms are in force from {question.start.isoformat()} to {terms.effective_from.isoformat()}",
            where=first.label,
            mend="give the version of before too (its number will do), or a later --from",
        )
    return versions


def _registry(directory: Path | None) -> list[CheckedFile]:
    if directory is None:
        return []
    files = read_registry(directory)
    for file in files:
        for bad in file.bad_rows[:1]:
            where = f"{bad.file} row {bad.row_number}"
            raise InputRefused(bad.reason, where=where, mend="mend the row: a what-if puts none aside")
    return files


def _facts_at(connection: Connection, as_of: datetime | None) -> datetime:
    now = clock(connection)
    if as_of is not None and as_of > now:
        raise Refused("that time has not come", where=f"--as-of {as_of.isoformat()}", mend="give a time in the past")
    return as_of or now


def _refuse_faulty_tree(facts: Facts, files: Sequence[CheckedFile]) -> None:
    names = ("broker_id", "parent_id", "effective_from", "effective_to")
    columns = [[None if pd.isna(value) else value for value in facts.brokers[name]] for name in names]
    rows = [BrokerRow(**dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]
    if cycle := find_cycle(rows):
        raise InputRefused(
            f"brokers form a cycle: {' under '.join((*cycle.brokers, cycle.brokers[0]))}",
            where=_row_of(files, cycle.brokers),
            mend="give one of them another parent_id, or none",
        )
    if deep := find_too_deep(rows):
        raise InputRefused(
            f"broker {deep.brokers[0]} is at level {len(deep.brokers)} of the tree, of at most {DEPTH_LIMIT}",
            where=_row_of(files, deep.brokers),
            mend="give it, or one above it, another parent_id",
        )


def _row_of(files: Sequence[CheckedFile], brokers: Sequence[str]) -> str:
    """The first row of brokers.csv that names one of the brokers."""
    for file in files:
        if file.file.file == "brokers.csv":
            for broker_id, number in zip(
                *(file.rows[name].to_pylist() for name in ("broker_id", "row_number")), strict=True
            ):
                if broker_id in brokers:
                    return f"{file.path} row {number}"
    return "the registry"


def _brokers_below(broker: str | None, *worlds: Facts) -> list[str] | None:
    """The broker with everybody who has it above them in any of the worlds; None for all."""
    if broker is None:
        return None
    pairs = {
        (broker_id, None if parent_id is pd.NA else parent_id)
        for facts in worlds
        for broker_id, parent_id in zip(facts.brokers["broker_id"], facts.brokers["parent_id"], strict=True)
    }
    if broker not in {broker_id for broker_id, _ in pairs}:
        raise Refused(f"no broker {broker!r} is registered", mend="see: settlement brokers list")
    below = {broker}
    while more := {broker_id for broker_id, parent_id in pairs if parent_id in below} - below:
        below |= more
    return sorted(below)


def _notes(question: Question, assumed: Assumed, known: Facts, facts: Facts) -> list[str]:
    """What whoever reads the result has to know."""
    return [
        *_notes_on_terms(question),
        *_notes_on_tiers(question, assumed, known),
        *(
            f"{name}.csv: {len(rows)} rows stand in for all that is known of their keys"
            for name, rows in assumed.registry.items()
        ),
        *_notes_on_brokers(facts, assumed.registry),
    ]


def _notes_on_terms(question: Question) -> list[str]:
    if len(question.terms) > 1:
        return []
    found = question.terms[0]
    since = found.terms().effective_from
    return [f"{found.label} is in force for the whole range; that it begins at {since.isoformat()} is disregarded"]


def _notes_on_tiers(question: Question, assumed: Assumed, known: Facts) -> list[str]:
    if question.ignore_overrides:
        return ["overrides of tiers are ignored"] if len(known.tiers) else []
    names = {tier.name for version in assumed.terms for tier in version.tiers}
    return [
        f"{broker_id} has tier {tier} by an override, which the terms do not have: its lines are pending while that holds;"
        " --ignore-overrides leaves it out"
        for broker_id, tier in sorted(set(zip(known.tiers["broker_id"], known.tiers["tier"], strict=True)))
        if tier not in names
    ]


def _notes_on_brokers(facts: Facts, registry: Any) -> list[str]:
    known = set(facts.brokers["broker_id"])
    named = {
        name: set(frame[column].dropna()) - known
        for name, frame in registry.items()
        for column in ("parent_id" if name == "brokers" else "broker_id",)
        if column in frame.columns
    }
    return [
        f"{name}.csv: broker {broker_id!r} has no row in brokers.csv; its fills are excluded as BROKER_INACTIVE"
        for name, strange in named.items()
        for broker_id in sorted(strange)
    ]
