"""The facts of a period, read out as columns for the rules.

Only rows that stand are read: a replaced row is left out. With `as_of`, what stood at that recorded time is read
instead, so that a settlement made then can be computed again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import pandas as pd
import pyarrow as pa
from sqlalchemy import Connection, text

from schemas.frames import AMOUNT, TIMESTAMP
from settlement.program.terms import parse_terms
from settlement.rules.facts import Facts, Terms
from settlement.store.copying import copy_out, raw_cursor
from settlement.store.templates import fill, listed

PRICE_REACH_SECONDS_MIN = 3600

STANDS_NOW = "replaced_by_load IS NULL"
# Loads of facts happen one after the other, so the order of their numbers is the order of their times.
STOOD_THEN = "load_id <= %(last_load)s AND (replaced_by_load IS NULL OR replaced_by_load > %(last_load)s)"
LAST_LOAD = "SELECT coalesce(max(load_id), 0) FROM load WHERE kind <> 'fills' AND loaded_at <= %(as_of)s"

_PERIOD = [("effective_from", TIMESTAMP), ("effective_to", TIMESTAMP)]
_CLIENT = [("venue", pa.string()), ("account", pa.string())]

BROKERS = pa.schema(
    [
        ("broker_id", pa.string()),
        ("parent_id", pa.string()),
        ("share", AMOUNT),
        ("status", pa.string()),
        ("own_accounts", pa.string()),
        *_PERIOD,
    ]
)
CODES = pa.schema([("code", pa.string()), ("broker_id", pa.string()), *_PERIOD])
CLIENTS = pa.schema(
    [
        *_CLIENT,
        ("broker_id", pa.string()),
        *_PERIOD,
        ("affiliated", pa.bool_()),
        ("account_class", pa.string()),
        ("rebate_share", AMOUNT),
    ]
)
VIP_LEVELS = pa.schema([*_CLIENT, ("level", pa.int64()), ("effective_from", TIMESTAMP)])
FEE_RATES = pa.schema(
    [*_CLIENT, ("product", pa.string()), ("liquidity", pa.string()), ("rate", AMOUNT), ("effective_from", TIMESTAMP)]
)
TIERS = pa.schema([("broker_id", pa.string()), ("tier", pa.string()), *_PERIOD])
OVERRIDES = pa.schema(
    [*((name, pa.string()) for name in ("broker_id", "kind", "product", "liquidity")), ("value", AMOUNT), *_PERIOD]
)
REVIEWS = pa.schema([("broker_id", pa.string()), ("tier", pa.string()), ("effective_from", TIMESTAMP)])
INSTRUMENTS = pa.schema(
    [
        ("row_id", pa.int64()),
        ("venue", pa.string()),
        ("instrument_type", pa.string()),
        ("instrument", pa.string()),
        ("contract_type", pa.string()),
        ("contract_value", AMOUNT),
        ("contract_multiplier", AMOUNT),
        ("contract_value_currency", pa.string()),
        ("settle_currency", pa.string()),
        ("base_currency", pa.string()),
        ("quote_currency", pa.string()),
        ("effective_from", TIMESTAMP),
    ]
)
PRICES = pa.schema([("price_id", pa.int64()), ("currency", pa.string()), ("ts", TIMESTAMP), ("price_usdt", AMOUNT)])

# Where a column is not stored in the form that the rules read.
_EXPRESSIONS = {"own_accounts": "array_to_string(own_accounts, ';')", "affiliated": "affiliated::text"}


def load_facts(
    connection: Connection,
    *,
    start: datetime,
    end: datetime,
    as_of: datetime | None = None,
    terms: tuple[Terms, ...] | None = None,
) -> Facts:
    """All facts that fills executed in `[start, end)` can need, as `settlement.rules.facts.Facts` describes them.

    Rows that begin at `end` or later are left out, except broker codes: a tag counts as "through the API" even where
    its code has not begun. Prices reach back as far as the oldest one that any version of the terms lets be used.
    `as_of`: what was known at that recorded time instead of what is known now. `terms`: these instead of those that
    are stored.
    """
    reader = _Reader(connection, end=end, as_of=as_of)
    terms = reader.terms() if terms is None else terms
    reach = max([PRICE_REACH_SECONDS_MIN, *(version.max_age_seconds for version in terms)])
    return Facts(
        brokers=reader.frame("broker", BROKERS),
        codes=reader.frame("broker_code", CODES, condition="true"),
        clients=reader.frame("client_link", CLIENTS),
        vip_levels=reader.frame("vip_level", VIP_LEVELS),
        fee_rates=reader.frame("fee_rate", FEE_RATES),
        tiers=reader.frame("tier_override", TIERS),
        overrides=reader.frame("broker_override", OVERRIDES),
        reviews=reader.reviews(),
        instruments=reader.frame("instrument", INSTRUMENTS),
        prices=reader.prices(start - timedelta(seconds=reach)),
        terms=terms,
    )


def terms_versions(connection: Connection, *, as_of: datetime) -> tuple[Terms, ...]:
    """Every version of the terms that stood at a recorded time, the earliest first."""
    return _Reader(connection, end=as_of, as_of=as_of).terms()


def last_load(connection: Connection, *, as_of: datetime) -> int:
    """The number of the last load of facts that was recorded by `as_of`; 0 if there was none."""
    with raw_cursor(connection) as cursor:
        return int(cursor.execute(LAST_LOAD, {"as_of": as_of}).fetchone()[0])


def facts_version(connection: Connection) -> int:
    """A number that grows with every load of facts and every review."""
    query = text("SELECT (SELECT count(*) FROM load WHERE kind <> 'fills') + (SELECT count(*) FROM tier_review)")
    return int(connection.execute(query).scalar_one())


class _Reader:
    """Reads frames out of the tables in one transaction, as they stand now or stood at `as_of`."""

    def __init__(self, connection: Connection, *, end: datetime, as_of: datetime | None) -> None:
        self.connection = connection
        self.parameters: dict[str, Any] = {"end": end, "as_of": as_of}
        self.stands = STANDS_NOW
        if as_of is not None:
            self.stands = STOOD_THEN
            self.parameters["last_load"] = last_load(connection, as_of=as_of)

    def frame(self, table: str, schema: pa.Schema, *, condition: str = "effective_from < %(end)s") -> pd.DataFrame:
        columns = ", ".join(_EXPRESSIONS.get(name, name) for name in schema.names)
        query = "SELECT $columns FROM $table WHERE $stands AND $condition"
        return self._read(fill(query, columns=columns, table=table, stands=self.stands, condition=condition), schema)

    def prices(self, oldest: datetime) -> pd.DataFrame:
        self.parameters["oldest"] = oldest
        return self.frame("price", PRICES, condition="ts >= %(oldest)s AND ts < %(end)s")

    def reviews(self) -> pd.DataFrame:
        """The reviews; of several for one instant, the latest that was known."""
        known = "" if self.parameters["as_of"] is None else "AND reviewed_at <= %(as_of)s"
        query = """
            SELECT DISTINCT ON (broker_id, effective_from) $columns FROM tier_review
            WHERE effective_from < %(end)s $known ORDER BY broker_id, effective_from, reviewed_at DESC
        """
        return self._read(fill(query, columns=listed(REVIEWS.names), known=known), REVIEWS)

    def terms(self) -> tuple[Terms, ...]:
        """Every version of the terms, the earliest first."""
        query = fill(
            "SELECT terms_id, document FROM program_terms WHERE $stands ORDER BY effective_from", stands=self.stands
        )
        with raw_cursor(self.connection) as cursor:
            cursor.execute(query, self.parameters)
            return tuple(_parsed(terms_id, document) for terms_id, document in cursor)

    def _read(self, query: str, schema: pa.Schema) -> pd.DataFrame:
        tables = list(copy_out(self.connection, query, schema=schema, parameters=self.parameters))
        table = pa.concat_tables(tables) if tables else schema.empty_table()
        frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
        return frame


@lru_cache(maxsize=256)
def _parsed(terms_id: int, document: str) -> Terms:
    return parse_terms(document, source=f"terms {terms_id}", terms_id=terms_id)
