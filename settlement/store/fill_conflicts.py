"""The slow path of storing fills: a batch in which a key may be known already.

1 The batch goes to a temporary table, where its values are numbers and times: `1.0` is `1` there.
2 Each fill whose key is stored, on whatever day, is compared with the stored one.
3 Each other fill whose key stands earlier in the batch is compared with the first of that key.
4 What was not compared is new and is stored. What was compared is a duplicate, if it says the same, else a conflict:
  it is put aside with the columns in which it differs, and overwrites nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, text

from schemas.frames import FILL_TEXT, TAG_FROM_ALGO
from settlement.store.copy_text import characters, copy_text, encode_rows
from settlement.store.fill_batch import COLUMN_NAMES, KEY, FillBatch
from settlement.store.fill_reach import REACH

_KEY: Final = ", ".join(KEY)
_FILL_COLUMNS: Final = ", ".join([*COLUMN_NAMES.values(), "load_id"])
_CONTENT: Final = [name for name in COLUMN_NAMES.values() if name not in (*KEY, "flags")]
# A tag that was looked up is no part of what the venue recorded: the same fill without it says the same.
_LOOKED_UP: Final = ("tag", "algo_id")
_BOTH_RECORDED = f"(coalesce(s.flags, t.flags, '') <> '{TAG_FROM_ALGO}' OR (s.tag IS NOT NULL AND t.tag IS NOT NULL))"

_CREATE = (
    "CREATE TEMPORARY TABLE IF NOT EXISTS staged_fill (LIKE fill, row_number bigint, position bigint) ON COMMIT DROP",
    "CREATE TEMPORARY TABLE IF NOT EXISTS compared_fill (position bigint, differences text) ON COMMIT DROP",
    "TRUNCATE staged_fill, compared_fill",
    "SET LOCAL work_mem = '64MB'",  # a batch fits, so that no join goes to disk
)
# Nothing was given back, whether the column says so or is empty.
_EMPTY_IS_ZERO: Final = ("fee_rebate",)


def _differ(name: str) -> str:
    if name in _EMPTY_IS_ZERO:
        return f"coalesce(s.{name}, 0) <> coalesce(t.{name}, 0)"
    return f"s.{name} IS DISTINCT FROM t.{name}" + (f" AND {_BOTH_RECORDED}" if name in _LOOKED_UP else "")


_DIFFERENCES = ", ".join(
    f"CASE WHEN {_differ(name)}"
    f" THEN format('%s is %s, stored %s', '{name}', coalesce(s.{name}::text, 'empty'), coalesce(t.{name}::text, 'empty')) END"
    for name in _CONTENT
)
_COMPARE = f"INSERT INTO compared_fill SELECT s.position, concat_ws(', ', {_DIFFERENCES}) FROM"
_NEW = "SELECT * FROM staged_fill f WHERE NOT EXISTS (SELECT FROM compared_fill c WHERE c.position = f.position)"
_WITH_STORED = f"s JOIN fill t USING ({_KEY}) WHERE t.executed_at >= :start AND t.executed_at < :end"
_COMPARE_REPEATED = f"""
    WITH new AS MATERIALIZED ({_NEW})
    {_COMPARE} new s JOIN (SELECT DISTINCT ON ({_KEY}) * FROM new ORDER BY {_KEY}, position) t USING ({_KEY})
    WHERE s.position > t.position
"""  # noqa: S608 - constants of this module
_STORE = f"""
    INSERT INTO fill ({_FILL_COLUMNS})
    SELECT {_FILL_COLUMNS} FROM ({_NEW}) new ORDER BY date_trunc('hour', executed_at), {_KEY}
"""  # noqa: S608 - constants of this module
_REACH = f"""
    SELECT venue, account, CAST(executed_at AT TIME ZONE 'UTC' AS date) AS day, min(bill_id) AS first, max(bill_id) AS last
    FROM ({_NEW}) new GROUP BY 1, 2, 3
"""  # noqa: S608 - constants of this module
_HOURS = f"SELECT DISTINCT date_trunc('hour', executed_at) FROM ({_NEW}) new"  # noqa: S608 - constants of this module
_QUARANTINE = """
    INSERT INTO quarantine (load_id, kind, file, row_number, reason, raw)
    SELECT load_id, 'conflict', :file, row_number, left('the same key is stored with other content: ' || differences, 2000),
           left(jsonb_strip_nulls(to_jsonb(s) - 'row_number' - 'position' - 'load_id')::text, 2000)
    FROM compared_fill JOIN staged_fill s USING (position) WHERE differences <> '' ORDER BY position
"""


@dataclass(frozen=True, kw_only=True)
class Sorted:
    """What became of a batch: how many fills were new, known, and known with other content; the hours and reach of the new."""

    stored: int
    duplicate: int
    conflict: int
    hours: Sequence[datetime]
    reach: pa.Table


def store_new_fills(connection: Connection, batch: FillBatch, *, other_days: Iterable[date], file: str) -> Sorted:
    """Stores those fills of `batch` whose key is new, and puts conflicts aside.

    `other_days` are days besides the batch's own on which its keys may stand. The caller holds the accounts' locks.
    """
    _stage(connection, batch)
    _compare_with_stored(connection, batch, other_days)
    connection.execute(text("ANALYZE compared_fill (position)"))
    connection.execute(text(_COMPARE_REPEATED))
    stored = connection.execute(text(_STORE)).rowcount
    conflict = connection.execute(text(_QUARANTINE), {"file": file}).rowcount
    hours = list(connection.execute(text(_HOURS)).scalars())
    duplicate = batch.table.num_rows - stored - conflict
    rows = [dict(row) for row in connection.execute(text(_REACH)).mappings()]
    reach = pa.Table.from_pylist(rows, schema=REACH)
    return Sorted(stored=stored, duplicate=duplicate, conflict=conflict, hours=hours, reach=reach)


def _stage(connection: Connection, batch: FillBatch) -> None:
    for statement in _CREATE:
        connection.execute(text(statement))
    # Several rows may stand on one line of a file, so a row's number does not tell it apart; its position does.
    more = {"load_id": _load_ids(batch), "row_number": batch.row_numbers.cast(pa.string())}
    table = batch.table
    for name, values in more.items():
        table = table.append_column(name, values)
    positions = pa.array(np.arange(table.num_rows)).cast(pa.string())
    lines = encode_rows(table, [*FILL_TEXT.names, *more], last=positions)
    copy_text(connection, "staged_fill", [*COLUMN_NAMES.values(), *more, "position"], characters(lines))
    connection.execute(text(f"ANALYZE staged_fill ({_KEY}, position)"))


def _compare_with_stored(connection: Connection, batch: FillBatch, other_days: Iterable[date]) -> None:
    """Duplicates stand in the batch's own hours, so those are read first; what is left is looked for in whole days."""
    own_hours = {"start": min(batch.hours), "end": max(batch.hours) + timedelta(hours=1)}
    connection.execute(text(f"{_COMPARE} staged_fill {_WITH_STORED}"), own_hours)
    connection.execute(text("ANALYZE compared_fill (position)"))
    for day in sorted({*batch.days, *other_days}):
        start = datetime.combine(day, time(), tzinfo=UTC)
        connection.execute(
            text(f"{_COMPARE} ({_NEW}) {_WITH_STORED}"), {"start": start, "end": start + timedelta(days=1)}
        )


def _load_ids(batch: FillBatch) -> pa.Array:
    return pa.repeat(pa.scalar(str(batch.load_id)), batch.table.num_rows)
