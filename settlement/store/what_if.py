"""What-ifs: asked for, settled stretch by stretch, kept for a day; everything set-based."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
from sqlalchemy import Connection, text

from settlement.errors import Refused
from settlement.rules.cap import Client
from settlement.rules.limits import Account
from settlement.store.copying import copy_in

Period = tuple[datetime, datetime]
"""From its start (included) to its end (left out)."""


@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """One what-if as it is recorded.

    `terms` is what its documents are called. `brokers` are those whose lines it is about, None for all. With `in_order`, one stretch is settled after the other. Fills
    before `open_to` can be settled: the reviews up to there are made.
    """

    what_if_id: int
    range_start: datetime
    range_end: datetime
    terms: list[str]
    broker_id: str | None
    brokers: list[str] | None
    ignore_overrides: bool
    in_order: bool
    facts_at: datetime
    notes: list[str]
    asked_by: str
    asked_at: datetime
    open_to: datetime
    done_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Review:
    """The tier that a root would have reached, and what for.

    `previous_tier` is the one in force just before, `override` the one that is in force instead, `stands` the one in
    force as things stand. Without figures it is the tier that the root brings along.
    """

    broker_id: str
    effective_from: datetime
    tier: str
    previous_tier: str | None = None
    override: str | None = None
    stands: str | None = None
    terms: str | None = None
    volume_usdt: Any = None
    clients: int | None = None
    inputs: Mapping[str, Any] | None = None
    next_tier: str | None = None
    gap: Mapping[str, Any] | None = None


_WHAT_IFS = """
    SELECT what_if_id, range_start, range_end, ARRAY(SELECT d->>'label' FROM jsonb_array_elements(documents) d) AS terms, broker_id, brokers, ignore_overrides, in_order, facts_at, notes, asked_by,
           asked_at, open_to, done_at
    FROM what_if
"""


def add(
    connection: Connection, *, values: Mapping[str, Any], stretches: Sequence[Period], reviews: Sequence[Review]
) -> int:
    """Records a what-if, its stretches and the tiers that roots bring along; returns its id."""
    documents = {"documents", "registry", "notes"}
    query = text(f"""
        INSERT INTO what_if ({", ".join(values)})
        VALUES ({", ".join(f"CAST(:{name} AS jsonb)" if name in documents else f":{name}" for name in values)})
        RETURNING what_if_id
    """)  # noqa: S608 - the caller's own names
    written = {name: _document(value) if name in documents else value for name, value in values.items()}
    what_if_id = int(connection.execute(query, written).scalar_one())
    connection.execute(
        text("""
            INSERT INTO what_if_stretch (what_if_id, stretch_start, stretch_end)
            SELECT :what_if_id, * FROM unnest(CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]))
        """),
        {
            "what_if_id": what_if_id,
            "starts": [start for start, _ in stretches],
            "ends": [end for _, end in stretches],
        },
    )
    add_reviews(connection, what_if_id, reviews)
    return what_if_id


def what_if_of(connection: Connection, what_if_id: int, *, lock: bool = False) -> WhatIf:
    """One what-if, its row locked until the transaction ends if asked. Raises Refused for one that is not there."""
    locking = "FOR NO KEY UPDATE" if lock else ""
    rows = connection.execute(text(f"{_WHAT_IFS} WHERE what_if_id = :id {locking}"), {"id": what_if_id}).mappings()
    found = rows.one_or_none()
    if found is None:
        raise Refused(
            f"there is no what-if {what_if_id}",
            mend="it is kept for a day; settlement terms simulate makes another one",
        )
    return WhatIf(**found)


def assumed(connection: Connection, what_if_id: int) -> tuple[list[dict[str, Any]], dict[str, dict[str, list[Any]]]]:
    """The documents of a what-if, and its rows of the registry by file and column."""
    query = text("SELECT documents, registry FROM what_if WHERE what_if_id = :id")
    row = connection.execute(query, {"id": what_if_id}).one()
    return row.documents, row.registry


def windows_of(connection: Connection, *, start: datetime, end: datetime) -> list[tuple[datetime, int | None]]:
    """The windows of `[start, end)` that there are, and how many fills each is sealed with, None if it is not."""
    query = text("""
        SELECT window_start, CAST(seal->>'fills' AS bigint) AS fills FROM settlement_window
        WHERE window_start >= :start AND window_start < :end ORDER BY window_start
    """)
    return [(row.window_start, row.fills) for row in connection.execute(query, {"start": start, "end": end})]


def waiting(connection: Connection, what_if_id: int) -> list[datetime]:
    """The stretches that can be settled now, the oldest first."""
    query = text("""
        SELECT stretch_start FROM what_if_stretch JOIN what_if w USING (what_if_id)
        WHERE what_if_id = :id AND what_if_stretch.done_at IS NULL AND stretch_start < w.open_to ORDER BY stretch_start
        LIMIT (SELECT CASE WHEN in_order THEN 1 END FROM what_if WHERE what_if_id = :id)
    """)
    return list(connection.execute(query, {"id": what_if_id}).scalars())


def progress(connection: Connection, what_if_id: int) -> tuple[int, int]:
    """How many stretches of how many are settled."""
    query = text("SELECT count(done_at) AS done, count(*) AS total FROM what_if_stretch WHERE what_if_id = :id")
    row = connection.execute(query, {"id": what_if_id}).one()
    return row.done, row.total


def claim(connection: Connection, what_if_id: int, stretch_start: datetime) -> datetime | None:
    """Locks a stretch that is still to be settled and returns its end; None if it is, or somebody else is at it."""
    query = text("""
        SELECT stretch_end FROM what_if_stretch
        WHERE what_if_id = :id AND stretch_start = :stretch_start AND done_at IS NULL FOR UPDATE SKIP LOCKED
    """)
    end: datetime | None = connection.execute(query, {"id": what_if_id, "stretch_start": stretch_start}).scalar()
    return end


def earned_before(
    connection: Connection, asked: WhatIf, stretch_start: datetime, accounts: Iterable[Account]
) -> dict[Client, Decimal]:
    """What these accounts would have earned in each tree in the month before the stretch, in USDT.

    Before the range counts as it stands.
    """
    query = text("""
        SELECT root, venue, account, sum(commission_usdt) AS commission_usdt
        FROM unnest(CAST(:venues AS text[]), CAST(:accounts AS text[])) AS client (venue, account)
        JOIN (
            SELECT root, venue, account, window_start, commission_usdt FROM activity WHERE window_start < :range_start
            UNION ALL
            SELECT root, venue, account, window_start, commission_usdt FROM what_if_activity WHERE what_if_id = :id
        ) earned USING (venue, account)
        WHERE window_start >= date_trunc('month', CAST(:start AS timestamptz), 'UTC') AND window_start < :start
        GROUP BY root, venue, account
    """)
    venues, names = zip(*accounts, strict=True)
    values = {"venues": list(venues), "accounts": list(names), "range_start": asked.range_start}
    rows = connection.execute(query, {**values, "id": asked.what_if_id, "start": stretch_start})
    return {(row.root, row.venue, row.account): row.commission_usdt for row in rows}


def unsettled_windows(connection: Connection, *, start: datetime, end: datetime) -> int:
    """How many windows of `[start, end)` are open or being settled."""
    query = text("""
        SELECT count(*) FROM settlement_window w
        WHERE window_start >= :start AND window_start < :end AND (status IN ('open', 'settling')
              OR EXISTS (SELECT FROM run r WHERE r.window_start = w.window_start AND r.closed_at IS NULL))
    """)
    return int(connection.execute(query, {"start": start, "end": end}).scalar_one())


def write(connection: Connection, what_if_id: int, stretch_start: datetime, *, parts: Mapping[str, pa.Table]) -> None:
    """Writes what a stretch came to: tables by name, without the what-if and the stretch."""
    for name, part in parts.items():
        if part.num_rows:
            same = {"what_if_id": what_if_id, _stretch_column(name): stretch_start.isoformat()}
            columns = {key: pa.repeat(value, part.num_rows) for key, value in same.items()}
            table = pa.table({**columns, **{key: part[key] for key in part.column_names}})
            copy_in(connection, name, [table], columns=table.column_names)


def finish_stretch(
    connection: Connection, what_if_id: int, stretch_start: datetime, *, fills: int, unsettled: int
) -> None:
    """The stretch is settled: so many fills, and so many windows of which not all that stands had been settled."""
    query = text("""
        UPDATE what_if_stretch SET done_at = clock_timestamp(), fills = :fills, unsettled = :unsettled
        WHERE what_if_id = :id AND stretch_start = :stretch_start
    """)
    values = {"id": what_if_id, "stretch_start": stretch_start, "fills": fills, "unsettled": unsettled}
    connection.execute(query, values)


def open_further(connection: Connection, what_if_id: int, open_to: datetime) -> None:
    """The reviews up to `open_to` are made: the stretches before it can be settled."""
    query = text("UPDATE what_if SET open_to = :open_to WHERE what_if_id = :id")
    connection.execute(query, {"id": what_if_id, "open_to": open_to})


def finish(connection: Connection, what_if_id: int) -> None:
    """All of it is settled; what only its reviews needed goes."""
    connection.execute(text("DELETE FROM what_if_activity WHERE what_if_id = :id"), {"id": what_if_id})
    connection.execute(
        text("UPDATE what_if SET done_at = clock_timestamp() WHERE what_if_id = :id"), {"id": what_if_id}
    )


def add_reviews(connection: Connection, what_if_id: int, reviews: Sequence[Review]) -> None:
    """Records tiers that would have been reached."""
    if not reviews:
        return
    rows = [asdict(review) | {"inputs": _document(review.inputs), "gap": _document(review.gap)} for review in reviews]
    names = ["what_if_id", *rows[0]]
    connection.execute(
        text(f"""
            INSERT INTO what_if_review ({", ".join(names)})
            VALUES ({", ".join(f"CAST(:{name} AS jsonb)" if name in ("inputs", "gap") else f":{name}" for name in names)})
        """),  # noqa: S608 - the names of a class of this file
        [row | {"what_if_id": what_if_id} for row in rows],
    )


def reviewed(connection: Connection, what_if_id: int, *, before: datetime) -> list[tuple[str, str, datetime]]:
    """The (broker_id, tier, effective_from) of the what-if's reviews that take effect before `before`."""
    query = text("""
        SELECT broker_id, tier, effective_from FROM what_if_review
        WHERE what_if_id = :id AND effective_from < :before ORDER BY effective_from, broker_id
    """)
    rows = connection.execute(query, {"id": what_if_id, "before": before})
    return [(row.broker_id, row.tier, row.effective_from) for row in rows]


def stalled(connection: Connection, *, before: datetime) -> list[int]:
    """What-ifs that are not done and of which no stretch was settled since `before`."""
    query = text("""
        SELECT what_if_id FROM what_if w JOIN what_if_stretch s USING (what_if_id) WHERE w.done_at IS NULL
        GROUP BY what_if_id HAVING greatest(w.asked_at, max(s.done_at)) < :before ORDER BY what_if_id
    """)
    return list(connection.execute(query, {"before": before}).scalars())


def prune(connection: Connection, *, before: datetime) -> int:
    """Drops the what-ifs that were done, or asked for and never done, before `before`; returns how many."""
    query = text("DELETE FROM what_if WHERE coalesce(done_at, asked_at) < :before")
    return connection.execute(query, {"before": before}).rowcount


def _stretch_column(table: str) -> str:
    return "window_start" if table == "what_if_activity" else "stretch_start"


def _document(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()
