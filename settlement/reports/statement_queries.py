"""The SQL of a statement, all of it over the books as of the statement (settlement/reports/as_of.py).

Parameters: `payee`, its account `payable`, `start` and `end` of the period, `as_of`. An entry belongs to the period of its
`effective_at`: what was earned and corrected to that of its window, whenever it was recorded.
"""

from __future__ import annotations

from settlement.reports.as_of import AS_OF

_IN_PERIOD = "e.effective_at >= %(start)s AND e.effective_at < %(end)s"
_MOVED = "CASE p.direction WHEN 'credit' THEN p.amount_usdt ELSE -p.amount_usdt END"
_OF_PAYABLE = "entry e JOIN posting p ON p.entry_id = e.entry_id AND p.account = %(payable)s"

# What was payable before, what moved it, and what was payable after: the middle four make the difference of the others.
PAYABLE = f"""{AS_OF}
SELECT coalesce(sum(moved) FILTER (WHERE effective_at < %(start)s), 0) AS opening_usdt,
       coalesce(sum(moved) FILTER (WHERE in_period AND kind = 'earned'), 0) AS earned_usdt,
       coalesce(sum(moved) FILTER (WHERE in_period AND kind = 'correction'), 0) AS corrections_usdt,
       coalesce(sum(moved) FILTER (WHERE in_period AND kind IN ('payout_instructed', 'payout_failed', 'payout_cancelled')), 0)
           AS payouts_usdt,
       coalesce(sum(moved) FILTER (WHERE in_period AND kind IN ('held', 'released')), 0) AS holds_usdt,
       coalesce(sum(moved) FILTER (WHERE effective_at < %(end)s), 0) AS closing_usdt
FROM (SELECT e.kind, e.effective_at, {_IN_PERIOD} AS in_period, {_MOVED} AS moved FROM {_OF_PAYABLE}) movement
"""  # noqa: S608 - constants

BALANCES = f"""{AS_OF}
SELECT coalesce(sum(balance_usdt) FILTER (WHERE account LIKE '%%:payable'), 0) AS payable_usdt,
       coalesce(sum(balance_usdt) FILTER (WHERE account LIKE '%%:in_flight'), 0) AS in_flight_usdt,
       coalesce(sum(balance_usdt) FILTER (WHERE account LIKE '%%:held'), 0) AS held_usdt
FROM balance JOIN ledger_account a USING (account) WHERE a.payee = %(payee)s
"""  # noqa: S608 - constants

EARNED = f"""{AS_OF}
SELECT e.effective_at AS window_start, sum(p.amount_usdt) AS amount_usdt
FROM {_OF_PAYABLE} WHERE e.kind = 'earned' AND {_IN_PERIOD} GROUP BY e.effective_at ORDER BY e.effective_at
"""  # noqa: S608 - constants

CORRECTIONS = f"""{AS_OF}
SELECT e.effective_at AS window_start, {_MOVED} AS amount_usdt, e.recorded_at, e.run_id, r.plan_id, c.reason
FROM {_OF_PAYABLE} JOIN run r USING (run_id) LEFT JOIN recalculation c USING (plan_id)
WHERE e.kind = 'correction' AND {_IN_PERIOD} ORDER BY e.effective_at, e.entry_id
"""  # noqa: S608 - constants

PAYOUTS = f"""{AS_OF}
SELECT e.effective_at, e.kind, o.payout_id, {_MOVED} AS amount_usdt, o.status, o.rail, o.address
FROM {_OF_PAYABLE} JOIN payout o USING (idempotency_key)
WHERE e.kind IN ('payout_instructed', 'payout_failed', 'payout_cancelled') AND {_IN_PERIOD}
ORDER BY e.effective_at, e.entry_id
"""  # noqa: S608 - constants

HOLDS = f"""{AS_OF}
SELECT e.effective_at, e.kind, e.idempotency_key AS hold, {_MOVED} AS amount_usdt
FROM {_OF_PAYABLE} WHERE e.kind IN ('held', 'released') AND {_IN_PERIOD} ORDER BY e.effective_at, e.entry_id
"""  # noqa: S608 - constants

# The lines that stand, of whose commission the payee has a share.
LINES = f"""{AS_OF}
SELECT to_char(l.window_start AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, b.product, count(*) AS lines,
       sum(l.notional_usdt) AS volume_usdt, sum(l.net_fee_usdt) AS net_fee_usdt, sum(l.commission_usdt) AS commission_usdt,
       sum(part.amount_usdt) AS share_usdt
FROM current_line l JOIN basis b USING (basis_id) JOIN split s USING (split_id)
CROSS JOIN LATERAL split_commission(l.commission_usdt, s.payees, s.shares) part
WHERE l.window_start >= %(start)s AND l.window_start < %(end)s AND %(payee)s = ANY (s.payees) AND part.payee = %(payee)s
GROUP BY 1, 2 ORDER BY 1, 2
"""  # noqa: S608 - constants

WINDOWS = f"""{AS_OF}
SELECT (extract(epoch FROM %(end)s::timestamptz - %(start)s::timestamptz) / 3600)::bigint AS hours,
       (SELECT count(*) FROM settlement_window w WHERE w.window_start >= %(start)s AND w.window_start < %(end)s
        AND w.settled_at IS NOT NULL) AS settled
"""  # noqa: S608 - constants
