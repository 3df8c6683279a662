"""Fills to be settled, out of PostgreSQL, with the lines that stand for them; lines, into it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, text

from schemas.frames import FILL
from settlement.rules.in_force import Codes
from settlement.rules.limits import Account
from settlement.rules.money import LEDGER_AMOUNT
from settlement.rules.settle import Outcome
from settlement.store.copy_text import characters, copy_text, encode_rows
from settlement.store.copying import copy_out

WINDOW = timedelta(hours=1)

# What stands for a fill so far; all null for one that has no line yet.
STANDING = pa.schema(
    [
        ("previous_revision", pa.int64()),
        ("previous_basis", pa.int64()),
        *((f"previous_{name}", LEDGER_AMOUNT) for name in ("net_fee_usdt", "commission_usdt", "notional_usdt")),
        *((f"previous_{name}", pa.int64()) for name in ("price_id", "notional_price_id")),
    ]
)
# A fill that may be settled (again).
STANDING_FILL = pa.schema([*FILL, *STANDING])
KEYS = pa.schema([("venue", pa.string()), ("account", pa.string()), ("tag", pa.string())])

_FILL_COLUMNS = ", ".join(f"f.{name}" for name in FILL.names)
_IN_WINDOW = "f.executed_at >= %(start)s AND f.executed_at < %(end)s"
_NO_LINE = """NOT EXISTS (SELECT FROM line l WHERE l.window_start = %(start)s
              AND l.venue = f.venue AND l.account = f.account AND l.bill_id = f.bill_id)"""
_STANDING = """l.revision, l.basis_id, l.net_fee_usdt, l.commission_usdt, l.notional_usdt, l.price_id,
    l.notional_price_id"""
_NOTHING_STANDS = ", ".join(["NULL"] * len(STANDING))
# The lines that stood before the run `before_run` (none: that stand).
_LINE_BEFORE = """
    SELECT * FROM line l
    WHERE l.window_start = %(start)s AND l.run_id IS DISTINCT FROM %(before_run)s AND NOT EXISTS (
        SELECT FROM line n
        WHERE n.revision > 0 AND n.revision > l.revision AND n.run_id IS DISTINCT FROM %(before_run)s
          AND n.window_start = l.window_start AND n.venue = l.venue AND n.account = l.account AND n.bill_id = l.bill_id
    )
"""
_PENDING = f"""
    SELECT {_FILL_COLUMNS}, {_STANDING}
    FROM ({_LINE_BEFORE}) l
    JOIN basis b ON b.basis_id = l.basis_id AND b.status = 'pending'
    JOIN fill f ON f.venue = l.venue AND f.account = l.account AND f.bill_id = l.bill_id AND {_IN_WINDOW}
"""  # noqa: S608 - constants of this module
_EVERY = f"""
    SELECT {_FILL_COLUMNS}, {_STANDING} FROM fill f LEFT JOIN ({_LINE_BEFORE}) l USING (venue, account, bill_id)
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
    """The fills of the window whose current line is pending, as STANDING_FILL."""
    parameters = {**_period(window_start), "before_run": None}
    return copy_out(connection, _PENDING, schema=STANDING_FILL, parameters=parameters)


def all_fills(connection: Connection, window_start: datetime) -> Iterator[pa.Table]:
    """Every fill of the window with the line that stands for it, if there is one, as STANDING_FILL."""
    parameters = {**_period(window_start), "before_run": None}
    return copy_out(connection, f"{_EVERY} WHERE {_IN_WINDOW}", schema=STANDING_FILL, parameters=parameters)


def standing_fills(connection: Connection, *, start: datetime, end: datetime) -> Iterator[pa.Table]:
    """Every fill of the windows of `[start, end)` with the line that stands for it, if there is one, as STANDING_FILL."""
    query = f"""
        SELECT {_FILL_COLUMNS}, {_STANDING} FROM fill f LEFT JOIN (
            SELECT * FROM line l WHERE l.window_start >= %(start)s AND l.window_start < %(end)s AND NOT EXISTS (
                SELECT FROM line n
                WHERE n.revision > 0 AND n.revision > l.revision AND n.window_start >= %(start)s AND n.window_start < %(end)s
                  AND n.window_start = l.window_start AND n.venue = l.venue AND n.account = l.account AND n.bill_id = l.bill_id)
        ) l USING (venue, account, bill_id)
        WHERE {_IN_WINDOW}
    """  # noqa: S608 - constants of this module
    return copy_out(connection, query, schema=STANDING_FILL, parameters={"start": start, "end": end})


def shard_fills(
    connection: Connection, window_start: datetime, *, run_id: int, root: str, only_without_line: bool
) -> Iterator[pa.Table]:
    """The fills that a shard of the window's first run may have to settle, as FILL: those with one of its keys.

    A key may belong to several roots within one window; whose a fill is, the rules say.
    """
    condition = f"AND {_NO_LINE}" if only_without_line else ""
    query = f"SELECT {_FILL_COLUMNS} FROM fill f {_MINE} WHERE {_IN_WINDOW} {condition}"  # noqa: S608 - constants of this module
    return copy_out(connection, query, schema=FILL, parameters=_of_shard(window_start, run_id, root))


def open_fills(connection: Connection, window_start: datetime, *, run_id: int, root: str) -> Iterator[pa.Table]:
    """The fills that a shard of a later run may have to settle, as STANDING_FILL: without a line, or with a pending one."""
    query = f"""
        SELECT {_FILL_COLUMNS}, {_NOTHING_STANDS} FROM fill f {_MINE} WHERE {_IN_WINDOW} AND {_NO_LINE}
        UNION ALL SELECT f.* FROM ({_PENDING}) f {_MINE}
    """  # noqa: S608 - constants of this module
    parameters = {**_of_shard(window_start, run_id, root), "before_run": None}
    return copy_out(connection, query, schema=STANDING_FILL, parameters=parameters)


def fills_again(connection: Connection, window_start: datetime, *, run_id: int, root: str) -> Iterator[pa.Table]:
    """The fills that a shard of a recalculation looks at, as STANDING_FILL, with the lines that stood before its run.

    What another shard of the run has written does not count yet: each reads the window as the run found it.
    """
    query = f"{_EVERY} {_MINE} WHERE {_IN_WINDOW}"
    parameters = {**_of_shard(window_start, run_id, root), "before_run": run_id}
    return copy_out(connection, query, schema=STANDING_FILL, parameters=parameters)


def account_fills(
    connection: Connection, window_start: datetime, accounts: Iterable[Account], *, run_id: int | None
) -> Iterator[pa.Table]:
    """Every fill of these accounts in the window with the line that stood for it before the run (None: that stands)."""
    venues, names = zip(*accounts, strict=True)
    query = f"""
        {_EVERY} JOIN unnest(%(venues)s::text[], %(accounts)s::text[]) AS a (venue, account)
            ON a.venue = f.venue AND a.account = f.account
        WHERE {_IN_WINDOW}
    """
    parameters = {**_period(window_start), "before_run": run_id, "venues": list(venues), "accounts": list(names)}
    return copy_out(connection, query, schema=STANDING_FILL, parameters=parameters)


def add_lines(  # noqa: PLR0913 - a line is made of all these
    connection: Connection, fills: pa.Table, outcome: Outcome, *, basis_ids: Codes, run_id: int, window_start: datetime
) -> None:
    """Writes the lines of `fills` by COPY, in their order. In a window's first run these have the columns of FILL."""
    table = pa.table(
        {
            **{name: fills[name] for name in ("venue", "account", "bill_id")},
            "revision": _revisions(fills),
            "basis_id": pa.array([str(basis_id) for basis_id in basis_ids]).take(pa.array(outcome.basis)),
            **{name: outcome.amounts[name].cast(pa.string()) for name in outcome.amounts.column_names},
        }
    )
    rows = encode_rows(table, table.column_names, last=f"{window_start.isoformat()}\t{run_id}")
    columns = (*table.column_names, "window_start", "run_id")
    # Straight into the day's partition: rows need no routing.
    copy_text(connection, f"line_{window_start:%Y%m%d}", columns, characters(rows))


def _revisions(fills: pa.Table) -> pa.Array | pa.ChunkedArray:
    if "previous_revision" not in fills.column_names:
        return pa.repeat("0", fills.num_rows)
    return pc.add(pc.fill_null(fills["previous_revision"], -1), 1).cast(pa.string())


def _of_shard(window_start: datetime, run_id: int, root: str) -> dict[str, Any]:
    return {**_period(window_start), "run_id": run_id, "root": root}


def _period(window_start: datetime) -> dict[str, datetime]:
    return {"start": window_start, "end": window_start + WINDOW}
