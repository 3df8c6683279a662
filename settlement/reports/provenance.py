"""Which version of a fact was used: its row, the load that brought it, and from what file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

# Table: the column of its row's id, and the natural key.
TABLES = {
    "broker": ("row_id", ("broker_id", "effective_from")),
    "broker_code": ("row_id", ("code", "effective_from")),
    "client_link": ("row_id", ("venue", "account", "effective_from")),
    "vip_level": ("row_id", ("venue", "account", "effective_from")),
    "fee_rate": ("row_id", ("venue", "account", "product", "liquidity", "effective_from")),
    "tier_override": ("row_id", ("broker_id", "effective_from")),
    "broker_override": ("row_id", ("broker_id", "kind", "product", "liquidity", "effective_from")),
    "program_terms": ("terms_id", ("terms_id",)),
    "instrument": ("row_id", ("row_id",)),
    "price": ("price_id", ("price_id",)),
}


class Provenance:
    """Looks up versions as they stood at `as_of` (None: as they stand now)."""

    def __init__(self, connection: Connection, *, as_of: datetime | None) -> None:
        self._connection = connection
        self._as_of = as_of

    def of(self, table: str, **key: Any) -> dict[str, Any]:
        """`{table, row, load_id, file, loaded_at}` of the row with this natural key; only the table if it is gone."""
        identity, columns = TABLES[table]
        wanted = " AND ".join(f"t.{column} = :{column}" for column in columns)
        query = f"""
            SELECT t.{identity} AS row, l.load_id, l.source AS file, l.loaded_at
            FROM {table} t
            JOIN load l USING (load_id)
            LEFT JOIN load r ON r.load_id = t.replaced_by_load
            WHERE {wanted} AND (CAST(:as_of AS timestamptz) IS NULL AND r.load_id IS NULL
                                OR l.loaded_at <= :as_of AND (r.load_id IS NULL OR r.loaded_at > :as_of))
            LIMIT 1
        """  # noqa: S608 - the names are those of TABLES
        parameters = {column: key[column] for column in columns}
        found = self._connection.execute(text(query), {**parameters, "as_of": self._as_of}).mappings().first()
        return {"table": table, **(dict(found) if found else {})}
