"""What a monthly cap needs to know of the books, and which settled windows it has to look at again.

What was earned is summed from the table `activity`, which each shard writes in its transaction. A root's shards follow each
other under the root's lock, so a shard sees all that was earned in its tree before, and whoever is noted in `cap_recheck`
for one of its windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from settlement.rules.cap import Client
from settlement.rules.limits import Account
from settlement.store.runs import Run

_MONTH = "date_trunc('month', CAST(:window_start AS timestamptz), 'UTC')"
_EARNED = f"""
    SELECT root, venue, account, sum(commission_usdt) AS commission_usdt
    FROM unnest(CAST(:venues AS text[]), CAST(:accounts AS text[])) AS client (venue, account)
    JOIN (
        SELECT root, venue, account, window_start, commission_usdt FROM activity
        UNION ALL
        SELECT root, venue, account, window_start, commission_usdt FROM recalculation_activity WHERE plan_id = :plan_id
    ) earned USING (venue, account)
    WHERE window_start >= {_MONTH} AND window_start < :window_start
    GROUP BY root, venue, account
"""  # noqa: S608 - constants of this module

# Windows of the same month that come after the run's and in which its root has a settled shard. A recalculation has planned
# its own windows one after the other: those are right as they are planned. What comes late for one of them since is settled
# after the root's earlier shards, those of the recalculation too.
_LATER = f"""
    SELECT DISTINCT later.window_start FROM run later JOIN run_shard s USING (run_id)
    WHERE s.root = :root AND s.settled_at IS NOT NULL
      AND later.window_start > :window_start AND later.window_start < {_MONTH} + interval '1 month'
      AND NOT EXISTS (
          SELECT FROM recalculation_window p WHERE p.plan_id = :plan_id AND p.window_start = later.window_start
          AND (p.roots IS NULL OR :root = ANY (p.roots)))
"""  # noqa: S608 - constants of this module
# Of the accounts that ever had one of these levels, those whose sum the run has changed; and in which later windows they
# have lines that earn, or that the cap excluded.
_TO_RECHECK = f"""
    WITH later AS MATERIALIZED ({_LATER}),
    moved AS MATERIALIZED (
        SELECT venue, account FROM activity a
        WHERE run_id = :run_id AND root = :root AND EXISTS (
            SELECT FROM vip_level v WHERE v.venue = a.venue AND v.account = a.account AND v.level = ANY (:levels))
        GROUP BY venue, account HAVING sum(commission_usdt) <> 0
    ),
    stopping AS MATERIALIZED (
        SELECT DISTINCT window_start FROM later JOIN run USING (window_start) JOIN run_outcome o USING (run_id)
        WHERE o.line_root = :root AND o.reason = 'CAP_REACHED'
    )
    SELECT window_start, venue, account
    FROM moved JOIN activity a USING (venue, account) JOIN later USING (window_start) WHERE a.root = :root
    UNION
    SELECT window_start, venue, account FROM stopping CROSS JOIN moved CROSS JOIN LATERAL (
        -- LIMIT: looked up in the lines' key, account by account, not in all lines of the month.
        SELECT FROM line l JOIN basis b USING (basis_id)
        WHERE l.window_start = stopping.window_start AND l.venue = moved.venue AND l.account = moved.account
          AND b.root = :root AND b.reason = 'CAP_REACHED' LIMIT 1
    ) stopped
"""  # noqa: S608 - constants of this module


def earned_before(
    connection: Connection, window_start: datetime, accounts: Iterable[Account], *, plan_id: int | None = None
) -> dict[Client, Decimal]:
    """What these accounts earned in each tree in the windows of the month before this one, in USDT.

    With `plan_id`, as it would be once that recalculation is posted, as far as it is planned.
    """
    parameters = {**_columns(accounts), "window_start": window_start, "plan_id": plan_id}
    rows = connection.execute(text(_EARNED), parameters)
    return {(row.root, row.venue, row.account): row.commission_usdt for row in rows}


def accounts_of_shard(connection: Connection, run_id: int, root: str) -> frozenset[Account]:
    """The accounts whose fills a shard reads."""
    query = text("SELECT DISTINCT venue, account FROM shard_key WHERE run_id = :run_id AND root = :root")
    return frozenset((row.venue, row.account) for row in connection.execute(query, {"run_id": run_id, "root": root}))


def to_recheck(connection: Connection, window_start: datetime) -> frozenset[Client]:
    """Who is to be looked at again in a window."""
    query = text("SELECT root, venue, account FROM cap_recheck WHERE window_start = :window_start")
    rows = connection.execute(query, {"window_start": window_start})
    return frozenset((row.root, row.venue, row.account) for row in rows)


def forget(connection: Connection, window_start: datetime, clients: Iterable[Client]) -> None:
    """These have been looked at in a window, and nothing changes.

    Call it under the window's row lock, taken before they were looked at: who notes somebody anew waits for it.
    """
    chosen = sorted(clients)
    connection.execute(
        text("""
            DELETE FROM cap_recheck USING unnest(CAST(:roots AS text[]), CAST(:venues AS text[]), CAST(:accounts AS text[]))
                AS client (root, venue, account)
            WHERE cap_recheck.window_start = :window_start AND cap_recheck.root = client.root
              AND cap_recheck.venue = client.venue AND cap_recheck.account = client.account
        """),
        {
            "window_start": window_start,
            "roots": [root for root, _, _ in chosen],
            **_columns((venue, account) for _, venue, account in chosen),
        },
    )


def forget_shard(connection: Connection, run: Run, root: str) -> None:
    """A shard has looked at everybody whose fills it reads."""
    connection.execute(
        text("""
            DELETE FROM cap_recheck c USING shard_key k
            WHERE c.window_start = :window_start AND c.root = :root AND k.run_id = :run_id AND k.root = c.root
              AND k.venue = c.venue AND k.account = c.account
        """),
        {"window_start": run.window_start, "run_id": run.run_id, "root": root},
    )


def recheck_later(connection: Connection, run: Run, root: str, *, levels: Sequence[int]) -> None:
    """Has later windows of the month looked at again for whom a shard has changed the sum that a cap counts.

    `levels` are the VIP levels that any cap limits. Call it last in a transaction: windows are locked, oldest first, and
    before anybody is noted, so that a run which is being opened has seen the note or is waited for.
    """
    values: dict[str, Any] = {
        "run_id": run.run_id,
        "window_start": run.window_start,
        "plan_id": run.plan_id,
        "root": root,
        "levels": list(levels),
    }
    if connection.execute(text(f"{_LATER} LIMIT 1"), values).first() is None:
        return
    found = [tuple(row) for row in connection.execute(text(_TO_RECHECK), values)]
    if not found:
        return
    windows = {"windows": sorted({window_start for window_start, _, _ in found})}
    for statement in (
        "SELECT FROM settlement_window WHERE window_start = ANY (:windows) ORDER BY window_start FOR NO KEY UPDATE",
        "UPDATE settlement_window SET recheck = true WHERE window_start = ANY (:windows)",
    ):
        connection.execute(text(statement), windows)
    connection.execute(
        text("""
            INSERT INTO cap_recheck (window_start, root, venue, account)
            SELECT window_start, :root, venue, account
            FROM unnest(CAST(:windows AS timestamptz[]), CAST(:venues AS text[]), CAST(:accounts AS text[]))
                AS client (window_start, venue, account)
            ON CONFLICT DO NOTHING
        """),
        {
            "root": root,
            "windows": [window_start for window_start, _, _ in found],
            **_columns((venue, account) for _, venue, account in found),
        },
    )


def _columns(accounts: Iterable[Account]) -> dict[str, list[str]]:
    chosen = list(accounts)
    return {"venues": [venue for venue, _ in chosen], "accounts": [account for _, account in chosen]}
