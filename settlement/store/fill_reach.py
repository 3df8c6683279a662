"""A key stands on one day only.

A partition's primary key covers its own day. So the range of bill ids of each (account, day) is kept (`fill_reach`) and
compared with the ranges of the account's other days: where no two overlap, no key can stand on two days. Only where they
do are keys looked up. The caller holds the accounts' locks, so nobody else changes their ranges meanwhile.

A reach is a table of venue, account, day (date32), first and last (bill ids).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pyarrow as pa
from sqlalchemy import Connection, text

from settlement.store.copy_text import characters, copy_text, encode_rows

REACH = pa.schema(
    [
        ("venue", pa.string()),
        ("account", pa.string()),
        ("day", pa.date32()),
        ("first", pa.string()),
        ("last", pa.string()),
    ]
)

_CREATE = """
    CREATE TEMPORARY TABLE IF NOT EXISTS load_reach
        (venue text COLLATE "C", account text COLLATE "C", day date, first text COLLATE "C", last text COLLATE "C")
        ON COMMIT DROP
"""
_OF_LOAD = """
    (SELECT venue, account, day, min(first) AS first, max(last) AS last FROM load_reach GROUP BY venue, account, day) g
"""
_OVERLAPS = f"""
    {_OF_LOAD} JOIN fill_reach r ON r.venue = g.venue AND r.account = g.account
           AND r.day <> g.day AND r.bill_id_min <= g.last AND r.bill_id_max >= g.first
"""
_EXTEND = f"""
    INSERT INTO fill_reach AS kept (venue, account, day, bill_id_min, bill_id_max)
    SELECT venue, account, day, first, last FROM {_OF_LOAD}
    ON CONFLICT (venue, account, day) DO UPDATE
    SET bill_id_min = least(kept.bill_id_min, excluded.bill_id_min),
        bill_id_max = greatest(kept.bill_id_max, excluded.bill_id_max)
    WHERE excluded.bill_id_min < kept.bill_id_min OR excluded.bill_id_max > kept.bill_id_max
"""  # noqa: S608 - constants of this module
_KEY_ON_TWO_DAYS = """
    SELECT EXISTS (
        SELECT FROM unnest(CAST(:venues AS text[]), CAST(:accounts AS text[])) AS o (venue, account)
        JOIN fill a ON a.venue = o.venue AND a.account = o.account
        JOIN fill b ON b.venue = a.venue AND b.account = a.account AND b.bill_id = a.bill_id
        WHERE a.load_id = :load_id AND a.executed_at >= :first_hour AND a.executed_at < :end_hour
          AND b.executed_at >= :first_day AND b.executed_at < :end_day
          AND date_trunc('day', a.executed_at) <> date_trunc('day', b.executed_at))
"""


def compact(reaches: list[pa.Table]) -> pa.Table:
    """Several reaches as one: a row for each (venue, account, day)."""
    together = pa.concat_tables(reaches)
    least = together.group_by(["venue", "account", "day"]).aggregate([("first", "min"), ("last", "max")])
    return least.rename_columns({"first_min": "first", "last_max": "last"}).select(REACH.names)


def overlapping_days(connection: Connection, reach: pa.Table) -> list[date]:
    """The stored days on which an account has bill ids within the range of another of its days in `reach`."""
    _stage(connection, reach)
    query = f"SELECT DISTINCT r.day FROM {_OVERLAPS} ORDER BY r.day"  # noqa: S608 - constants of this module
    return list(connection.execute(text(query)).scalars())


def extend_reach(connection: Connection, reach: pa.Table) -> None:
    """Takes the ranges of `reach` into those of the accounts' days."""
    _stage(connection, reach)
    connection.execute(text(_EXTEND))


def key_on_two_days(connection: Connection, *, load_id: int, hours: list[datetime]) -> bool:
    """Whether a fill of this load has the key of a fill of another day.

    `hours` are those of the load's fills. Looks at the accounts whose days overlap in what `extend_reach` was given last.
    """
    query = f"SELECT DISTINCT r.venue, r.account, r.day FROM {_OVERLAPS}"  # noqa: S608 - constants of this module
    overlaps = connection.execute(text(query)).all()
    if not overlaps:
        return False
    accounts = sorted({(row.venue, row.account) for row in overlaps})
    days = [row.day for row in overlaps]
    parameters = {
        "venues": [venue for venue, _ in accounts],
        "accounts": [account for _, account in accounts],
        "load_id": load_id,
        "first_hour": min(hours),
        "end_hour": max(hours) + timedelta(hours=1),
        "first_day": f"{min(days)} 00:00:00+00",
        "end_day": f"{max(days) + timedelta(days=1)} 00:00:00+00",
    }
    return bool(connection.execute(text(_KEY_ON_TWO_DAYS), parameters).scalar_one())


def _stage(connection: Connection, reach: pa.Table) -> None:
    connection.execute(text(_CREATE))
    connection.execute(text("TRUNCATE load_reach"))
    as_text = reach.set_column(2, "day", reach["day"].cast(pa.string()))
    lines = encode_rows(as_text, REACH.names[:-1], last=reach["last"].combine_chunks())
    copy_text(connection, "load_reach", REACH.names, characters(lines))
    connection.execute(text("ANALYZE load_reach"))
