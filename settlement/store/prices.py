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
from settlement.store.settled_past import Load, settled_refusal

TABLE = FactTable(name="price", key=("currency",), ruling=("price_usdt",), noted=("source",), begins="ts")

_REPEATED = """
CREATE TEMP TABLE repeated_price ON COMMIT DROP AS
SELECT currency, ts, min(row_number) AS first, max(row_number) AS last, min(price_usdt) <> max(price_usdt) AS contradicts
FROM staged_price GROUP BY currency, ts HAVING count(*) > 1
"""
_DROP_REPEATED = """
DELETE FROM staged_price s USING repeated_price r WHERE s.currency = r.currency AND s.ts = r.ts AND s.row_number > r.first
"""
_AFFECTED = """
WITH added AS (
    SELECT p.currency, p.ts, p.price_usdt, s.row_number FROM staged_price s
    JOIN price p ON p.currency = s.currency AND p.ts = s.ts AND p.load_id = :load
    WHERE s.ts < :settled_end
), reach AS (
    SELECT a.*, coalesce((SELECT min(n.ts) FROM price n WHERE n.replaced_by_load IS NULL AND n.currency = a.currency
                          AND n.ts > a.ts), 'infinity') AS until
    FROM added a
), touched AS (
    SELECT DISTINCT w.window_start FROM settlement_window w
    JOIN reach r ON w.window_start < r.until AND w.window_start + interval '1 hour' > r.ts
    WHERE w.status <> 'open'
)
SELECT r.currency, r.row_number, l.window_start, l.venue, l.account, l.bill_id
FROM touched w
JOIN current_line l ON l.window_start = w.window_start
JOIN basis b ON b.basis_id = l.basis_id AND b.status = 'earned'
JOIN fill f ON f.venue = l.venue AND f.account = l.account AND f.bill_id = l.bill_id
 AND f.executed_at >= w.window_start AND f.executed_at < w.window_start + interval '1 hour'
JOIN price used ON used.price_id IN (l.price_id, l.notional_price_id)
JOIN reach r ON r.currency = used.currency AND r.ts >= used.ts AND r.ts <= f.executed_at
 AND r.price_usdt <> used.price_usdt
WHERE l.window_start >= :settled_start AND l.window_start < :settled_end
  AND f.executed_at >= :settled_start AND f.executed_at < :settled_end
ORDER BY l.window_start, l.venue, l.account, l.bill_id LIMIT 1
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
    found = (
        connection.execute(
            text(_AFFECTED),
            {"load": load.load_id, "settled_start": load.period.start, "settled_end": load.period.end},
        )
        .mappings()
        .first()
    )
    if found is not None:
        where = f"{load.source} row {found['row_number']}"
        raise settled_refusal(found, subject=f"the price of {found['currency']}", where=where)
