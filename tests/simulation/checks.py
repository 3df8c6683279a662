"""What must hold after every run, however it went: each check names what is wrong.

1. `settlement ledger verify` finds nothing, every line rated again.
2. Everything has come to rest: no run is open, no window waits, no event waits.
3. The outbox says what was done, once: an event for each run that was opened and for each that was closed, for each
   payout and each load; and each was handed on.
4. Entries add up to zero, shares add up to commissions, and of what a payee was ever owed nothing was paid twice.
5. Every fill has a line that stands, and every line that stands has a fill.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import psycopg

from settlement.pipeline.audit import verify_ledger
from settlement.store.database import Database

# Each query names what is wrong, a row each.
QUERIES = {
    "a run is open": "SELECT run_id FROM run WHERE closed_at IS NULL",
    "a window waits": "SELECT window_start, status, recheck FROM settlement_window WHERE recheck OR status IN ('open', 'settling')",
    "a shard is not settled": "SELECT run_id, root FROM run_shard WHERE settled_at IS NULL",
    "keys of a shard are left": "SELECT DISTINCT run_id, root FROM shard_key",
    "an event waits": "SELECT type, subject FROM outbox WHERE relayed_at IS NULL",
    "a run and its events window.due": """
        SELECT run_id, count(event_id) FROM (
            SELECT DISTINCT run_id FROM run_shard) opened
        FULL JOIN (SELECT (data->>'run_id')::bigint AS run_id, event_id FROM outbox WHERE type = 'window.due') due USING (run_id)
        GROUP BY run_id HAVING count(event_id) <> 1
    """,
    "a run and its events window.settled": """
        SELECT run_id, count(event_id) FROM run
        FULL JOIN (SELECT (data->>'run_id')::bigint AS run_id, event_id FROM outbox WHERE type = 'window.settled') settled
            USING (run_id)
        GROUP BY run_id HAVING count(event_id) <> 1
    """,
    "a payout and its events payout.instructed": """
        SELECT payout_id, payee, amount_usdt, count(event_id) FROM payout
        FULL JOIN (SELECT (data->>'payout_id')::bigint AS payout_id, event_id FROM outbox WHERE type = 'payout.instructed') made
            USING (payout_id)
        GROUP BY payout_id, payee, amount_usdt HAVING count(event_id) <> 1
    """,
    "a load of fills and its events fills.ingested": """
        SELECT load_id, count(event_id) FROM (SELECT load_id FROM load WHERE kind = 'fills') loaded
        FULL JOIN (SELECT (data->>'load_id')::bigint AS load_id, event_id FROM outbox WHERE type = 'fills.ingested') said
            USING (load_id)
        GROUP BY load_id HAVING count(event_id) <> 1
    """,
    "an entry does not add up to zero": """
        SELECT entry_id, sum(CASE direction WHEN 'debit' THEN amount_usdt ELSE -amount_usdt END) AS sum
        FROM posting GROUP BY GROUPING SETS ((entry_id), ())
        HAVING sum(CASE direction WHEN 'debit' THEN amount_usdt ELSE -amount_usdt END) <> 0
    """,
    "shares do not add up to the commission": """
        SELECT l.venue, l.account, l.bill_id, l.commission_usdt, sum(s.amount_usdt)
        FROM line l LEFT JOIN line_share s USING (window_start, venue, account, bill_id, revision)
        GROUP BY l.venue, l.account, l.bill_id, l.revision, l.commission_usdt
        HAVING coalesce(sum(s.amount_usdt), 0) <> coalesce(l.commission_usdt, 0)
    """,
    "what stands in the lines is not what was booked": """
        SELECT payee, shared.usdt AS of_lines, booked.usdt AS of_entries
        FROM (
            SELECT payee, sum(amount_usdt) AS usdt
            FROM current_line JOIN line_share USING (window_start, venue, account, bill_id, revision) GROUP BY payee
        ) shared
        FULL JOIN (
            SELECT payee, sum(CASE direction WHEN 'credit' THEN amount_usdt ELSE -amount_usdt END) AS usdt
            FROM entry JOIN posting USING (entry_id) JOIN ledger_account USING (account)
            WHERE kind IN ('earned', 'correction') AND payee IS NOT NULL GROUP BY payee
        ) booked USING (payee)
        WHERE coalesce(shared.usdt, 0) <> coalesce(booked.usdt, 0)
    """,
    "paid, in flight and owed are not what was earned": """
        SELECT payee, booked.usdt AS booked, paid.usdt AS instructed, owed.usdt AS owed
        FROM (
            SELECT payee, sum(CASE direction WHEN 'credit' THEN amount_usdt ELSE -amount_usdt END) AS usdt
            FROM entry JOIN posting USING (entry_id) JOIN ledger_account USING (account)
            WHERE kind IN ('earned', 'correction') AND payee IS NOT NULL GROUP BY payee
        ) booked
        LEFT JOIN (
            SELECT payee, sum(amount_usdt) AS usdt FROM payout WHERE status NOT IN ('failed', 'cancelled') GROUP BY payee
        ) paid USING (payee)
        LEFT JOIN (
            SELECT payee, sum(balance_usdt) AS usdt FROM balance JOIN ledger_account USING (account)
            WHERE account ~ ':(payable|held)$' GROUP BY payee
        ) owed USING (payee)
        WHERE booked.usdt <> coalesce(paid.usdt, 0) + coalesce(owed.usdt, 0)
    """,
    "a fill and its lines that stand": """
        SELECT venue, account, bill_id, count(*) FROM fill FULL JOIN current_line l USING (venue, account, bill_id)
        GROUP BY venue, account, bill_id HAVING count(*) <> 1 OR count(executed_at) <> 1 OR count(l.revision) <> 1
    """,
}
NEVER_HANDED_ON = "SELECT event_id, type, subject FROM outbox WHERE event_id <> ALL(%s)"
ROWS_MAX = 5


def wrong(database: Database, owner: psycopg.Connection, *, acted: set[UUID]) -> list[str]:
    """Everything that does not hold."""
    return [*_audited(database), *_queried(owner), *_never_handed_on(owner, acted)]


def _audited(database: Database) -> Iterator[str]:
    for check in verify_ledger(database, sample=None).checks:
        yield from (f"{check.name}: {finding}" for finding in check.findings[:ROWS_MAX])


def _queried(owner: psycopg.Connection) -> Iterator[str]:
    for what, query in QUERIES.items():
        rows = owner.execute(query).fetchmany(ROWS_MAX)
        yield from (f"{what}: {', '.join(map(str, row))}" for row in rows)


def _never_handed_on(owner: psycopg.Connection, acted: set[UUID]) -> Iterator[str]:
    for event_id, kind, subject in owner.execute(NEVER_HANDED_ON, [list(acted)]).fetchmany(ROWS_MAX):
        yield f"an event was never handed on: {event_id}, {kind}, {subject}"
