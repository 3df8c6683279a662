-- Each payout is its payout_instructed entry, key by key, and its status is what was booked since.
WITH instructed AS (
    SELECT e.idempotency_key, e.entry_id, e.chain, e.run_id, a.payee, p.amount_usdt
    FROM entry e JOIN posting p USING (entry_id) JOIN ledger_account a USING (account)
    WHERE e.kind = 'payout_instructed' AND p.direction = 'credit'
),
ended AS (
    SELECT idempotency_key, string_agg(substring(kind FROM '^payout_(.*)$'), ' and ' ORDER BY kind) AS ending
    FROM entry WHERE kind IN ('payout_confirmed', 'payout_failed', 'payout_cancelled') GROUP BY idempotency_key
),
wrong AS (
    SELECT CASE WHEN i.entry_id IS NULL THEN format('payout %s (%s to %s) has no entry %s', o.payout_id, o.amount_usdt, o.payee, o.idempotency_key)
                WHEN o.payout_id IS NULL THEN format('entry %s instructs %s to %s and there is no payout %s', i.entry_id, i.amount_usdt, i.payee, i.idempotency_key)
                ELSE format('payout %s (%s to %s, chain %s) differs from its entry %s (%s to %s, chain %s)', o.payout_id,
                            o.amount_usdt, o.payee, o.chain, i.entry_id, i.amount_usdt, i.payee, i.chain) END AS finding
    FROM payout o FULL JOIN instructed i USING (idempotency_key)
    WHERE (o.payee, o.chain, o.run_id, o.amount_usdt) IS DISTINCT FROM (i.payee, i.chain, i.run_id, i.amount_usdt)
    UNION ALL
    SELECT format('payout %s (%s) is %s; the ledger says %s', o.payout_id, o.payee, o.status, coalesce(e.ending, 'in flight'))
    FROM payout o LEFT JOIN ended e USING (idempotency_key)
    WHERE e.ending IS DISTINCT FROM CASE WHEN o.status IN ('confirmed', 'failed', 'cancelled') THEN o.status END
)
SELECT examined, finding FROM (SELECT count(*) AS examined FROM payout) total LEFT JOIN wrong ON true
