-- Each balance is the sum of its postings, per account and chain.
WITH added AS (
    SELECT p.account, e.chain, sum(CASE WHEN p.direction = a.normal_side THEN p.amount_usdt ELSE -p.amount_usdt END) AS amount_usdt
    FROM posting p JOIN entry e USING (entry_id) JOIN ledger_account a ON a.account = p.account
    GROUP BY p.account, e.chain
),
wrong AS (
    SELECT format('account %s in chain %s: the balance says %s, its postings add up to %s', account, chain,
                  coalesce(b.balance_usdt::text, 'nothing'), coalesce(s.amount_usdt, 0)) AS finding
    FROM added s FULL JOIN balance b USING (account, chain)
    WHERE coalesce(s.amount_usdt, 0) <> coalesce(b.balance_usdt, 0)
)
SELECT examined, finding FROM (SELECT count(*) AS examined FROM balance) total LEFT JOIN wrong ON true
