-- Every line that a monthly cap limits earns min(what its net fee and rate give, what the cap leaves), counted anew over the
-- lines that stand, in order of execution; it says so if that is less; and what the cap excluded had nothing left. Lines that
-- are still to be looked at again are left out. The cap is that known when the line was settled, or as corrected since: such
-- a correction waits for a recalculation, or the line came out the same by it. Terms stand in rerate_cap.
WITH at_cap_level AS (
    SELECT DISTINCT venue, account FROM vip_level WHERE level IN (SELECT unnest(levels) FROM rerate_cap)
),
standing AS MATERIALIZED (
    SELECT row_number() OVER () AS n, l.window_start, l.venue, l.account, l.bill_id, l.revision, b.root, b.reason,
           l.commission_usdt, round_half_even(l.net_fee_usdt * b.rate) AS would_earn,
           'CAP_REMAINDER' = ANY (string_to_array(b.flags, ';')) AS is_remainder, f.executed_at,
           coalesce(s.facts_at, r.opened_at) AS known_at
    FROM current_line l
    JOIN basis b USING (basis_id)
    JOIN run r USING (run_id)
    LEFT JOIN run_shard s ON s.run_id = l.run_id AND s.root = b.root
    JOIN fill f ON f.venue = l.venue AND f.account = l.account AND f.bill_id = l.bill_id
     AND f.executed_at >= l.window_start AND f.executed_at < l.window_start + interval '1 hour'
    WHERE (b.status = 'earned' OR b.reason = 'CAP_REACHED')
      AND (b.reason = 'CAP_REACHED' OR b.flags LIKE '%CAP_REMAINDER%'
           OR (l.venue, l.account) IN (SELECT venue, account FROM at_cap_level))
),
counted AS MATERIALIZED (
    SELECT *, coalesce(sum(commission_usdt) OVER (
        PARTITION BY root, venue, account, date_trunc('month', window_start, 'UTC') ORDER BY executed_at, bill_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS earned_before
    FROM standing
),

-- By what each line may have been limited: as known when it was settled, and at each correction since.
loaded AS (SELECT load_id, loaded_at FROM load),
known_terms AS MATERIALIZED (
    SELECT t.terms_id, t.effective_from, l.loaded_at AS known_from, coalesce(r.loaded_at, 'infinity') AS known_to
    FROM program_terms t JOIN loaded l USING (load_id) LEFT JOIN loaded r ON r.load_id = t.replaced_by_load
),
known_vip AS MATERIALIZED (
    SELECT v.venue, v.account, v.level, v.effective_from, l.loaded_at AS known_from, coalesce(r.loaded_at, 'infinity') AS known_to
    FROM vip_level v JOIN loaded l USING (load_id) LEFT JOIN loaded r ON r.load_id = v.replaced_by_load
    WHERE (v.venue, v.account) IN (SELECT venue, account FROM counted)
),
known_own AS MATERIALIZED (
    SELECT o.broker_id, o.value, o.effective_from, o.effective_to, l.loaded_at AS known_from,
           coalesce(r.loaded_at, 'infinity') AS known_to
    FROM broker_override o JOIN loaded l USING (load_id) LEFT JOIN loaded r ON r.load_id = o.replaced_by_load
    WHERE o.kind = 'cap'
),
moment AS MATERIALIZED (
    SELECT n, known_at FROM counted
    UNION
    SELECT c.n, v.known_from FROM counted c JOIN known_vip v USING (venue, account)
    WHERE v.effective_from <= c.executed_at AND v.known_from > c.known_at
    UNION
    SELECT c.n, t.known_from FROM counted c JOIN known_terms t
      ON t.effective_from <= c.executed_at AND t.known_from > c.known_at
    UNION
    SELECT c.n, o.known_from FROM counted c JOIN known_own o ON o.broker_id = c.root
    WHERE o.effective_from <= c.executed_at AND o.known_from > c.known_at
),
asked AS MATERIALIZED (
    SELECT m.n, m.known_at, c.root, c.venue, c.account, c.executed_at FROM moment m JOIN counted c USING (n)
),
terms_in_force AS (
    SELECT DISTINCT ON (a.n, a.known_at) a.n, a.known_at, t.terms_id
    FROM asked a JOIN known_terms t ON t.effective_from <= a.executed_at AND t.known_from <= a.known_at AND a.known_at < t.known_to
    ORDER BY a.n, a.known_at, t.effective_from DESC
),
vip_in_force AS (
    SELECT DISTINCT ON (a.n, a.known_at) a.n, a.known_at, v.level
    FROM asked a JOIN known_vip v USING (venue, account)
    WHERE v.effective_from <= a.executed_at AND v.known_from <= a.known_at AND a.known_at < v.known_to
    ORDER BY a.n, a.known_at, v.effective_from DESC
),
own_in_force AS (
    SELECT n, known_at, value FROM (
        SELECT DISTINCT ON (a.n, a.known_at) a.n, a.known_at, o.value, a.executed_at, o.effective_to
        FROM asked a JOIN known_own o ON o.broker_id = a.root
        WHERE o.effective_from <= a.executed_at AND o.known_from <= a.known_at AND a.known_at < o.known_to
        ORDER BY a.n, a.known_at, o.effective_from DESC
    ) latest WHERE effective_to IS NULL OR executed_at < effective_to
),
may_earn AS (
    SELECT c.n, capped.cap, CASE WHEN capped.cap IS NULL THEN c.would_earn
                                 ELSE least(c.would_earn, greatest(capped.cap - c.earned_before, 0)) END AS earns
    FROM asked a JOIN counted c ON c.n = a.n
    LEFT JOIN terms_in_force t ON t.n = a.n AND t.known_at = a.known_at
    LEFT JOIN vip_in_force v ON v.n = a.n AND v.known_at = a.known_at
    LEFT JOIN own_in_force o ON o.n = a.n AND o.known_at = a.known_at
    LEFT JOIN rerate_cap r ON r.terms_id = t.terms_id AND v.level = ANY (r.levels)
    CROSS JOIN LATERAL (SELECT CASE WHEN r.terms_id IS NOT NULL THEN coalesce(o.value, r.monthly_usdt) END AS cap) capped
),
told AS (
    SELECT n, string_agg(DISTINCT coalesce(trim_scale(cap)::text, 'none'), ' or ') AS caps FROM may_earn GROUP BY n
),
right_lines AS (
    SELECT c.n FROM counted c JOIN may_earn m ON m.n = c.n
    WHERE CASE WHEN c.reason = 'CAP_REACHED' THEN c.earned_before >= m.cap
               ELSE c.commission_usdt = m.earns AND c.is_remainder = (m.earns < c.would_earn) AND (m.earns > 0 OR c.would_earn = 0)
          END
),
wrong AS (
    SELECT format('line %s %s %s (revision %s) of window %s earns %s%s; in its month and tree %s was earned before, and the cap is %s',
                  c.venue, c.account, c.bill_id, c.revision, c.window_start, coalesce(trim_scale(c.commission_usdt)::text, 'nothing'),
                  CASE WHEN c.is_remainder THEN ' as a remainder' ELSE '' END, trim_scale(c.earned_before), t.caps) AS finding
    FROM counted c JOIN told t ON t.n = c.n
    WHERE NOT EXISTS (SELECT FROM right_lines r WHERE r.n = c.n)
      AND NOT EXISTS (
        SELECT FROM cap_recheck k
        WHERE (k.window_start, k.root, k.venue, k.account) = (c.window_start, c.root, c.venue, c.account))
)
SELECT examined, finding FROM (SELECT count(*) AS examined FROM counted) total LEFT JOIN wrong ON true
