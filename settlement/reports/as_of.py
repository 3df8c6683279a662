"""The books as they stood at a recorded moment T.

1. A line, and what its run came to, stand from the moment at which their shard was recorded; of several revisions the
   latest that was recorded by T.
2. An entry stands from when it was recorded; a balance is the sum of the entries that stand.
3. A payout stands from its entry on, with the status that it had at T.
4. A fact stands from its load on, until a load that replaces it; a review from when it was made.
5. A window is what its runs had come to by T.

`AS_OF` puts each of these in the place of the table of the same name: the query behind it is the one that reads the
present.
"""

from __future__ import annotations

from datetime import datetime

from settlement.errors import Refused
from settlement.reports.plain_text import instant
from settlement.store import loads, recording
from settlement.store.database import Database

# Loads of facts happen one after the other, so the order of their numbers is the order of their times.
_STOOD = """load_id <= (SELECT load_id FROM last_load)
    AND (replaced_by_load IS NULL OR replaced_by_load > (SELECT load_id FROM last_load))"""

# Within a WITH, a name means the table until its own query has ended. What others are made of comes after them.
AS_OF = f"""
WITH last_load AS (
    SELECT coalesce(max(load_id), 0) AS load_id FROM load WHERE kind <> 'fills' AND loaded_at <= %(as_of)s
), broker AS (
    SELECT broker_id, parent_id, NULL AS replaced_by_load FROM broker WHERE {_STOOD}
), tier_override AS (
    SELECT broker_id, tier, effective_from, effective_to, reason, NULL AS replaced_by_load FROM tier_override WHERE {_STOOD}
), tier_review AS (
    SELECT * FROM tier_review WHERE reviewed_at <= %(as_of)s
), current_line AS (
    SELECT l.* FROM line l JOIN basis b USING (basis_id) JOIN run_shard s ON s.run_id = l.run_id AND s.root = b.root
    WHERE s.settled_at <= %(as_of)s AND NOT EXISTS (
        SELECT FROM line n JOIN basis b USING (basis_id) JOIN run_shard s ON s.run_id = n.run_id AND s.root = b.root
        WHERE s.settled_at <= %(as_of)s AND n.revision > 0 AND n.revision > l.revision
          AND n.window_start = l.window_start AND n.venue = l.venue AND n.account = l.account AND n.bill_id = l.bill_id
    )
), settlement_window AS (
    SELECT w.window_start, max(r.closed_at) AS settled_at,
           CASE WHEN bool_or(r.incomplete AND r.closed_at IS NOT NULL) THEN 'incomplete'
                WHEN count(r.closed_at) > 0 THEN 'settled'
                WHEN count(r.run_id) > 0 THEN 'settling' ELSE 'open' END AS status
    FROM settlement_window w LEFT JOIN (
        SELECT window_start, run_id, incomplete, CASE WHEN closed_at <= %(as_of)s THEN closed_at END AS closed_at
        FROM run WHERE opened_at <= %(as_of)s
    ) r USING (window_start)
    WHERE w.created_at <= %(as_of)s
    GROUP BY w.window_start
), run AS (
    SELECT * FROM run WHERE opened_at <= %(as_of)s
), run_outcome AS (
    SELECT o.* FROM run_outcome o JOIN run_shard s USING (run_id, root) WHERE s.settled_at <= %(as_of)s
), payout AS (
    SELECT p.payout_id, p.payee, p.amount_usdt, p.rail, p.address, p.created_at, p.window_start, p.idempotency_key,
           coalesce((SELECT c.from_status FROM payout_change c WHERE c.payout_id = p.payout_id AND c.changed_at > %(as_of)s
                     ORDER BY c.change_id LIMIT 1), p.status) AS status
    FROM payout p
    JOIN entry e ON e.kind = 'payout_instructed' AND e.idempotency_key = p.idempotency_key AND e.recorded_at <= %(as_of)s
), balance AS (
    SELECT p.account, sum(CASE WHEN p.direction = a.normal_side THEN p.amount_usdt ELSE -p.amount_usdt END) AS balance_usdt
    FROM entry e JOIN posting p USING (entry_id) JOIN ledger_account a USING (account)
    WHERE e.recorded_at <= %(as_of)s GROUP BY p.account
), entry AS (
    SELECT * FROM entry WHERE recorded_at <= %(as_of)s
)"""  # noqa: S608 - constants of this module


def await_recorded(database: Database, as_of: datetime) -> None:
    """Waits until what was recorded by `as_of` is committed, so that the same moment always shows the same.

    Raises Refused for a moment that is still to come.
    """
    with database.transaction() as connection:
        loads.keep_out(connection)
        now = recording.quiet_moment(connection)
    if as_of > now:
        raise Refused(
            f"{instant(as_of)} is still to come",
            where="--as-of",
            mend=f"nothing is recorded as of later than {instant(now)}; leave it out for what stands now",
        )
