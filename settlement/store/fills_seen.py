"""What stored fills say of the market: instruments that were traded and are not loaded."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, text


def options_without_instrument(connection: Connection, *, since: datetime) -> list[str]:
    """The options that were traded since `since` and that no instrument is loaded of."""
    query = text(
        "WITH traded AS MATERIALIZED (SELECT DISTINCT venue, instrument FROM fill"
        "   WHERE instrument_type = 'OPTION' AND executed_at >= :since)"
        " SELECT DISTINCT instrument FROM traded t WHERE NOT EXISTS (SELECT FROM instrument i"
        "   WHERE i.replaced_by_load IS NULL AND i.venue = t.venue AND i.instrument_type = 'OPTION'"
        "     AND i.instrument = t.instrument) ORDER BY instrument"
    )
    return list(connection.execute(query, {"since": since}).scalars())
