"""Which prices are still needed, and may come in without changing anything that was settled.

1. A currency is in use in a period if fees of its fills were charged in it, or their notional is valued in it: the quote
   currency of a pair, the settle currency of a linear contract or an event, USD for an inverse contract, the contract
   value's currency of an option. USDT needs no price.
2. A price at `ts` may come in where none stands in [ts - reach, ts], reach being the longest time for which any version
   of the terms lets a price be used: whatever was executed from ts on has no price that this one could take over from.
3. It may come in beside others, if none stands within the spacing after it, as long as no window that holds any of
   [ts, ts + reach] was settled or is being settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from settlement.program.terms import parse_terms
from settlement.store.facts import PRICE_REACH_SECONDS_MIN
from settlement.store.prices import TABLE
from settlement.store.templates import run

_IN_USE = """
WITH traded AS MATERIALIZED (
    SELECT DISTINCT venue, instrument_type, instrument, fee_currency FROM fill
    WHERE executed_at >= :start AND executed_at < :end
)
SELECT currency FROM (
    SELECT fee_currency AS currency FROM traded
    UNION
    SELECT CASE
        WHEN t.instrument_type IN ('SPOT', 'MARGIN')
            THEN coalesce(i.quote_currency, substring(t.instrument FROM '^[^-]+-([^-]+)$'))
        WHEN t.instrument_type = 'OPTION' THEN i.contract_value_currency
        WHEN t.instrument_type = 'EVENTS' THEN i.settle_currency
        WHEN i.contract_type = 'inverse' THEN 'USD'
        ELSE i.settle_currency END
    FROM traded t LEFT JOIN instrument i ON i.replaced_by_load IS NULL AND i.venue = t.venue
        AND i.instrument = t.instrument AND (i.instrument_type = t.instrument_type
            OR (i.instrument_type IN ('SPOT', 'MARGIN') AND t.instrument_type IN ('SPOT', 'MARGIN')))
) valued
WHERE currency NOT IN ('', 'USDT') ORDER BY currency COLLATE "C"
"""
_STANDS = "SELECT FROM price p WHERE p.replaced_by_load IS NULL AND p.currency = s.currency"
_MAY_COME_IN = f"""(
    NOT EXISTS ({_STANDS} AND p.ts >= s.ts - CAST(:reach AS interval) AND p.ts <= s.ts)
    OR (NOT EXISTS ({_STANDS} AND p.ts >= s.ts AND (p.ts = s.ts OR p.ts < s.ts + CAST(:spacing AS interval)))
        AND NOT EXISTS (SELECT FROM settlement_window w WHERE w.status <> 'open'
            AND w.window_start <= s.ts + CAST(:reach AS interval) AND w.window_start + interval '1 hour' > s.ts))
)"""
_NEEDED = f"""
SELECT currency, array_agg(ts ORDER BY ts) AS instants FROM (
    SELECT currency, ts FROM unnest(CAST(:currencies AS text[])) currency,
        generate_series(CAST(:start AS timestamptz), CAST(:end AS timestamptz) - CAST(:spacing AS interval),
                        CAST(:spacing AS interval)) ts
) s WHERE {_MAY_COME_IN} GROUP BY currency ORDER BY currency
"""  # noqa: S608 - constants of this file


def currencies_in_use(connection: Connection, *, start: datetime, end: datetime) -> list[str]:
    """The currencies that fills executed in [start, end) need a price of."""
    return list(connection.execute(text(_IN_USE), {"start": start, "end": end}).scalars())


def windows_without_price(connection: Connection, *, limit: int) -> list[datetime]:
    """The latest settled windows that hold lines pending for a price, the latest first."""
    query = text(
        "SELECT r.window_start FROM run_outcome o JOIN run r USING (run_id)"
        " WHERE o.status = 'pending' AND o.reason = 'PRICE_MISSING'"
        " GROUP BY r.window_start HAVING sum(o.lines) > 0 ORDER BY r.window_start DESC LIMIT :limit"
    )
    return list(connection.execute(query, {"limit": limit}).scalars())


def needed_instants(
    connection: Connection, currencies: Sequence[str], *, start: datetime, end: datetime, spacing: timedelta
) -> dict[str, list[datetime]]:
    """Per currency, the instants start, start + spacing, ... before `end` at which a price may come in."""
    parameters = {"currencies": list(currencies), "start": start, "end": end}
    parameters |= {"spacing": spacing, "reach": price_reach(connection)}
    return {row.currency: row.instants for row in connection.execute(text(_NEEDED), parameters)}


def drop_unneeded(connection: Connection, *, spacing: timedelta) -> None:
    """Removes the staged prices that may not come in; whoever calls holds the lock of loads."""
    parameters = {"spacing": spacing, "reach": price_reach(connection)}
    run(connection, f"DELETE FROM $staged s WHERE NOT {_MAY_COME_IN}", parameters, staged=TABLE.staged)  # noqa: S608 - constants


def price_reach(connection: Connection) -> timedelta:
    """The longest time for which a price is used, by any version of the terms; also those that were replaced."""
    rows = connection.execute(text("SELECT terms_id, document FROM program_terms"))
    ages = [parse_terms(row.document, source=f"terms {row.terms_id}").max_age_seconds for row in rows if row.document]
    return timedelta(seconds=max([PRICE_REACH_SECONDS_MIN, *ages]))
