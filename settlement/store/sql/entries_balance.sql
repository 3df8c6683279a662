-- Each entry has the legs it declares, they sum to zero, and no leg stands without its entry.
WITH legs AS (
    SELECT entry_id, count(*) AS legs, sum(CASE direction WHEN 'debit' THEN amount_usdt ELSE -amount_usdt END) AS difference
    FROM posting GROUP BY entry_id
),
wrong AS (
    SELECT format('entry %s (%s %s) has %s of %s legs, debits less credits %s',
                  e.entry_id, e.kind, e.idempotency_key, coalesce(l.legs, 0), e.legs, coalesce(l.difference, 0)) AS finding
    FROM entry e LEFT JOIN legs l USING (entry_id)
    WHERE l.legs IS DISTINCT FROM e.legs OR l.difference <> 0
    UNION ALL
    SELECT format('posting leg %s (%s %s %s) is of entry %s, which does not exist', p.leg, p.direction, p.amount_usdt, p.account, p.entry_id)
    FROM posting p WHERE NOT EXISTS (SELECT FROM entry e WHERE e.entry_id = p.entry_id)
)
SELECT examined, finding FROM (SELECT count(*) AS examined FROM entry) total LEFT JOIN wrong ON true
