"""The SQL of the brokers' performance: one query a figure, each for every broker of the tree as it stands at `:at`.

A broker stands at an instant by its row in force then; one that has ended stands by itself, and so does whoever is still
below it. `below` pairs each broker with those of its subtree, itself included. What activity says is the sum over runs.
"""

from __future__ import annotations

STANDING = """
WITH RECURSIVE latest AS (
    SELECT DISTINCT ON (broker_id) broker_id, name, parent_id, share, status, (effective_to <= :at) IS TRUE AS ended
    FROM broker WHERE replaced_by_load IS NULL AND effective_from <= :at
    ORDER BY broker_id, effective_from DESC
), standing AS (
    SELECT l.*, p.broker_id AS above FROM latest l
    LEFT JOIN latest p ON p.broker_id = l.parent_id AND NOT p.ended AND NOT l.ended
), below AS (
    SELECT broker_id AS top, broker_id FROM standing
    UNION
    SELECT b.top, s.broker_id FROM below b JOIN standing s ON s.above = b.broker_id
)
"""

BROKERS = f"""
{STANDING}
SELECT broker_id, name, above, share, CASE WHEN ended THEN 'ended' ELSE status END AS status FROM standing
ORDER BY broker_id
"""  # noqa: S608 - constants of this module

# Of the month: volume and commission of the subtree, and its clients who earn.
ACTIVITY = f"""
{STANDING}
, of_client AS (
    SELECT broker_id, venue, account, sum(earned_lines) AS lines, sum(volume_usdt) AS volume_usdt,
           sum(commission_usdt) AS commission_usdt
    FROM activity WHERE window_start >= :start AND window_start < :end GROUP BY broker_id, venue, account
)
SELECT b.top AS broker_id, sum(volume_usdt) AS volume_usdt, sum(commission_usdt) AS commission_usdt,
       count(DISTINCT (venue, account)) FILTER (WHERE lines > 0) AS active
FROM below b JOIN of_client USING (broker_id) GROUP BY b.top
"""  # noqa: S608 - constants of this module

# What a broker itself was booked for the windows of the month: earned, and corrected since.
GETS = """
SELECT y.payee AS broker_id, sum(CASE p.direction WHEN 'credit' THEN p.amount_usdt ELSE -p.amount_usdt END) AS gets_usdt
FROM run r
JOIN entry e USING (run_id)
JOIN posting p USING (entry_id)
JOIN ledger_account a ON a.account = p.account
JOIN payee y ON y.payee = a.payee AND y.kind = 'broker'
WHERE r.window_start >= :start AND r.window_start < :end AND e.kind IN ('earned', 'correction')
GROUP BY y.payee
"""

CLIENTS = f"""
{STANDING}
, link AS (
    SELECT DISTINCT ON (venue, account) venue, account, broker_id, effective_to FROM client_link
    WHERE replaced_by_load IS NULL AND effective_from <= :at ORDER BY venue, account, effective_from DESC
)
SELECT b.top AS broker_id, count(*) AS clients
FROM below b JOIN link l ON l.broker_id = b.broker_id AND (l.effective_to > :at) IS NOT FALSE
GROUP BY b.top
"""  # noqa: S608 - constants of this module

# From codes to clients who earn. Whether a client has traded is known by the day, since when, by the hour.
CONVERSION = f"""
{STANDING}
, code AS (
    SELECT broker_id, count(*) AS codes FROM referral_code WHERE alias_of IS NULL AND effective_from <= :at GROUP BY broker_id
), linked AS (
    SELECT broker_id, venue, account, min(effective_from) AS since FROM client_link
    WHERE replaced_by_load IS NULL AND referral_code IS NOT NULL AND effective_from <= :at
    GROUP BY broker_id, venue, account
), converted AS MATERIALIZED (
    SELECT broker_id, venue, account,
           EXISTS (SELECT FROM fill_reach f WHERE f.venue = l.venue AND f.account = l.account
                   AND f.day >= (l.since AT TIME ZONE 'UTC')::date) AS traded,
           EXISTS (SELECT FROM activity a WHERE a.venue = l.venue AND a.account = l.account
                   AND a.window_start >= date_trunc('hour', l.since, 'UTC') AND a.window_start < :at
                   GROUP BY a.window_start HAVING sum(a.earned_lines) > 0) AS earning
    FROM linked l
), of_clients AS (
    SELECT b.top, count(DISTINCT (venue, account)) AS linked, count(DISTINCT (venue, account)) FILTER (WHERE traded) AS traded,
           count(DISTINCT (venue, account)) FILTER (WHERE earning) AS earning
    FROM below b JOIN converted USING (broker_id) GROUP BY b.top
), of_codes AS (
    SELECT b.top, sum(codes)::bigint AS codes FROM below b JOIN code USING (broker_id) GROUP BY b.top
)
SELECT top AS broker_id, coalesce(codes, 0) AS codes, coalesce(linked, 0) AS linked, coalesce(traded, 0) AS traded,
       coalesce(earning, 0) AS earning
FROM of_codes FULL JOIN of_clients USING (top)
"""  # noqa: S608 - constants of this module

# Of the clients whose first earning month in the subtree was `month`, how many earned there 0, 1, 2 and 3 months later.
RETENTION = f"""
{STANDING}
, of_client AS (
    SELECT broker_id, venue, account, date_trunc('month', window_start, 'UTC') AS month FROM activity
    GROUP BY broker_id, venue, account, month HAVING sum(earned_lines) > 0
), earned AS (
    SELECT DISTINCT b.top, venue, account, month FROM below b JOIN of_client USING (broker_id)
), counted AS (
    SELECT top, month, min(month) OVER (PARTITION BY top, venue, account) AS first_month FROM earned
)
SELECT top AS broker_id, first_month AS month,
       count(*) FILTER (WHERE month = first_month) AS first_earned,
       count(*) FILTER (WHERE month = first_month + interval '1 month') AS after_1,
       count(*) FILTER (WHERE month = first_month + interval '2 months') AS after_2,
       count(*) FILTER (WHERE month = first_month + interval '3 months') AS after_3
FROM counted WHERE first_month >= :first_cohort AND first_month < :end
GROUP BY top, first_month ORDER BY top, first_month
"""  # noqa: S608 - constants of this module
