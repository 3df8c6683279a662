"""The audit's queries. Each file in sql/ states what must hold and names whatever does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, text

from schemas.frames import FILL
from settlement.ledger.verification import Check
from settlement.store.copying import copy_out, raw_cursor
from settlement.store.rerating import prepare, rerate_all, rerate_sample, step_by_step
from settlement.store.sql import read_sql

FINDINGS_MAX = 1000

CAPS_HELD = "caps_held.sql"
# What each check holds, and the file that says so.
LEDGER_CHECKS = (
    ("entries balance", "entries_balance.sql"),
    ("entries say what was posted", "entries_content.sql"),
    ("chains are whole", "chains_whole.sql"),
    ("balances add up", "balances_added.sql"),
    ("runs booked what their lines give", "runs_booked.sql"),
    ("payouts are their entries", "payouts_booked.sql"),
    ("every fill has its line", "lines_complete.sql"),
    ("counts are of the lines", "outcomes_counted.sql"),
    ("activity adds up", "activity_added.sql"),
    ("caps are held", CAPS_HELD),
)

SEALED_WINDOWS = """
SELECT window_start, seal FROM settlement_window w
WHERE seal IS NOT NULL AND NOT EXISTS (SELECT FROM run r WHERE r.window_start = w.window_start AND r.closed_at IS NULL)
ORDER BY window_start
"""

# A seal covers the fills that were settled: those with a line. Late ones that wait for their run are not in it.
SEALED_FILLS = f"""
SELECT {", ".join(f"f.{name}" for name in FILL.names)}
FROM fill f
WHERE f.executed_at >= %(start)s AND f.executed_at < %(start)s::timestamptz + interval '1 hour'
  AND EXISTS (SELECT FROM line l WHERE l.window_start = %(start)s
              AND l.venue = f.venue AND l.account = f.account AND l.bill_id = f.bill_id)
"""  # noqa: S608 - constants


@dataclass(frozen=True, kw_only=True)
class SealedWindow:
    """A settled window and what its seal says."""

    window_start: datetime
    seal: dict[str, Any]


def one_moment(connection: Connection) -> None:
    """Makes the transaction read everything as of one moment, whatever is settled meanwhile. Call it first."""
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


def ledger_checks(connection: Connection) -> Iterator[Check]:
    """Every check that one query makes."""
    with raw_cursor(connection) as cursor:
        prepare(cursor)
    for name, file in LEDGER_CHECKS:
        with raw_cursor(connection) as cursor, step_by_step(cursor) if file == CAPS_HELD else nullcontext():
            cursor.execute(read_sql(file))
            rows = cursor.fetchmany(FINDINGS_MAX)
        examined = rows[0][0]
        yield Check(name=name, examined=examined, findings=tuple(finding for _, finding in rows if finding is not None))


def rerating(connection: Connection, *, sample: int | None) -> Check:
    """The independent re-rating of `sample` random lines (None: of all)."""
    rerated = rerate_all(connection) if sample is None else rerate_sample(connection, sample)
    return Check(
        name="lines re-rate to the same", examined=rerated.examined, findings=tuple(rerated.findings[:FINDINGS_MAX])
    )


def sealed_windows(connection: Connection) -> list[SealedWindow]:
    """The windows that have a seal and no run open."""
    rows = connection.execute(text(SEALED_WINDOWS))
    return [SealedWindow(window_start=row.window_start, seal=row.seal) for row in rows]


def sealed_fills(connection: Connection, window_start: datetime) -> Iterator[pa.Table]:
    """The fills of a window that its seal covers, in batches with the columns of schemas.frames.FILL."""
    return copy_out(connection, SEALED_FILLS, schema=FILL, parameters={"start": window_start})
