"""Whether a venue pays a rebate on an account, as it said whenever it was asked.

It answers for now only, so each change is a row; while it says the same, the row's last_seen_at moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime

import pyarrow as pa
from sqlalchemy import Connection, text

from settlement.store.copying import copy_in
from settlement.store.templates import equal, listed, run

KEY = ("venue", "account")


@dataclass(frozen=True, kw_only=True)
class Eligibility:
    """What a venue says of an account; amounts as text, None where it says nothing."""

    venue: str
    account: str
    type: str
    broker_code: str | None
    affiliated: bool | None
    client_rebate_ratio: str | None
    last_rebate: str | None


COLUMNS = tuple(field.name for field in fields(Eligibility))
CONTENT = tuple(name for name in COLUMNS if name not in KEY)
_SCHEMA = pa.schema([(name, pa.bool_() if name == "affiliated" else pa.string()) for name in COLUMNS])

_LATEST = """
CREATE TEMP TABLE latest_eligibility ON COMMIT DROP AS
SELECT DISTINCT ON ($e_key) e.eligibility_id, e.observed_at, $e_columns
FROM rebate_eligibility e JOIN seen_eligibility s ON $same_key
ORDER BY $e_key, e.observed_at DESC
"""
_STILL_SO = """
UPDATE rebate_eligibility e SET last_seen_at = greatest(e.last_seen_at, :now)
FROM latest_eligibility l JOIN seen_eligibility s ON $same_key
WHERE e.eligibility_id = l.eligibility_id AND ($theirs) IS NOT DISTINCT FROM ($own)
"""
_CHANGED = """
INSERT INTO rebate_eligibility ($columns, observed_at, last_seen_at)
SELECT $s_columns, :now, :now FROM seen_eligibility s LEFT JOIN latest_eligibility l ON $same_key
WHERE l.eligibility_id IS NULL OR (l.observed_at < :now AND ($theirs) IS DISTINCT FROM ($own))
"""


def record(connection: Connection, seen: Sequence[Eligibility], *, now: datetime) -> int:
    """Writes what the venue said at `now`, one row an account; returns how many accounts it said something new of."""
    # One after the other, so that two looks at once do not both find a change.
    run(connection, "SELECT pg_advisory_xact_lock(hashtextextended('rebate_eligibility', 0))")
    run(
        connection,
        "CREATE TEMP TABLE seen_eligibility ON COMMIT DROP AS SELECT $columns FROM rebate_eligibility WITH NO DATA",
        columns=listed(COLUMNS),
    )
    rows = pa.Table.from_pylist([asdict(one) for one in seen], schema=_SCHEMA)
    copy_in(connection, "seen_eligibility", [rows], columns=COLUMNS)
    same_content = {"theirs": listed(CONTENT, of="l"), "own": listed(CONTENT, of="s")}
    run(
        connection,
        _LATEST,
        e_key=listed(KEY, of="e"),
        e_columns=listed(COLUMNS, of="e"),
        same_key=equal(KEY, "e", "s"),
    )
    run(connection, _STILL_SO, {"now": now}, same_key=equal(KEY, "l", "s"), **same_content)
    return run(
        connection,
        _CHANGED,
        {"now": now},
        columns=listed(COLUMNS),
        s_columns=listed(COLUMNS, of="s"),
        same_key=equal(KEY, "l", "s"),
        **same_content,
    ).rowcount


def least_recently_seen(connection: Connection, *, venue: str, limit: int) -> list[str]:
    """The active client accounts that were asked about longest ago, those that never were first."""
    query = text("""
        SELECT account FROM venue_account a
        LEFT JOIN LATERAL (SELECT max(last_seen_at) AS seen FROM rebate_eligibility e
                           WHERE e.venue = a.venue AND e.account = a.account) e ON true
        WHERE venue = :venue AND role = 'client' AND status = 'active' ORDER BY seen NULLS FIRST, account LIMIT :limit
    """)
    return list(connection.execute(query, {"venue": venue, "limit": limit}).scalars())
