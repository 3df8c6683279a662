"""The slow path of storing fills: a batch in which a key may be known already.

1 The batch goes to a temporary table, where its values are numbers and times: `1.0` is `1` there.
2 For each key the fill that stands is found: the stored one, on whatever day, else the batch's first in file order.
3 Batch fills that stand and were not stored are stored now.
4 Every other row of the batch is a duplicate, if it says the same as the one that stands, else a conflict: it is put
  aside with the columns in which it differs, and overwrites nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import pyarrow as pa
from sqlalchemy import Connection, text

from schemas.frames import FILL_TEXT
from settlement.store.fill_batch import COLUMN_NAMES, KEY, FillBatch, characters, encode_rows
from settlement.store.fills import KEEP_REACH, copy_text

_KEY: Final = ", ".join(KEY)
_FILL_COLUMNS: Final = ", ".join([*COLUMN_NAMES.values(), "load_id"])
_ROW: Final = f"{_FILL_COLUMNS}, row_number"
_CONTENT: Final = [name for name in COLUMN_NAMES.values() if name not in KEY]

_CREATE = """
    CREATE TEMPORARY TABLE IF NOT EXISTS {table} (LIKE fill, row_number bigint) ON COMMIT DROP;
    TRUNCATE {table}
"""
_FIND_STORED = f"""
    INSERT INTO standing_fill ({_ROW})
    SELECT {_FILL_COLUMNS}, NULL FROM fill
    JOIN (SELECT DISTINCT {_KEY} FROM staged_fill) known USING ({_KEY})
    WHERE executed_at >= :start AND executed_at < :end
"""
_FIND_NEW = f"""
    INSERT INTO standing_fill ({_ROW})
    SELECT DISTINCT ON ({_KEY}) {_ROW} FROM staged_fill
    WHERE NOT EXISTS (SELECT FROM standing_fill known
                      WHERE known.venue = staged_fill.venue AND known.account = staged_fill.account
                        AND known.bill_id = staged_fill.bill_id)
    ORDER BY {_KEY}, row_number
"""
_STORE = f"""
    INSERT INTO fill ({_FILL_COLUMNS})
    SELECT {_FILL_COLUMNS} FROM standing_fill WHERE row_number IS NOT NULL
    ORDER BY date_trunc('hour', executed_at), {_KEY}
"""
_EXTEND_REACH = f"""
    INSERT INTO fill_reach AS kept (venue, account, day, bill_id_min, bill_id_max)
    SELECT venue, account, CAST(executed_at AT TIME ZONE 'UTC' AS date), min(bill_id), max(bill_id)
    FROM standing_fill WHERE row_number IS NOT NULL GROUP BY 1, 2, 3 {KEEP_REACH}
"""
_HOURS = "SELECT DISTINCT date_trunc('hour', executed_at) FROM standing_fill WHERE row_number IS NOT NULL"
_DIFFERENCES = ", ".join(
    f"CASE WHEN s.{name} IS DISTINCT FROM t.{name}"
    f" THEN format('%s is %s, stored %s', '{name}', coalesce(s.{name}::text, 'empty'), coalesce(t.{name}::text, 'empty')) END"
    for name in _CONTENT
)
_QUARANTINE = f"""
    INSERT INTO quarantine (load_id, kind, file, row_number, reason, raw)
    SELECT load_id, 'conflict', :file, row_number, left('the same key is stored with other content: ' || differences, 2000),
           left(content, 2000)
    FROM (SELECT s.load_id, s.row_number, concat_ws(', ', {_DIFFERENCES}) AS differences,
                 jsonb_strip_nulls(to_jsonb(s) - 'row_number' - 'load_id')::text AS content
          FROM staged_fill s JOIN standing_fill t USING ({_KEY})
          WHERE t.row_number IS DISTINCT FROM s.row_number) compared
    WHERE differences <> '' ORDER BY row_number
"""  # noqa: S608 - constants of this module


@dataclass(frozen=True, kw_only=True)
class Sorted:
    """What became of a batch: how many fills were new, known, and known with other content; the hours of the new."""

    stored: int
    duplicate: int
    conflict: int
    hours: Sequence[datetime]


def store_new_fills(connection: Connection, batch: FillBatch, *, other_days: Iterable[date], file: str) -> Sorted:
    """Stores those fills of `batch` whose key is new, and puts conflicts aside.

    `other_days` are days besides the batch's own on which its keys may stand. The caller holds the accounts' locks.
    """
    _stage(connection, batch)
    for day in sorted({*batch.days, *other_days}):
        connection.execute(text(_FIND_STORED), _bounds(day))
    connection.execute(text("ANALYZE standing_fill"))
    connection.execute(text(_FIND_NEW))
    stored = connection.execute(text(_STORE)).rowcount
    connection.execute(text(_EXTEND_REACH))
    conflict = connection.execute(text(_QUARANTINE), {"file": file}).rowcount
    hours = list(connection.execute(text(_HOURS)).scalars())
    duplicate = batch.table.num_rows - stored - conflict
    return Sorted(stored=stored, duplicate=duplicate, conflict=conflict, hours=hours)


def _stage(connection: Connection, batch: FillBatch) -> None:
    for table in ("staged_fill", "standing_fill"):
        for statement in _CREATE.format(table=table).split(";"):
            connection.execute(text(statement))
    numbers = batch.row_numbers.cast(pa.string())
    lines = encode_rows(
        batch.table.append_column("load_id", _load_ids(batch)), [*FILL_TEXT.names, "load_id"], last=numbers
    )
    copy_text(connection, "staged_fill", [*COLUMN_NAMES.values(), "load_id", "row_number"], characters(lines))
    connection.execute(text("ANALYZE staged_fill"))


def _load_ids(batch: FillBatch) -> pa.Array:
    return pa.repeat(pa.scalar(str(batch.load_id)), batch.table.num_rows)


def _bounds(day: date) -> dict[str, str]:
    return {"start": f"{day} 00:00:00+00", "end": f"{day + timedelta(days=1)} 00:00:00+00"}
