-- Every fill of a settled window has exactly one current line, every line its fill, its basis and its run. A window that
-- waits for a supplementary run, or has a run open, may still lack lines.
WITH settled AS (
    SELECT w.window_start FROM settlement_window w
    WHERE w.status IN ('settled', 'incomplete') AND NOT w.recheck
      AND NOT EXISTS (SELECT FROM run r WHERE r.window_start = w.window_start AND r.closed_at IS NULL)
),
wrong AS (
    SELECT format('fill %s %s %s of window %s has no line', f.venue, f.account, f.bill_id, s.window_start) AS finding
    FROM fill f JOIN settled s ON s.window_start = date_trunc('hour', f.executed_at, 'UTC')
    WHERE NOT EXISTS (
        SELECT FROM line l
        WHERE l.window_start = s.window_start AND l.venue = f.venue AND l.account = f.account AND l.bill_id = f.bill_id
    )
    UNION ALL
    SELECT format('fill %s %s %s of window %s has %s current lines', venue, account, bill_id, window_start, count(*))
    FROM current_line GROUP BY window_start, venue, account, bill_id HAVING count(*) > 1
    UNION ALL
    SELECT format('line %s %s %s (revision %s) of window %s has no fill', l.venue, l.account, l.bill_id, l.revision, l.window_start)
    FROM line l
    WHERE NOT EXISTS (
        SELECT FROM fill f
        WHERE f.venue = l.venue AND f.account = l.account AND f.bill_id = l.bill_id
          AND date_trunc('hour', f.executed_at, 'UTC') = l.window_start
    )
    UNION ALL
    SELECT format('line %s %s %s (revision %s) of window %s has no basis %s', l.venue, l.account, l.bill_id, l.revision, l.window_start, l.basis_id)
    FROM line l WHERE NOT EXISTS (SELECT FROM basis b WHERE b.basis_id = l.basis_id)
    UNION ALL
    SELECT format('line %s %s %s (revision %s) of window %s names run %s, which did not settle that window', l.venue,
                  l.account, l.bill_id, l.revision, l.window_start, l.run_id)
    FROM line l WHERE NOT EXISTS (SELECT FROM run r WHERE r.run_id = l.run_id AND r.window_start = l.window_start)
)
SELECT examined, finding FROM (SELECT count(*) AS examined FROM line) total LEFT JOIN wrong ON true
