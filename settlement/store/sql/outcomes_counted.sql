-- What the runs of a window counted, root by root, is what stands. A run that is open has shards to come.
WITH settled AS (
    SELECT window_start FROM settlement_window w
    WHERE NOT EXISTS (SELECT FROM run r WHERE r.window_start = w.window_start AND r.closed_at IS NULL)
),
counted AS (
    SELECT r.window_start, o.line_root, o.status, o.reason, sum(o.lines) AS lines, sum(o.commission_usdt) AS commission_usdt
    FROM run_outcome o JOIN run r USING (run_id) JOIN settled USING (window_start)
    GROUP BY r.window_start, o.line_root, o.status, o.reason
    HAVING sum(o.lines) <> 0 OR sum(o.commission_usdt) <> 0
),
standing AS (
    SELECT l.window_start, b.root AS line_root, b.status, b.reason, count(*) AS lines,
           coalesce(sum(l.commission_usdt), 0) AS commission_usdt
    FROM current_line l JOIN basis b USING (basis_id) JOIN settled USING (window_start)
    GROUP BY l.window_start, b.root, b.status, b.reason
),
compared AS (
    SELECT window_start, line_root, status, reason,
           coalesce(c.lines, 0) AS counted_lines, coalesce(c.commission_usdt, 0) AS counted_commission,
           coalesce(s.lines, 0) AS standing_lines, coalesce(s.commission_usdt, 0) AS standing_commission
    FROM counted c FULL JOIN standing s USING (window_start, line_root, status, reason)
),
wrong AS (
    SELECT format('window %s, root %s, %s: its runs counted %s lines, commission %s; its lines are %s, %s', window_start, line_root,
                  concat_ws(' ', status, nullif(reason, '')), counted_lines, counted_commission, standing_lines,
                  standing_commission) AS finding
    FROM compared WHERE (counted_lines, counted_commission) <> (standing_lines, standing_commission)
)
SELECT examined, finding FROM (SELECT count(*) AS examined FROM compared) total LEFT JOIN wrong ON true
