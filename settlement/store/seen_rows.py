"""What a venue says of its accounts now, as rows dated so that nothing settled changes.

1. A row that says what the latest row in force says already is dropped.
2. The staged effective_from is the instant since when the venue applies what it says. A key that had no row before gets
   it; where a missing row left lines as they are (not pending), not before the end of what has been settled.
3. A key that had one changes from then on, but not before the end of what has been settled.
4. Where a later row stands already: one of an earlier look at the venue is replaced, one that somebody else loaded is
   left as it is, and the new one begins when it was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from sqlalchemy import Connection

from settlement.store import fact_table
from settlement.store.fact_table import FactTable
from settlement.store.settled_past import SettledPeriod
from settlement.store.templates import equal, listed, run

_LATEST = """
CREATE TEMP TABLE $latest ON COMMIT DROP AS
SELECT DISTINCT ON ($t_key) $t_columns, l.source = :source AS own
FROM $table t JOIN load l USING (load_id)
WHERE t.replaced_by_load IS NULL AND t.effective_from <= :seen_at
ORDER BY $t_key, t.effective_from DESC
"""
_DROP_SAID = """
DELETE FROM $staged s USING $latest l WHERE $same_key AND ($theirs) IS NOT DISTINCT FROM ($own)
"""
_DATE_CHANGED = """
UPDATE $staged s SET effective_from = CASE
    WHEN l.effective_from < greatest(s.effective_from, CAST(:settled_end AS timestamptz))
        THEN greatest(s.effective_from, :settled_end)
    WHEN l.own THEN l.effective_from
    ELSE greatest(CAST(:seen_at AS timestamptz), :settled_end) END
FROM $latest l WHERE $same_key
"""
_DATE_FIRST = """
UPDATE $staged s SET effective_from = greatest(s.effective_from, CAST(:settled_end AS timestamptz))
WHERE NOT EXISTS (SELECT FROM $latest l WHERE $same_key)
"""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """When the venue was asked, under which source its answers are loaded, and what has been settled."""

    at: datetime
    source: str
    settled: SettledPeriod | None


def stage(connection: Connection, table: FactTable, rows: pa.Table, *, seen: Seen) -> int:
    """Stages rows, whose effective_from is that of rule 2; returns how many are new."""
    fact_table.stage(connection, table, [rows])
    parts = {
        "table": table.name,
        "staged": table.staged,
        "latest": f"latest_{table.name}",
        "same_key": equal(table.key, "l", "s"),
    }
    settled_end = {"settled_end": seen.settled.end if seen.settled else None}
    run(
        connection,
        _LATEST,
        {"source": seen.source, "seen_at": seen.at},
        t_key=listed(table.key, of="t"),
        t_columns=listed((*table.identity, *table.content), of="t"),
        table=parts["table"],
        latest=parts["latest"],
    )
    run(connection, "ANALYZE $latest", latest=parts["latest"])
    run(connection, _DROP_SAID, {}, theirs=listed(table.content, of="l"), own=listed(table.content, of="s"), **parts)
    run(connection, _DATE_CHANGED, settled_end | {"seen_at": seen.at}, **parts)
    if not table.gap_is_pending:
        run(connection, _DATE_FIRST, settled_end, **parts)
    return fact_table.drop_unchanged(connection, table)
