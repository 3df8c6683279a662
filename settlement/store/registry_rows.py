"""Rows of the registry that stand, written as its files have them: every value is text, "" where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from settlement.program.registry import file_named
from settlement.program.registry_changes import StandingRow
from settlement.store.registry import TABLES
from settlement.store.templates import run

_DECIMALS = ("share", "rebate_share", "value")
_TIMES = ("effective_from", "effective_to")


def rows_of(connection: Connection, file: str, key: Mapping[str, str]) -> list[StandingRow]:
    """Every row of `key` in the table of `file`, in the order of their beginnings."""
    return [
        StandingRow(values=_values(file, row), begins=row["begins"], ends=row["ends"])
        for row in _rows(connection, file, key, {}, "true")
    ]


def listed(
    connection: Connection, file: str, *, at: datetime | None, matching: Mapping[str, str]
) -> list[Mapping[str, str]]:
    """The rows in force at `at` (None: all that stand) whose columns have the values `matching`, by key and beginning."""
    in_force = (
        "true" if at is None else "begins <= :at AND (ends > :at) IS NOT FALSE AND (taken_over > :at) IS NOT FALSE"
    )
    return [_values(file, row) for row in _rows(connection, file, matching, {"at": at}, in_force)]


def is_known_broker(connection: Connection, broker_id: str) -> bool:
    """Whether any row that stands describes the broker."""
    query = text("SELECT EXISTS (SELECT FROM broker WHERE broker_id = :broker_id AND replaced_by_load IS NULL)")
    return bool(connection.execute(query, {"broker_id": broker_id}).scalar_one())


def _rows(
    connection: Connection, file: str, matching: Mapping[str, str], parameters: Mapping[str, Any], condition: str
) -> list[Mapping[str, Any]]:
    table = TABLES[file]
    found = run(
        connection,
        "SELECT $written FROM (SELECT *, effective_from AS begins, effective_to AS ends,"
        " lead(effective_from) OVER (PARTITION BY $key ORDER BY effective_from) AS taken_over"
        " FROM $table WHERE replaced_by_load IS NULL) t WHERE $matching AND $condition ORDER BY $key, begins",
        {**matching, **parameters},
        written=", ".join(("begins", "ends", *(f"{_written(name)} AS {name}" for name in _columns(file)))),
        table=table.name,
        key=", ".join(table.key),
        matching=" AND ".join(("true", *(f"{name} = :{name}" for name in matching))),
        condition=condition,
    )
    return [dict(row) for row in found.mappings()]


def _values(file: str, row: Mapping[str, Any]) -> Mapping[str, str]:
    return {name: row[name] for name in _columns(file)}


def _columns(file: str) -> tuple[str, ...]:
    """The columns of a file in its own order."""
    return (*file_named(file).required, *file_named(file).optional)


def _written(column: str) -> str:
    """SQL for a column as its file would have it."""
    if column in _TIMES:
        stamp = f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')"""
        return f"coalesce(rtrim(rtrim({stamp}, '0'), '.') || 'Z', '')"
    if column == "own_accounts":
        return f"array_to_string({column}, ';')"
    return f"coalesce(trim_scale({column})::text, '')" if column in _DECIMALS else f"coalesce({column}::text, '')"
