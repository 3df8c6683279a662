-- What each run changed of a client's earning activity is what its lines give less what the lines they replaced gave. A run
-- that is open has shards to come: a line that moves from one root to another is counted by both.
WITH closed AS (
    SELECT run_id FROM run WHERE closed_at IS NOT NULL
),
given AS (
    SELECT l.run_id, b.root, l.venue, l.account, b.broker_id, b.product, 1 AS earned_lines,
           l.notional_usdt AS volume_usdt, l.commission_usdt
    FROM line l JOIN basis b USING (basis_id)
    WHERE b.status = 'earned'
    UNION ALL
    SELECT later.run_id, b.root, later.venue, later.account, b.broker_id, b.product, -1, -replaced.notional_usdt,
           -replaced.commission_usdt
    FROM line later
    JOIN LATERAL (
        SELECT * FROM line l
        WHERE (l.window_start, l.venue, l.account, l.bill_id) = (later.window_start, later.venue, later.account, later.bill_id)
          AND l.revision < later.revision
        ORDER BY l.revision DESC LIMIT 1
    ) replaced ON true
    JOIN basis b ON b.basis_id = replaced.basis_id
    WHERE later.revision > 0 AND b.status = 'earned'
),
due AS (
    SELECT run_id, root, venue, account, broker_id, product, sum(earned_lines) AS earned_lines,
           sum(volume_usdt) AS volume_usdt, sum(commission_usdt) AS commission_usdt
    FROM given JOIN closed USING (run_id)
    GROUP BY run_id, root, venue, account, broker_id, product
),
kept AS (
    SELECT a.* FROM activity a JOIN closed USING (run_id)
),
compared AS (
    SELECT run_id, root, venue, account, broker_id, product,
           coalesce(k.earned_lines, 0) AS kept_lines, coalesce(d.earned_lines, 0) AS due_lines,
           coalesce(k.volume_usdt, 0) AS kept_volume, coalesce(d.volume_usdt, 0) AS due_volume,
           coalesce(k.commission_usdt, 0) AS kept_commission, coalesce(d.commission_usdt, 0) AS due_commission
    FROM due d FULL JOIN kept k USING (run_id, root, venue, account, broker_id, product)
),
wrong AS (
    SELECT format('run %s, root %s, client %s %s of %s, %s: kept %s lines, volume %s, commission %s; its lines give %s, %s, %s',
                  run_id, root, venue, account, broker_id, product, kept_lines, kept_volume, kept_commission, due_lines,
                  due_volume, due_commission) AS finding
    FROM compared
    WHERE (kept_lines, kept_volume, kept_commission) <> (due_lines, due_volume, due_commission)
    UNION ALL
    SELECT format('run %s, root %s, client %s %s of %s, %s: kept for window %s, which the run did not settle', a.run_id, a.root,
                  a.venue, a.account, a.broker_id, a.product, a.window_start)
    FROM activity a JOIN run r USING (run_id) WHERE a.window_start <> r.window_start
)
SELECT examined, finding FROM (SELECT count(*) AS examined FROM compared) total LEFT JOIN wrong ON true
