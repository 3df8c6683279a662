-- What each run booked per payee (earned and corrections) is what its lines give less what the lines they replaced gave.
WITH given AS (
    SELECT run_id, payee, amount_usdt FROM line_share
    UNION ALL
    SELECT later.run_id, share.payee, -share.amount_usdt
    FROM line later
    JOIN LATERAL (
        SELECT max(l.revision) AS revision FROM line l
        WHERE (l.window_start, l.venue, l.account, l.bill_id) = (later.window_start, later.venue, later.account, later.bill_id)
          AND l.revision < later.revision
    ) replaced ON true
    JOIN line_share share
      ON (share.window_start, share.venue, share.account, share.bill_id, share.revision)
       = (later.window_start, later.venue, later.account, later.bill_id, replaced.revision)
    WHERE later.revision > 0
),
due AS (
    SELECT run_id, payee, sum(amount_usdt) AS amount_usdt FROM given GROUP BY run_id, payee
),
booked AS (
    SELECT e.run_id, a.payee, sum(CASE p.direction WHEN 'credit' THEN p.amount_usdt ELSE -p.amount_usdt END) AS amount_usdt
    FROM entry e JOIN posting p USING (entry_id) JOIN ledger_account a USING (account)
    WHERE e.kind IN ('earned', 'correction') AND a.payee IS NOT NULL
    GROUP BY e.run_id, a.payee
),
compared AS (
    SELECT run_id, payee, coalesce(b.amount_usdt, 0) AS booked, coalesce(d.amount_usdt, 0) AS due
    FROM due d FULL JOIN booked b USING (run_id, payee)
),
wrong AS (
    SELECT format('run %s, payee %s: booked %s, its lines give %s', run_id, payee, booked, due) AS finding
    FROM compared WHERE booked <> due
)
SELECT examined, finding FROM (SELECT count(*) AS examined FROM compared) total LEFT JOIN wrong ON true
