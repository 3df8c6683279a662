"""Fills to be settled, out of PostgreSQL; lines, bases and splits, into it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, text

from schemas.frames import FILL
from settlement.rules.basis import Basis
from settlement.rules.in_force import Codes
from settlement.rules.settle import Outcome
from settlement.rules.split import Split
from settlement.store.copy_text import characters, copy_text, encode_rows
from settlement.store.copying import copy_out

WINDOW = timedelta(hours=1)

# A fill that has no line yet has no previous revision.
OPEN_FILL = pa.schema(
    [*FILL, ("previous_revision", pa.int64()), ("previous_broker", pa.string()), ("previous_reason", pa.string())]
)
KEYS = pa.schema([("venue", pa.string()), ("account", pa.string()), ("tag", pa.string())])

_FILL_COLUMNS = ", ".join(f"f.{name}" for name in FILL.names)
_IN_WINDOW = "f.executed_at >= %(start)s AND f.executed_at < %(end)s"
_NO_LINE = """NOT EXISTS (SELECT FROM line l WHERE l.window_start = %(start)s
              AND l.venue = f.venue AND l.account = f.account AND l.bill_id = f.bill_id)"""
_PENDING = f"""
    SELECT {_FILL_COLUMNS}, l.revision AS previous_revision, b.broker_id AS previous_broker, b.reason AS previous_reason
    FROM current_line l
    JOIN basis b ON b.basis_id = l.basis_id AND b.status = 'pending'
    JOIN fill f ON f.venue = l.venue AND f.account = l.account AND f.bill_id = l.bill_id AND {_IN_WINDOW}
    WHERE l.window_start = %(start)s
"""  # noqa: S608 - constants of this module
_MINE = """JOIN shard_key k ON k.run_id = %(run_id)s AND k.root = %(root)s
           AND k.venue = f.venue AND k.account = f.account AND k.tag = coalesce(f.tag, '')"""


def ensure_line_partition(connection: Connection, window_start: datetime) -> None:
    """Makes the day's partition of `line`."""
    connection.execute(
        text("SELECT ensure_partitions('line', CAST(:day AS date), CAST(:day AS date))"), {"day": window_start.date()}
    )


def window_keys(connection: Connection, window_start: datetime, *, only_without_line: bool) -> pd.DataFrame:
    """The distinct (venue, account, tag) of the window's fills; the tag is empty where there is none."""
    condition = f"AND {_NO_LINE}" if only_without_line else ""
    query = f"""
        SELECT f.venue, f.account, coalesce(f.tag, '') FROM fill f WHERE {_IN_WINDOW} {condition} GROUP BY 1, 2, 3
    """  # noqa: S608 - constants of this module
    tables = list(copy_out(connection, query, schema=KEYS, parameters=_period(window_start)))
    table = pa.concat_tables(tables) if tables else KEYS.empty_table()
    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame.assign(tag=frame["tag"].fillna(""))


def pending_fills(connection: Connection, window_start: datetime) -> Iterator[pa.Table]:
    """The fills of the window whose current line is pending, as OPEN_FILL."""
    return copy_out(connection, _PENDING, schema=OPEN_FILL, parameters=_period(window_start))


def shard_fills(
    connection: Connection, window_start: datetime, *, run_id: int, root: str, first: bool
) -> Iterator[pa.Table]:
    """The fills that a shard may have to settle, as OPEN_FILL: those with one of its keys.

    In a window's first run that is every such fill; later only those without a line and those whose line is pending.
    A key may belong to several roots within one window; whose a fill is, the rules say.
    """
    query = f"""
        SELECT {_FILL_COLUMNS}, NULL::smallint, NULL, NULL FROM fill f {_MINE} WHERE {_IN_WINDOW}
    """  # noqa: S608 - constants of this module
    if not first:
        query = f"{query} AND {_NO_LINE} UNION ALL SELECT f.* FROM ({_PENDING}) f {_MINE}"  # noqa: S608 - constants
    parameters = {**_period(window_start), "run_id": run_id, "root": root}
    return copy_out(connection, query, schema=OPEN_FILL, parameters=parameters)


def add_lines(  # noqa: PLR0913 - a line is made of all these
    connection: Connection, fills: pa.Table, outcome: Outcome, *, basis_ids: Codes, run_id: int, window_start: datetime
) -> None:
    """Writes the lines of `fills` (columns of OPEN_FILL) by COPY, in their order."""
    revision = pc.add(pc.fill_null(fills["previous_revision"], -1), 1)
    table = pa.table(
        {
            **{name: fills[name] for name in ("venue", "account", "bill_id")},
            "revision": revision.cast(pa.string()),
            "basis_id": pa.array([str(basis_id) for basis_id in basis_ids]).take(pa.array(outcome.basis)),
            **{name: outcome.amounts[name].cast(pa.string()) for name in outcome.amounts.column_names},
        }
    )
    rows = encode_rows(table, table.column_names, last=f"{window_start.isoformat()}\t{run_id}")
    columns = (*table.column_names, "window_start", "run_id")
    # Straight into the day's partition: rows need no routing.
    copy_text(connection, f"line_{window_start:%Y%m%d}", columns, characters(rows))


@dataclass
class BasisIds:
    """The ids of bases in the database, each looked up or added once."""

    connection: Connection
    _bases: dict[Basis, int] = field(default_factory=dict)
    _splits: dict[Split, int] = field(default_factory=dict)

    def of(self, bases: Sequence[Basis]) -> Codes:
        """The ids of `bases`, in their order."""
        self._add_splits([basis.split for basis in bases if basis.split and basis.split not in self._splits])
        new = [basis for basis in bases if basis not in self._bases]
        if new:
            self._bases.update(
                zip(new, _upsert(self.connection, _ADD_BASES, [self._row(basis) for basis in new]), strict=True)
            )
        return np.array([self._bases[basis] for basis in bases], dtype=np.int64)

    def _add_splits(self, splits: Sequence[Split]) -> None:
        new = list(dict.fromkeys(splits))
        if new:
            rows = [{"payees": list(split.payees), "shares": [str(share) for share in split.shares]} for split in new]
            self._splits.update(zip(new, _upsert(self.connection, _ADD_SPLITS, rows), strict=True))

    def _row(self, basis: Basis) -> Mapping[str, object]:
        return {
            "root": basis.root,
            "broker_id": basis.broker_id,
            "status": basis.reason.status,
            "reason": basis.reason.text,
            "product": basis.product,
            "tier": basis.tier,
            "rate": None if basis.rate is None else str(basis.rate),
            "terms_id": basis.terms_id,
            "split_id": self._splits[basis.split] if basis.split else None,
            "flags": basis.flags,
        }


_BASIS_COLUMNS = "root, broker_id, status, reason, product, tier, rate, terms_id, split_id, flags"
_ADD_BASES = f"""
    WITH wanted AS (
        SELECT * FROM ROWS FROM (jsonb_to_recordset(CAST(:rows AS jsonb)) AS (root text, broker_id text, status text,
            reason text, product text, tier text, rate numeric, terms_id bigint, split_id bigint, flags text))
            WITH ORDINALITY
    ), added AS (
        INSERT INTO basis ({_BASIS_COLUMNS}) SELECT {_BASIS_COLUMNS} FROM wanted ON CONFLICT DO NOTHING
        RETURNING basis_id, {_BASIS_COLUMNS}
    ), known AS (
        SELECT basis_id, {_BASIS_COLUMNS} FROM added UNION ALL SELECT basis_id, {_BASIS_COLUMNS} FROM basis
        WHERE root IN (SELECT root FROM wanted)
    )
    SELECT k.basis_id FROM wanted w JOIN known k ON k.root = w.root AND k.reason = w.reason AND k.product = w.product
        AND k.flags = w.flags AND coalesce(k.broker_id, '') = coalesce(w.broker_id, '')
        AND coalesce(k.tier, '') = coalesce(w.tier, '') AND coalesce(k.rate, -1) = coalesce(w.rate, -1)
        AND coalesce(k.terms_id, 0) = coalesce(w.terms_id, 0) AND coalesce(k.split_id, 0) = coalesce(w.split_id, 0)
    ORDER BY w.ordinality
"""  # noqa: S608 - constants of this module
_ADD_SPLITS = """
    WITH wanted AS (
        SELECT * FROM ROWS FROM (jsonb_to_recordset(CAST(:rows AS jsonb)) AS (payees text[], shares numeric[]))
            WITH ORDINALITY
    ), added AS (
        INSERT INTO split (payees, shares) SELECT payees, shares FROM wanted ON CONFLICT DO NOTHING
        RETURNING split_id, payees, shares
    ), known AS (
        SELECT split_id, payees, shares FROM added UNION ALL SELECT split_id, payees, shares FROM split
        WHERE payees IN (SELECT payees FROM wanted)
    )
    SELECT k.split_id FROM wanted w JOIN known k ON k.payees = w.payees AND k.shares = w.shares ORDER BY w.ordinality
"""


def _upsert(connection: Connection, statement: str, rows: Sequence[Mapping[str, object]]) -> list[int]:
    """Adds what is not there yet and returns the ids of all `rows`, in their order."""
    return list(connection.execute(text(statement), {"rows": orjson.dumps(rows).decode()}).scalars())


def _period(window_start: datetime) -> dict[str, datetime]:
    return {"start": window_start, "end": window_start + WINDOW}
