"""What the tables say about the system's health: late, stuck, waiting, missing, inconsistent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from settlement.store import windows


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many there are, and the oldest of them."""

    number: int
    oldest: datetime | None


@dataclass(frozen=True, kw_only=True)
class Quarantined:
    """Rows of one kind that were not taken in, and the last file that had one."""

    kind: str
    rows: int
    last_file: str
    last_reason: str


@dataclass(frozen=True, kw_only=True)
class Pending:
    """Lines that wait for a fact: how many by the windows' runs, and examples of what is missing in the latest ones."""

    reason: str
    lines: int
    missing: tuple[str, ...]


def late_windows(connection: Connection, *, started_before: datetime) -> Count:
    """Windows that began before `started_before` and are not settled."""
    return _count(
        connection,
        "SELECT count(*), min(window_start) FROM settlement_window"
        " WHERE status IN ('open', 'settling') AND window_start < :before",
        before=started_before,
    )


def windows_to_recheck(connection: Connection) -> Count:
    """Settled windows that are to be looked at again: for late fills, missing facts that were loaded, or a cap that moved."""
    return _count(
        connection,
        "SELECT count(*), min(window_start) FROM settlement_window WHERE recheck AND status IN ('settled', 'incomplete')",
    )


def stuck_runs(connection: Connection, *, opened_before: datetime) -> Count:
    """Runs that were opened before `opened_before` and never closed."""
    return _count(
        connection, "SELECT count(*), min(opened_at) FROM run WHERE closed_at IS NULL AND opened_at < :before",
        before=opened_before,
    )  # fmt: skip


def waiting_events(connection: Connection) -> Count:
    """Events in the outbox that were not relayed."""
    return _count(connection, "SELECT count(*), min(occurred_at) FROM outbox WHERE relayed_at IS NULL")


def lagging_sources(connection: Connection, *, complete_before: datetime) -> list[tuple[str, datetime | None]]:
    """Sources and venues that are complete up to a time before `complete_before` only, or never said; the worst first."""
    marks = windows.watermarks(connection).items()
    lagging = [(name, mark) for name, mark in marks if mark is None or mark < complete_before]
    return sorted(lagging, key=lambda source: (source[1] is not None, source[1] or complete_before, source[0]))


def quarantined(connection: Connection) -> list[Quarantined]:
    """What is in quarantine, by kind."""
    rows = connection.execute(
        text(
            "SELECT kind, rows, file AS last_file, reason AS last_reason"
            " FROM (SELECT kind, count(*) AS rows, max(quarantine_id) AS quarantine_id FROM quarantine GROUP BY kind) k"
            " JOIN quarantine USING (quarantine_id, kind) ORDER BY kind"
        )
    )
    return [Quarantined(**row) for row in rows.mappings()]


def pending(connection: Connection, *, windows: int = 48, examples: int = 3) -> list[Pending]:
    """Pending lines by reason. `missing` is looked up in the `windows` latest windows that have any."""
    counted = connection.execute(
        text(
            "SELECT reason, sum(lines)::bigint AS lines FROM run_outcome WHERE status = 'pending'"
            " GROUP BY reason HAVING sum(lines) > 0 ORDER BY 2 DESC, 1"
        )
    ).all()
    missing: dict[str, list[str]] = {}
    if counted:
        for row in connection.execute(text(_MISSING), {"windows": windows, "examples": examples}):
            missing.setdefault(row.reason, []).append(row.fact)
    return [Pending(reason=row.reason, lines=row.lines, missing=tuple(missing.get(row.reason, ()))) for row in counted]


def balance_difference(connection: Connection) -> str | None:
    """Debits less credits over all balances, as text; None if they agree, which they always must."""
    difference = connection.execute(
        text(
            "SELECT sum(CASE normal_side WHEN 'debit' THEN balance_usdt ELSE -balance_usdt END)"
            " FROM balance JOIN ledger_account USING (account)"
        )
    ).scalar_one()
    return None if not difference else f"{difference:f}"


def broken_chains(connection: Connection) -> list[str]:
    """Chains whose head is not their last entry."""
    rows = connection.execute(
        text(
            "SELECT h.chain FROM chain_head h LEFT JOIN LATERAL"
            " (SELECT sequence, hash FROM entry e WHERE e.chain = h.chain ORDER BY sequence DESC LIMIT 1) last ON true"
            " WHERE h.sequence > 0 AND (last.sequence, last.hash) IS DISTINCT FROM (h.sequence, h.hash) ORDER BY 1"
        )
    )
    return list(rows.scalars())


def server_version(connection: Connection) -> str:
    """PostgreSQL's own words, such as `18.4`."""
    return str(connection.execute(text("SHOW server_version")).scalar_one()).split()[0]


_MISSING = """
WITH waiting AS (
    SELECT window_start FROM run_outcome JOIN run USING (run_id)
    WHERE status = 'pending' GROUP BY window_start HAVING sum(lines) > 0 ORDER BY window_start DESC LIMIT :windows
), fact AS (
    SELECT b.reason, count(*) AS lines, CASE b.reason
        WHEN 'TERMS_MISSING' THEN 'terms in force at ' || to_char(window_start, 'YYYY-MM-DD"T"HH24"h"')
        WHEN 'VIP_UNKNOWN' THEN 'VIP level of ' || l.venue || ' ' || l.account
        WHEN 'TIER_UNKNOWN' THEN 'a tier of the terms for ' || b.root
        WHEN 'INSTRUMENT_UNKNOWN' THEN 'instrument ' || f.instrument
        WHEN 'PRICE_MISSING' THEN 'price of ' || f.fee_currency || ' (or of what ' || f.instrument || ' is quoted in) at '
            || to_char(window_start, 'YYYY-MM-DD"T"HH24"h"')
        END AS fact
    FROM waiting JOIN current_line l USING (window_start) JOIN basis b USING (basis_id)
    JOIN fill f ON f.venue = l.venue AND f.account = l.account AND f.bill_id = l.bill_id
        AND f.executed_at >= window_start AND f.executed_at < window_start + interval '1 hour'
    WHERE b.status = 'pending' GROUP BY 1, 3
), ranked AS (
    SELECT reason, fact, row_number() OVER (PARTITION BY reason ORDER BY lines DESC, fact) AS rank FROM fact
)
SELECT reason, fact FROM ranked WHERE rank <= :examples ORDER BY reason, rank
"""


def _count(connection: Connection, statement: str, **parameters: object) -> Count:
    number, oldest = connection.execute(text(statement), parameters).one()
    return Count(number=number, oldest=oldest)
