"""Prices in PostgreSQL.

1. The same currency, instant and value again is no change, whatever its source.
2. Another value for the same currency and instant replaces the one that stands.
3. A price that comes to lie between an execution and the price it was valued by would have been the one to use: where
   the line is settled, that is a change to the past.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from settlement.errors import InputRefused
from settlement.store import fact_table
from settlement.store.fact_table import FactTable, Merged
from settlement.store.settled_past import Load, settled_refusal, write_settled_basis

TABLE = FactTable(name="price", key=("currency",), ruling=("price_usdt",), noted=("source",), begins="ts")

_REPEATED = """
CREATE TEMP TABLE repeated_price ON COMMIT DROP AS
SELECT currency, ts, min(row_number) AS first, max(row_number) AS last, min(price_usdt) <> max(price_usdt) AS contradicts
FROM staged_price GROUP BY currency, ts HAVING count(*) > 1
"""
_DROP_REPEATED = """
DELETE FROM staged_price s USING repeated_price r WHERE s.currency = r.currency AND s.ts = r.ts AND s.row_number > r.first
"""
# From when until when each loaded price is now the one in force, an hour a row: windows are hours, so that a line meets
# the few prices of its own hour instead of all of its currency.
_IN_FORCE = """
CREATE TEMP TABLE in_force_price ON COMMIT DROP AS
SELECT r.*, hour AS window_start FROM (
    SELECT p.currency, p.ts, p.price_usdt, s.row_number, coalesce((
        SELECT min(n.ts) FROM price n
        WHERE n.replaced_by_load IS NULL AND n.currency = p.currency AND n.ts > p.ts), 'infinity') AS until
    FROM staged_price s JOIN price p ON p.currency = s.currency AND p.ts = s.ts AND p.load_id = :load
    WHERE s.ts < :settled_end) r
CROSS JOIN generate_series(
    date_trunc('hour', greatest(r.ts, :settled_start), 'UTC'), least(r.until, :settled_end), interval '1 hour') hour
"""
_FIRST_LINE = """
WITH found AS MATERIALIZED (
    SELECT c.currency, c.row_number, l.window_start, l.venue AS of_venue, l.account AS of_account, l.bill_id
    FROM current_line l
    JOIN settled_basis b ON b.basis_id = l.basis_id
    CROSS JOIN LATERAL (VALUES (l.price_id), (l.notional_price_id)) v (price_id)
    JOIN price used ON used.price_id = v.price_id
    JOIN in_force_price c ON c.window_start = l.window_start AND c.currency = used.currency
     AND c.ts >= used.ts AND c.price_usdt <> used.price_usdt
    JOIN fill f ON f.venue = l.venue AND f.account = l.account AND f.bill_id = l.bill_id
     AND f.executed_at >= c.ts AND f.executed_at < c.until
    WHERE l.window_start >= :settled_start AND l.window_start < :settled_end
      AND f.executed_at >= :settled_start AND f.executed_at < :settled_end
)
SELECT * FROM found ORDER BY window_start, of_venue, of_account, bill_id LIMIT 1
"""


def refuse_contradiction(connection: Connection, *, source: str) -> None:
    """Raises `InputRefused` if the staged file gives two prices for one instant; repeated rows are dropped."""
    connection.execute(text(_REPEATED))
    contradictions = text("SELECT currency, first, last FROM repeated_price WHERE contradicts ORDER BY first LIMIT 1")
    found = connection.execute(contradictions).one_or_none()
    if found is not None:
        raise InputRefused(
            f"another price of {found.currency} for the same ts as in row {found.first}",
            where=f"{source} row {found.last}",
            mend="keep one of the two rows",
        )
    connection.execute(text(_DROP_REPEATED))


def merge(connection: Connection, *, load_id: int) -> Merged:
    """Adds the staged prices and marks those that they replace."""
    return fact_table.merge(connection, TABLE, load_id=load_id)


def refuse_settled_change(connection: Connection, *, load: Load) -> None:
    """Raises `InputRefused` if a settled, earned line would have been valued by one of the loaded prices."""
    settled = {"settled_start": load.period.start, "settled_end": load.period.end}
    connection.execute(text(_IN_FORCE), settled | {"load": load.load_id})
    connection.execute(text("ANALYZE in_force_price"))
    write_settled_basis(connection, ("earned",))
    found = connection.execute(text(_FIRST_LINE), settled).mappings().first()
    if found is not None:
        where = f"{load.source} row {found['row_number']}"
        raise settled_refusal(found, subject=f"the price of {found['currency']}", where=where)
