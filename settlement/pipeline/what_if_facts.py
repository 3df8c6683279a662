"""The facts that a what-if assumes: other terms, and rows of the registry that stand in for others.

1. One document is in force for the whole range, whenever it says that it begins; several are by their effective_from.
2. Rows of a registry take the place of all rows of the same key, their past and their future. Everything else is as it
   was known at the what-if's moment.
3. Overrides of tiers stay in force, unless they are to be ignored. Under one whose tier the terms do not have, lines are
   pending, as they really would be.
4. Reviews of before the range are known; those within it are the what-if's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from settlement.pipeline.facts_cache import CACHED_MAX, DAY
from settlement.program.registry import CheckedFile
from settlement.program.terms import parse_terms
from settlement.rules.facts import KEYS, Facts, Terms
from settlement.store import facts as store
from settlement.store import what_if
from settlement.store.bases import StoredBases
from settlement.store.database import Connection
from settlement.store.what_if import WhatIf

# The frames of Facts that a file of the registry stands in for, and their columns.
FRAMES: Mapping[str, tuple[str, pa.Schema]] = {
    "brokers.csv": ("brokers", store.BROKERS),
    "codes.csv": ("codes", store.CODES),
    "clients.csv": ("clients", store.CLIENTS),
    "vip_levels.csv": ("vip_levels", store.VIP_LEVELS),
    "fee_rates.csv": ("fee_rates", store.FEE_RATES),
    "tiers.csv": ("tiers", store.TIERS),
    "overrides.csv": ("overrides", store.OVERRIDES),
}

Rows = Mapping[str, Mapping[str, Sequence[Any]]]
"""Rows of registry files as text: file -> column -> values."""


@dataclass(frozen=True, kw_only=True)
class Assumed:
    """What a what-if assumes: versions of the terms, the earliest first, and rows of the registry by frame."""

    terms: tuple[Terms, ...]
    registry: Mapping[str, pd.DataFrame]
    ignore_overrides: bool

    def facts(self, known: Facts, *, reviews: Sequence[tuple[str, str, datetime]]) -> Facts:
        """Known facts as they are assumed to be, with these reviews (broker_id, tier, effective_from)."""
        present = replace(known, tiers=known.tiers.iloc[:0]) if self.ignore_overrides else known
        frames = {name: _in_place(getattr(present, name), rows, name) for name, rows in self.registry.items()}
        return replace(present, **frames, terms=self.terms, reviews=_reviews(reviews))


class AssumedFacts:
    """What a process has read of the facts of what-ifs, a day of windows at once, and bases of lines that stand."""

    def __init__(self) -> None:
        self.bases = StoredBases()
        self._assumed: dict[int, Assumed] = {}
        self._facts: dict[tuple[int, datetime], Facts] = {}
        self._reading = Lock()

    def of(self, connection: Connection, asked: WhatIf) -> Assumed:
        """What a what-if assumes."""
        if asked.what_if_id not in self._assumed:
            self._assumed = {asked.what_if_id: read_assumed(connection, asked)}
        return self._assumed[asked.what_if_id]

    def on_day_of(self, connection: Connection, asked: WhatIf, moment: datetime) -> Facts:
        """The facts of a day up to which the what-if's reviews are made."""
        with self._reading:
            day = moment.replace(hour=0)
            key = (asked.what_if_id, day)
            if key not in self._facts:
                while len(self._facts) >= CACHED_MAX:
                    del self._facts[next(iter(self._facts))]
                self._facts[key] = read_facts(connection, asked, self.of(connection, asked), start=day, end=day + DAY)
            return self._facts[key]


def read_assumed(connection: Connection, asked: WhatIf) -> Assumed:
    """What a stored what-if assumes."""
    documents, registry = what_if.assumed(connection, asked.what_if_id)
    versions = [
        replace(
            parse_terms(document["document"], source=document["label"], terms_id=-number),
            effective_from=datetime.fromisoformat(document["since"]),
        )
        for number, document in enumerate(documents, start=1)
    ]
    return Assumed(terms=tuple(versions), registry=frames_of(registry), ignore_overrides=asked.ignore_overrides)


def read_facts(connection: Connection, asked: WhatIf, assumed: Assumed, *, start: datetime, end: datetime) -> Facts:
    """The facts that fills executed in `[start, end)` can need, by what a what-if assumes."""
    known = store.load_facts(connection, start=start, end=end, as_of=asked.facts_at, terms=assumed.terms)
    return assumed.facts(known, reviews=what_if.reviewed(connection, asked.what_if_id, before=end))


def rows_of(files: Sequence[CheckedFile]) -> dict[str, dict[str, list[Any]]]:
    """The rows of checked files as text, as far as the rules read them."""
    return {
        file.file.file: {
            name: file.rows[name].cast(pa.string()).to_pylist()
            for name in FRAMES[file.file.file][1].names
            if name in file.rows.column_names
        }
        for file in files
    }


def frames_of(rows: Rows) -> dict[str, pd.DataFrame]:
    """Rows of registry files as frames of Facts."""
    frames = {}
    for file, columns in rows.items():
        name, schema = FRAMES[file]
        rows_read = len(columns["effective_from"])
        typed = {field.name: _typed(columns.get(field.name, [None] * rows_read), field) for field in schema}
        frames[name] = pa.table(typed).to_pandas(types_mapper=pd.ArrowDtype)
    return frames


def _typed(values: Sequence[Any], field: pa.Field) -> pa.Array:
    text = pa.array(values, pa.string())
    if field.name == "own_accounts":  # an array of PostgreSQL, as a load stores it
        text = pc.replace_substring(pc.utf8_trim(text, characters="{}"), ",", ";")
    return text.cast(field.type)


def _in_place(frame: pd.DataFrame, rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """The frame without any row whose key `rows` has, and with `rows`."""
    key = list(KEYS.get(name, ("broker_id",)))
    taken = frame[key].merge(rows[key].drop_duplicates().assign(taken=True), how="left", on=key)["taken"]
    return pd.concat([frame[taken.isna().to_numpy()], rows], ignore_index=True)


def _reviews(reviews: Sequence[tuple[str, str, datetime]]) -> pd.DataFrame:
    columns = list(zip(*reviews, strict=True)) or [() for _ in store.REVIEWS]
    table = pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, store.REVIEWS, strict=True)], store.REVIEWS
    )
    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame
