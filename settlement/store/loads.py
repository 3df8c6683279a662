"""Loads: who brought which facts in, when and why, and which rows were put aside.

Loads of facts happen one after the other (`begin`), so that none compares itself with what another is about to change.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
from sqlalchemy import Connection, text

from settlement.program.csv_columns import BadRow
from settlement.store.copying import copy_in

# Any fixed number: all loads of facts wait for each other on it.
FACTS_LOCK = 8_114_690_273
# Enough to compare a million prices without going to disk.
WORK_MEMORY = "128MB"

_BAD_ROW_COLUMNS = ("file", "row_number", "reason", "raw")


def lock_facts(connection: Connection) -> None:
    """Waits for the loads and the shards that are under way; none reads or changes facts until the transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": FACTS_LOCK})


def begin(connection: Connection) -> None:
    """Waits for the loads that are under way; held until the transaction ends."""
    lock_facts(connection)
    connection.execute(text(f"SET LOCAL work_mem = '{WORK_MEMORY}'"))
    connection.execute(
        text(
            "CREATE TEMP TABLE put_aside ON COMMIT DROP AS SELECT file, row_number, reason, raw FROM quarantine WITH NO DATA"
        )
    )


def keep_out(connection: Connection) -> None:
    """Waits for the loads that are under way, and lets none begin until the transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": FACTS_LOCK})


def put_aside(connection: Connection, bad_rows: Iterable[BadRow]) -> None:
    """Stages rows for the quarantine; `record` writes those that do not stand there already."""
    rows = [(row.file, row.row_number, row.reason, row.raw) for row in bad_rows]
    if rows:
        columns = zip(*rows, strict=True)
        batch = pa.table({name: pa.array(values) for name, values in zip(_BAD_ROW_COLUMNS, columns, strict=True)})
        copy_in(connection, "put_aside", [batch], columns=_BAD_ROW_COLUMNS)


def drop_known_bad_rows(connection: Connection) -> int:
    """Leaves only the bad rows that no earlier load put aside, and counts them: loading again changes nothing."""
    connection.execute(
        text(
            "DELETE FROM put_aside p USING quarantine q WHERE q.kind = 'bad_row' AND q.file = p.file"
            " AND q.row_number = p.row_number AND q.reason = p.reason AND q.raw = p.raw"
        )
    )
    return int(connection.execute(text("SELECT count(*) FROM put_aside")).scalar_one())


def record(connection: Connection, *, kind: str, source: str, correction: str | None, loaded_by: str) -> int:
    """Writes the load and its bad rows, and returns the load's id.

    `loaded_at` is a moment at which the lock is held: whoever reads facts under it afterwards reads later.
    """
    load_id = int(
        connection.execute(
            text(
                "INSERT INTO load (kind, source, correction, loaded_by, loaded_at)"
                " VALUES (:kind, :source, :correction, :loaded_by, clock_timestamp())"
                " RETURNING load_id"
            ),
            {"kind": kind, "source": source, "correction": correction, "loaded_by": loaded_by},
        ).scalar_one()
    )
    connection.execute(
        text(
            "INSERT INTO quarantine (load_id, kind, file, row_number, reason, raw)"
            " SELECT :load, 'bad_row', file, row_number, reason, raw FROM put_aside"
        ),
        {"load": load_id},
    )
    return load_id


def recheck_windows(connection: Connection) -> int:
    """Marks the settled windows that hold pending lines, so that a supplementary run looks at them again; their number.

    A window that is being settled right now is marked too: its lines may have been computed from the facts before. So is
    one that is marked already: whoever is looking at it may be about to take the mark away, by the facts before.
    """
    marked = connection.execute(
        text(
            "WITH waiting AS (SELECT window_start FROM settlement_window WHERE status = 'settling' OR"
            " (status IN ('settled', 'incomplete') AND window_start IN ("
            " SELECT r.window_start FROM run_outcome o JOIN run r USING (run_id) WHERE o.status = 'pending'"
            " GROUP BY r.window_start, o.line_root HAVING sum(o.lines) > 0)) ORDER BY window_start FOR NO KEY UPDATE)"
            " UPDATE settlement_window w SET recheck = true FROM waiting WHERE w.window_start = waiting.window_start"
        )
    )
    return marked.rowcount
