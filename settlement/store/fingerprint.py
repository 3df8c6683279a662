"""The fingerprint of the facts that the windows of a range stand on: has any of them changed?

Rows of facts never change, they are only added and replaced: which rows stand says it all. Per table, their number and a
sum over their ids that does not depend on the order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from settlement.program.terms import PRICE_AGE_SECONDS_LIMIT
from settlement.store.facts import last_load
from settlement.store.templates import fill

# Which rows of a table fills executed before `end` can need. A code counts as one even before it begins.
_DATED = "effective_from < :end"
TABLES: Mapping[str, tuple[str, str]] = {
    "broker": ("row_id", _DATED),
    "broker_code": ("row_id", "true"),
    "client_link": ("row_id", _DATED),
    "vip_level": ("row_id", _DATED),
    "fee_rate": ("row_id", _DATED),
    "tier_override": ("row_id", _DATED),
    "broker_override": ("row_id", _DATED),
    "instrument": ("row_id", _DATED),
    "program_terms": ("terms_id", "true"),
    "price": ("price_id", "ts < :end AND ts >= :oldest"),
    "tier_review": ("row_id", _DATED),
}
_FINGERPRINT = """
    SELECT count(*) || ':' || to_hex(coalesce(bit_xor(hashint8extended($id, 1)), 0))
           || to_hex(coalesce(bit_xor(hashint8extended($id, 2)), 0))
    FROM $table WHERE $stands AND $condition
"""
_LATEST_LOAD = """
    SELECT l.load_id, l.kind, l.source, l.loaded_by, l.loaded_at FROM load l
    WHERE l.load_id IN (SELECT load_id FROM $table UNION SELECT replaced_by_load FROM $table)
    ORDER BY l.load_id DESC LIMIT 1
"""


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A table of facts whose rows are not those of the fingerprint any more, and the load that touched it last."""

    table: str
    load_id: int | None
    source: str
    loaded_by: str


def fingerprint(connection: Connection, *, start: datetime, end: datetime, as_of: datetime) -> dict[str, str]:
    """Per table of facts the fingerprint of what stood at `as_of` and fills executed in `[start, end)` can need."""
    oldest = start - timedelta(seconds=PRICE_AGE_SECONDS_LIMIT)
    last = last_load(connection, as_of=as_of)
    parameters = {"end": end, "oldest": oldest, "as_of": as_of, "last_load": last}
    return {
        table: str(
            connection.execute(
                text(fill(_FINGERPRINT, id=identity, table=table, stands=_stood(table), condition=condition)),
                parameters,
            ).scalar_one()
        )
        for table, (identity, condition) in TABLES.items()
    }


def changed_since(connection: Connection, before: Mapping[str, str], after: Mapping[str, str]) -> list[Changed]:
    """The tables in which two fingerprints differ."""
    return [_changed(connection, table) for table in after if before.get(table) != after[table]]


def _stood(table: str) -> str:
    if table == "tier_review":
        return "reviewed_at <= :as_of"
    return "load_id <= :last_load AND (replaced_by_load IS NULL OR replaced_by_load > :last_load)"


def _changed(connection: Connection, table: str) -> Changed:
    if table == "tier_review":
        return Changed(table=table, load_id=None, source="a review", loaded_by="")
    row: Any = connection.execute(text(fill(_LATEST_LOAD, table=table))).mappings().one()
    return Changed(table=table, load_id=row["load_id"], source=row["source"], loaded_by=row["loaded_by"])
