"""Facts that arrive are staged, compared with those that stand, and merged; nothing that stands is ever changed.

1. A row whose key and effective_from no standing row has is added.
2. A row that a standing row equals, value for value, changes nothing.
3. A row with other content than the standing one is added, and the standing one gets `replaced_by_load`: both stay
   readable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa
from sqlalchemy import Connection

from settlement.store.copying import copy_in
from settlement.store.templates import equal, listed, run

ROW_NUMBER = "row_number"


@dataclass(frozen=True, kw_only=True)
class FactTable:
    """A table of effective-dated facts.

    `ruling` are the columns that a settlement stands on, `other` those that it does not, `noted` those that are kept
    but by which no two rows differ; `begins` and `ends` are the columns of the period. In a `gap_is_pending` table a fact that was missing left lines pending, so that bringing it
    in later changes nothing that was settled.
    """

    name: str
    key: tuple[str, ...]
    ruling: tuple[str, ...]
    other: tuple[str, ...] = ()
    noted: tuple[str, ...] = ()
    begins: str = "effective_from"
    ends: str | None = None
    gap_is_pending: bool = False

    @property
    def staged(self) -> str:
        """The temporary table that holds the rows of this load."""
        return f"staged_{self.name}"

    @property
    def identity(self) -> tuple[str, ...]:
        """What identifies a standing row."""
        return (*self.key, self.begins)

    @property
    def content(self) -> tuple[str, ...]:
        """What two rows of the same identity are compared by."""
        return (*self.ruling, *self.other, *((self.ends,) if self.ends else ()))

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that a row brings along."""
        return (*self.identity, *self.content, *self.noted)


@dataclass(frozen=True, kw_only=True)
class Merged:
    """What a load did to one table."""

    added: int
    replaced: int


def stage(connection: Connection, table: FactTable, batches: Iterable[pa.Table]) -> int:
    """Copies rows into the staging table, which lives as long as the transaction; returns their number.

    Every batch has `row_number` and the same columns of `table`; a column that the batches lack stays NULL.
    """
    columns = table.columns
    run(
        connection,
        "CREATE TEMP TABLE $staged ON COMMIT DROP AS SELECT 0::bigint AS row_number, $columns FROM $table WITH NO DATA",
        staged=table.staged,
        columns=listed(columns),
        table=table.name,
    )
    remaining = iter(batches)
    rows = 0
    for first in remaining:
        present = [ROW_NUMBER, *(name for name in columns if name in first.column_names)]
        rows = copy_in(connection, table.staged, chain([first], remaining), columns=present)
    run(connection, "ANALYZE $staged", staged=table.staged)
    return rows


def drop_unchanged(connection: Connection, table: FactTable) -> int:
    """Removes the staged rows that stand already, value for value; returns how many are left."""
    run(
        connection,
        "DELETE FROM $staged s USING $table t WHERE t.replaced_by_load IS NULL AND $same_identity"
        " AND ($their_content) IS NOT DISTINCT FROM ($own_content)",
        staged=table.staged,
        table=table.name,
        same_identity=equal(table.identity, "t", "s"),
        their_content=listed(table.content, of="t"),
        own_content=listed(table.content, of="s"),
    )
    return count_staged(connection, table)


def count_staged(connection: Connection, table: FactTable) -> int:
    """How many rows are staged."""
    return int(run(connection, "SELECT count(*) FROM $staged", staged=table.staged).scalar_one())


def merge(connection: Connection, table: FactTable, *, load_id: int) -> Merged:
    """Adds the staged rows and marks those that they replace."""
    replaced = run(
        connection,
        "UPDATE $table t SET replaced_by_load = :load FROM $staged s WHERE t.replaced_by_load IS NULL AND $same_identity",
        {"load": load_id},
        table=table.name,
        staged=table.staged,
        same_identity=equal(table.identity, "t", "s"),
    ).rowcount
    columns = listed(table.columns)
    added = run(
        connection,
        "INSERT INTO $table ($columns, load_id) SELECT $columns, :load FROM $staged ORDER BY $identity",
        {"load": load_id},
        table=table.name,
        staged=table.staged,
        columns=columns,
        identity=listed(table.identity),
    ).rowcount
    return Merged(added=added - replaced, replaced=replaced)
