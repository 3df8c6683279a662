"""How far each account's fills were pulled, per instrument type; the raw pages; and the tags that were looked up.

1. `covered` holds the stretches of record time that were read from end to end; it only grows.
2. An account is complete up to the end of the stretch that begins where its fills are expected from (`pull_from`).
3. A walk that was begun has stored everything of its stretch down to its cursor; whoever comes next goes on there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from sqlalchemy import Connection, text

from settlement.store.copying import raw_cursor


@dataclass(frozen=True, kw_only=True)
class Walk:
    """A stretch of record time that is being read from new to old; `after` is the cursor, None at its beginning."""

    begin: datetime
    end: datetime
    after: str | None = None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far one account is, for one instrument type: complete from `expected_from` up to `complete_to`.

    `walk` is one that was begun and not finished.
    """

    expected_from: datetime
    complete_to: datetime
    walk: Walk | None


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one page, or the end of a walk, changes: where the walk is now (None: over), and the stretch it has covered."""

    account: str
    instrument_type: str
    walk: Walk | None
    covered: tuple[datetime, datetime] | None


@dataclass(frozen=True, kw_only=True)
class RawPage:
    """An answer that held fills; `body` is compressed, `body_bytes` its length before that."""

    account: str
    instrument_type: str
    request: str
    rows: int
    body_bytes: int
    body: bytes
    fetched_at: datetime


_CLIENT = "role = 'client' AND status = 'active'"
_OF_CHUNK = "mod(abs(hashtext(account)::bigint), :chunks)"
# How far a row of harvest, joined with its account, is complete without a gap.
COMPLETE_TO = "coalesce((SELECT upper(r) FROM unnest(covered) r WHERE r @> pull_from), pull_from)"
# What refuses one instrument type of an account ends its pull, so a failure stands for the types behind it as well.
_DUE = f"""(
    SELECT account FROM harvest JOIN venue_account USING (venue, account)
    WHERE venue = :venue AND {_CLIENT} GROUP BY account
    HAVING bool_or({COMPLETE_TO} < :complete_to) AND (max(error_at) IS NULL OR max(error_at) < :failed_before)
)"""  # noqa: S608 - constants of this module
_STANDINGS = f"""
    SELECT account, instrument_type, walk_begin, walk_end, walk_after, pull_from, {COMPLETE_TO} AS complete_to
    FROM harvest JOIN venue_account USING (venue, account)
    WHERE venue = :venue AND account = ANY (:accounts) ORDER BY account, instrument_type
"""  # noqa: S608 - constants of this module
_STEP = """
    UPDATE harvest h SET
        walk_begin = s.walk_begin, walk_end = s.walk_end, walk_after = s.walk_after,
        covered = CASE WHEN s.covered_from IS NULL THEN h.covered
                       ELSE h.covered + tstzmultirange(tstzrange(s.covered_from, s.covered_to)) END,
        pulled_at = CASE WHEN s.covered_from IS NULL THEN h.pulled_at ELSE :now END,
        failures = 0, error = NULL, error_at = NULL
    FROM unnest(CAST(:accounts AS text[]), CAST(:types AS text[]), CAST(:walk_begins AS timestamptz[]),
                CAST(:walk_ends AS timestamptz[]), CAST(:walk_afters AS text[]), CAST(:covered_froms AS timestamptz[]),
                CAST(:covered_tos AS timestamptz[]))
         AS s (account, instrument_type, walk_begin, walk_end, walk_after, covered_from, covered_to)
    WHERE h.venue = :venue AND h.account = s.account AND h.instrument_type = s.instrument_type
"""
_FAIL = """
    UPDATE harvest SET failures = failures + 1, error = :error, error_at = :now
    WHERE venue = :venue AND account = :account AND instrument_type = :instrument_type RETURNING failures
"""


def accounts_of_chunk(connection: Connection, *, venue: str, chunk: int, chunks: int) -> list[str]:
    """The active client accounts of one of `chunks` parts: a task names its part, never its accounts."""
    query = f"SELECT account FROM venue_account WHERE venue = :venue AND {_CLIENT} AND {_OF_CHUNK} = :chunk ORDER BY account"  # noqa: S608 - constants
    return list(connection.execute(text(query), {"venue": venue, "chunk": chunk, "chunks": chunks}).scalars())


def number_of_accounts(connection: Connection, *, venue: str) -> int:
    """How many active client accounts there are."""
    query = f"SELECT count(*) FROM venue_account WHERE venue = :venue AND {_CLIENT}"  # noqa: S608 - constants
    return int(connection.execute(text(query), {"venue": venue}).scalar_one())


def due_chunks(
    connection: Connection, *, venue: str, chunks: int, complete_to: datetime, failed_before: datetime
) -> list[int]:
    """The parts that hold an account which is due (see `due_accounts`)."""
    query = f"SELECT DISTINCT {_OF_CHUNK} AS chunk FROM {_DUE} due ORDER BY chunk"  # noqa: S608 - constants
    values = {"venue": venue, "chunks": chunks, "complete_to": complete_to, "failed_before": failed_before}
    return list(connection.execute(text(query), values).scalars())


def due_accounts(  # noqa: PLR0913 - which part, and what is due
    connection: Connection, *, venue: str, chunk: int, chunks: int, complete_to: datetime, failed_before: datetime
) -> list[str]:
    """The active client accounts of one part that are not complete up to `complete_to`.

    One that has failed is due again once that was before `failed_before`.
    """
    query = f"SELECT DISTINCT account FROM {_DUE} due WHERE {_OF_CHUNK} = :chunk ORDER BY account"  # noqa: S608 - constants
    values = {"venue": venue, "chunk": chunk, "chunks": chunks}
    values |= {"complete_to": complete_to, "failed_before": failed_before}
    return list(connection.execute(text(query), values).scalars())


def claim(connection: Connection, *, venue: str, accounts: Sequence[str]) -> set[str]:
    """Those of `accounts` that nobody else harvests now; they are this transaction's until it ends, however it ends."""
    query = text("""
        SELECT account FROM unnest(CAST(:accounts AS text[])) account
        WHERE pg_try_advisory_xact_lock(hashtextextended('harvest:' || :venue || ':' || account, 0))
    """)
    return set(connection.execute(query, {"venue": venue, "accounts": list(accounts)}).scalars())


def standings(connection: Connection, *, venue: str, accounts: Sequence[str]) -> dict[tuple[str, str], Standing]:
    """How far each account is, by (account, instrument type)."""
    rows = connection.execute(text(_STANDINGS), {"venue": venue, "accounts": list(accounts)})
    return {
        (row.account, row.instrument_type): Standing(
            expected_from=row.pull_from,
            complete_to=row.complete_to,
            walk=Walk(begin=row.walk_begin, end=row.walk_end, after=row.walk_after) if row.walk_begin else None,
        )
        for row in rows
    }


def uncovered(
    connection: Connection, *, venue: str, accounts: Sequence[str], start: datetime, end: datetime
) -> dict[tuple[str, str], list[tuple[datetime, datetime]]]:
    """The stretches of [start, end) that were never read, by (account, instrument type), the oldest first."""
    query = text("""
        SELECT account, instrument_type, lower(gap) AS begins, upper(gap) AS ends
        FROM harvest, unnest(tstzmultirange(tstzrange(:start, :end)) - covered) gap
        WHERE venue = :venue AND account = ANY (:accounts) ORDER BY account, instrument_type, gap
    """)
    found: dict[tuple[str, str], list[tuple[datetime, datetime]]] = {}
    parameters = {"venue": venue, "accounts": list(accounts), "start": start, "end": end}
    for row in connection.execute(query, parameters):
        found.setdefault((row.account, row.instrument_type), []).append((row.begins, row.ends))
    return found


def take_steps(connection: Connection, *, venue: str, steps: Iterable[Step], now: datetime) -> None:
    """Moves walks on. Of several steps of one account and type the last counts, with everything that any has covered."""
    last: dict[tuple[str, str], Step] = {}
    for step in steps:
        key = (step.account, step.instrument_type)
        before = last.get(key)
        if before is not None and before.covered is not None:
            _move(connection, venue=venue, steps=[before], now=now)
        last[key] = step
    if last:
        _move(connection, venue=venue, steps=list(last.values()), now=now)


def _move(connection: Connection, *, venue: str, steps: Sequence[Step], now: datetime) -> None:
    # In one order, so that two who meet on the same rows wait for each other instead of locking crosswise.
    ordered = sorted(steps, key=lambda step: (step.account, step.instrument_type))
    # A walk without a cursor has nothing stored: it is not worth a row.
    walks = [step.walk if step.walk is not None and step.walk.after is not None else None for step in ordered]
    covered = [step.covered or (None, None) for step in ordered]
    connection.execute(
        text(_STEP),
        {
            "venue": venue,
            "now": now,
            "accounts": [step.account for step in ordered],
            "types": [step.instrument_type for step in ordered],
            "walk_begins": [walk.begin if walk else None for walk in walks],
            "walk_ends": [walk.end if walk else None for walk in walks],
            "walk_afters": [walk.after if walk else None for walk in walks],
            "covered_froms": [begins for begins, _ in covered],
            "covered_tos": [ends for _, ends in covered],
        },
    )


def fail(  # noqa: PLR0913 - whose pull, and why it ended
    connection: Connection, *, venue: str, account: str, instrument_type: str, error: str, now: datetime
) -> int:
    """Records why a pull ended early, and gives how often in a row; what it has stored stays, its walk goes on there."""
    values = {"venue": venue, "account": account, "instrument_type": instrument_type, "error": error[:500], "now": now}
    return int(connection.execute(text(_FAIL), values).scalar_one())


def add_raw_pages(connection: Connection, pages: Iterable[RawPage], *, venue: str, load_id: int) -> None:
    """Keeps answers as they came, by COPY in binary: bodies are bytes."""
    columns = "venue, account, instrument_type, request, rows, body_bytes, body, load_id, fetched_at"
    types = ("text", "text", "text", "text", "int4", "int4", "bytea", "int8", "timestamptz")
    with (
        raw_cursor(connection) as cursor,
        cursor.copy(f"COPY raw_page ({columns}) FROM STDIN WITH (FORMAT binary)") as stream,
    ):
        stream.set_types(types)
        for page in pages:
            stream.write_row(
                (venue, page.account, page.instrument_type, page.request, page.rows, page.body_bytes, page.body,
                 load_id, page.fetched_at)
            )  # fmt: skip


def raw_bodies(
    connection: Connection, *, venue: str, account: str, start: datetime, end: datetime
) -> Iterable[tuple[int, bytes]]:
    """The kept answers of an account that were fetched in [start, end), oldest first: length and compressed body."""
    query = text("""
        SELECT body_bytes, body FROM raw_page WHERE venue = :venue AND account = :account
        AND fetched_at >= :start AND fetched_at < :end ORDER BY page_id
    """)
    rows = connection.execution_options(stream_results=True, yield_per=200).execute(
        query, {"venue": venue, "account": account, "start": start, "end": end}
    )
    for row in rows:
        yield row.body_bytes, bytes(row.body)


def known_order_tags(
    connection: Connection, *, venue: str, account: str, order_ids: Sequence[str]
) -> Mapping[str, tuple[str, str]]:
    """What was found for these orders before: order id -> (algo id, tag)."""
    query = text("""
        SELECT order_id, algo_id, tag FROM order_tag
        WHERE venue = :venue AND account = :account AND order_id = ANY (:order_ids)
    """)
    rows = connection.execute(query, {"venue": venue, "account": account, "order_ids": list(order_ids)})
    return {row.order_id: (row.algo_id, row.tag) for row in rows}


def add_order_tags(connection: Connection, tags: pa.Table, *, venue: str, now: datetime) -> None:
    """Keeps what was found (columns account, order_id, algo_id, tag); what was known stays as it is."""
    connection.execute(
        text("""
            INSERT INTO order_tag (venue, account, order_id, algo_id, tag, asked_at)
            SELECT :venue, account, order_id, algo_id, tag, :now FROM unnest(CAST(:accounts AS text[]),
                CAST(:order_ids AS text[]), CAST(:algo_ids AS text[]), CAST(:tags AS text[]))
                AS found (account, order_id, algo_id, tag) ORDER BY account, order_id
            ON CONFLICT DO NOTHING
        """),
        {
            "venue": venue,
            "now": now,
            "accounts": tags["account"].to_pylist(),
            "order_ids": tags["order_id"].to_pylist(),
            "algo_ids": tags["algo_id"].to_pylist(),
            "tags": tags["tag"].to_pylist(),
        },
    )
