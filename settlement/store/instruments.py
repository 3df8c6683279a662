"""Instruments in PostgreSQL: dated snapshots, because contract values change.

1. With an instant, a snapshot holds from that instant.
2. Without one, an instrument that is seen for the first time holds for all time before, and one whose content has
   changed holds from the moment of loading.
3. What is in force with the same content already is no change.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from settlement.program.instruments import Instruments
from settlement.store import fact_table
from settlement.store.fact_table import FactTable, Merged
from settlement.store.settled_past import Load, Standing, refuse_change
from settlement.store.templates import equal, listed, run

TABLE = FactTable(
    name="instrument",
    key=("venue", "instrument_type", "instrument"),
    ruling=(
        "contract_type",
        "contract_value",
        "contract_multiplier",
        "contract_value_currency",
        "settle_currency",
        "base_currency",
        "quote_currency",
    ),
    gap_is_pending=True,
)
STANDING = Standing(
    line="f.venue = c.venue AND f.instrument_type = c.instrument_type AND f.instrument = c.instrument",
    statuses=("earned",),
)

_DATE = """
UPDATE $staged s SET effective_from = coalesce(:effective_from, CASE
    WHEN EXISTS (SELECT FROM instrument t WHERE t.replaced_by_load IS NULL AND $same_key) THEN now()
    ELSE timestamptz '1970-01-01 00:00:00Z' END)
"""
_DROP_IN_FORCE = """
DELETE FROM $staged s WHERE EXISTS (SELECT FROM (
    SELECT * FROM instrument i WHERE i.replaced_by_load IS NULL AND $same_key
      AND i.effective_from <= s.effective_from ORDER BY i.effective_from DESC LIMIT 1) t
    WHERE ($theirs) IS NOT DISTINCT FROM ($own))
"""


def stage(connection: Connection, instruments: Instruments, *, effective_from: datetime | None) -> int:
    """Stages a snapshot; returns how many of its rows differ from what is in force."""
    fact_table.stage(connection, TABLE, [instruments.rows])
    dated = {"effective_from": effective_from}
    run(connection, _DATE, dated, staged=TABLE.staged, same_key=equal(TABLE.key, "t", "s"))
    run(
        connection,
        _DROP_IN_FORCE,
        staged=TABLE.staged,
        own=listed(TABLE.content, of="s"),
        theirs=listed(TABLE.content, of="t"),
        same_key=equal(TABLE.key, "i", "s"),
    )
    return fact_table.count_staged(connection, TABLE)


def merge(connection: Connection, *, load_id: int) -> Merged:
    """Adds the staged rows and marks those that they replace; an instrument that had rows counts as replaced."""
    known = run(
        connection,
        "SELECT count(*) FROM $staged s WHERE EXISTS (SELECT FROM instrument t WHERE t.replaced_by_load IS NULL AND $same_key)",
        staged=TABLE.staged,
        same_key=equal(TABLE.key, "t", "s"),
    ).scalar_one()
    merged = fact_table.merge(connection, TABLE, load_id=load_id)
    return Merged(added=merged.added + merged.replaced - known, replaced=known)


def refuse_settled_change(connection: Connection, *, load: Load) -> None:
    """Raises `InputRefused` if the load changes the contract value or currencies of a settled, earned line."""
    refuse_change(connection, TABLE, standing=STANDING, load=load)
