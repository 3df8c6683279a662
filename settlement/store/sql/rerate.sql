-- The rulebook a second time, in plain SQL, apart from settlement/rules: what each fill of rerate_fill comes to by the
-- facts that were known at its known_at. One step after the other; a row of each step has the n of its line.
WITH RECURSIVE

asked AS (SELECT * FROM rerate_fill),

-- Facts, each with the time from which it was known and the time at which another row replaced it.
loaded AS (SELECT load_id, loaded_at FROM load),
known_code AS MATERIALIZED (
    SELECT c.*, l.loaded_at AS known_from, coalesce(r.loaded_at, 'infinity') AS known_to
    FROM broker_code c JOIN loaded l USING (load_id) LEFT JOIN loaded r ON r.load_id = c.replaced_by_load
),
known_link AS MATERIALIZED (
    SELECT c.*, l.loaded_at AS known_from, coalesce(r.loaded_at, 'infinity') AS known_to
    FROM client_link c JOIN loaded l USING (load_id) LEFT JOIN loaded r ON r.load_id = c.replaced_by_load
    WHERE (c.venue, c.account) IN (SELECT venue, account FROM asked)
),
known_broker AS MATERIALIZED (
    SELECT b.*, l.loaded_at AS known_from, coalesce(r.loaded_at, 'infinity') AS known_to
    FROM broker b JOIN loaded l USING (load_id) LEFT JOIN loaded r ON r.load_id = b.replaced_by_load
),
known_terms AS MATERIALIZED (
    SELECT t.terms_id, t.effective_from, l.loaded_at AS known_from, coalesce(r.loaded_at, 'infinity') AS known_to
    FROM program_terms t JOIN loaded l USING (load_id) LEFT JOIN loaded r ON r.load_id = t.replaced_by_load
),
known_vip AS MATERIALIZED (
    SELECT v.*, l.loaded_at AS known_from, coalesce(r.loaded_at, 'infinity') AS known_to
    FROM vip_level v JOIN loaded l USING (load_id) LEFT JOIN loaded r ON r.load_id = v.replaced_by_load
    WHERE (v.venue, v.account) IN (SELECT venue, account FROM asked)
),
known_fee_rate AS MATERIALIZED (
    SELECT s.*, l.loaded_at AS known_from, coalesce(r.loaded_at, 'infinity') AS known_to
    FROM fee_rate s JOIN loaded l USING (load_id) LEFT JOIN loaded r ON r.load_id = s.replaced_by_load
    WHERE (s.venue, s.account) IN (SELECT venue, account FROM asked)
),
known_override AS MATERIALIZED (
    SELECT o.*, l.loaded_at AS known_from, coalesce(r.loaded_at, 'infinity') AS known_to
    FROM tier_override o JOIN loaded l USING (load_id) LEFT JOIN loaded r ON r.load_id = o.replaced_by_load
),
known_own AS MATERIALIZED (
    SELECT o.*, l.loaded_at AS known_from, coalesce(r.loaded_at, 'infinity') AS known_to
    FROM broker_override o JOIN loaded l USING (load_id) LEFT JOIN loaded r ON r.load_id = o.replaced_by_load
    WHERE o.kind IN ('rate', 'floor')
),
known_instrument AS MATERIALIZED (
    SELECT i.*, l.loaded_at AS known_from, coalesce(r.loaded_at, 'infinity') AS known_to
    FROM instrument i JOIN loaded l USING (load_id) LEFT JOIN loaded r ON r.load_id = i.replaced_by_load
    WHERE (i.venue, i.instrument) IN (SELECT venue, instrument FROM asked)
),
replaced_price AS MATERIALIZED (
    SELECT p.*, r.loaded_at AS known_to FROM price p JOIN loaded r ON r.load_id = p.replaced_by_load
),

-- Attribution: a broker code in force, else the client's link in force. "In force": the latest row that has begun, if it
-- has not ended.
code_in_force AS (
    SELECT n, broker_id FROM (
        SELECT DISTINCT ON (a.n) a.n, c.broker_id, a.executed_at, c.effective_to
        FROM asked a JOIN known_code c ON c.code = a.tag AND c.effective_from <= a.executed_at
         AND c.known_from <= a.known_at AND a.known_at < c.known_to
        ORDER BY a.n, c.effective_from DESC
    ) latest WHERE effective_to IS NULL OR executed_at < effective_to
),
link_in_force AS (
    SELECT n, broker_id, affiliated, account_class, rebate_share FROM (
        SELECT DISTINCT ON (a.n) a.n, c.broker_id, c.affiliated, c.account_class, c.rebate_share, a.executed_at, c.effective_to
        FROM asked a JOIN known_link c ON c.venue = a.venue AND c.account = a.account AND c.effective_from <= a.executed_at
         AND c.known_from <= a.known_at AND a.known_at < c.known_to
        ORDER BY a.n, c.effective_from DESC
    ) latest WHERE effective_to IS NULL OR executed_at < effective_to
),
attributed AS MATERIALIZED (
    SELECT a.*, coalesce(code.broker_id, link.broker_id) AS broker_id,
           coalesce(code.broker_id <> link.broker_id, false) AS tag_overrides_link,
           coalesce(link.affiliated, false) AS affiliated, link.account_class,
           CASE WHEN link.broker_id = coalesce(code.broker_id, link.broker_id) THEN link.rebate_share END AS rebate_share,
           EXISTS (
               SELECT FROM known_code c WHERE c.code = a.tag AND c.known_from <= a.known_at AND a.known_at < c.known_to
           ) AS tag_is_code
    FROM asked a LEFT JOIN code_in_force code USING (n) LEFT JOIN link_in_force link USING (n)
),

-- The tree as it stood at execution, from the broker up. Where a row is missing, the way ends below the root.
up AS (
    SELECT a.n, a.executed_at, a.known_at, 0 AS above, b.broker_id, b.parent_id, b.share, b.status, b.own_accounts
    FROM attributed a
    JOIN known_broker b ON b.broker_id = a.broker_id AND b.effective_from <= a.executed_at
     AND (b.effective_to IS NULL OR a.executed_at < b.effective_to) AND b.known_from <= a.known_at AND a.known_at < b.known_to
    WHERE NOT EXISTS (
        SELECT FROM known_broker later
        WHERE later.broker_id = b.broker_id AND later.effective_from > b.effective_from
          AND later.effective_from <= a.executed_at AND later.known_from <= a.known_at AND a.known_at < later.known_to
    )
    UNION ALL
    SELECT u.n, u.executed_at, u.known_at, u.above + 1, b.broker_id, b.parent_id, b.share, b.status, b.own_accounts
    FROM up u
    JOIN known_broker b ON b.broker_id = u.parent_id AND b.effective_from <= u.executed_at
     AND (b.effective_to IS NULL OR u.executed_at < b.effective_to) AND b.known_from <= u.known_at AND u.known_at < b.known_to
    WHERE u.above < 100 AND NOT EXISTS (
        SELECT FROM known_broker later
        WHERE later.broker_id = b.broker_id AND later.effective_from > b.effective_from
          AND later.effective_from <= u.executed_at AND later.known_from <= u.known_at AND u.known_at < later.known_to
    )
),
tree AS MATERIALIZED (
    SELECT u.n, count(*) AS depth, max(u.broker_id) FILTER (WHERE u.parent_id IS NULL) AS root,
           bool_and(u.status = 'active') AND bool_or(u.parent_id IS NULL) AS active,
           bool_or(a.venue || ':' || a.account = ANY (u.own_accounts)) AS own_account
    FROM up u JOIN asked a USING (n) GROUP BY u.n
),

-- What eligibility asks.
terms_in_force AS (
    SELECT DISTINCT ON (a.n) a.n, t.terms_id
    FROM asked a JOIN known_terms t ON t.effective_from <= a.executed_at AND t.known_from <= a.known_at AND a.known_at < t.known_to
    ORDER BY a.n, t.effective_from DESC
),
vip_in_force AS (
    SELECT DISTINCT ON (a.n) a.n, v.level
    FROM asked a JOIN known_vip v ON v.venue = a.venue AND v.account = a.account AND v.effective_from <= a.executed_at
     AND v.known_from <= a.known_at AND a.known_at < v.known_to
    ORDER BY a.n, v.effective_from DESC
),
scheduled_rate AS (
    SELECT DISTINCT ON (a.n) a.n, s.rate
    FROM asked a JOIN known_fee_rate s ON s.venue = a.venue AND s.account = a.account AND s.product = a.product
     AND s.liquidity = a.liquidity AND s.effective_from <= a.executed_at AND s.known_from <= a.known_at AND a.known_at < s.known_to
    ORDER BY a.n, s.effective_from DESC
),
override_in_force AS (
    SELECT n, tier FROM (
        SELECT DISTINCT ON (a.n) a.n, o.tier, a.executed_at, o.effective_to
        FROM asked a JOIN tree USING (n)
        JOIN known_override o ON o.broker_id = tree.root AND o.effective_from <= a.executed_at
         AND o.known_from <= a.known_at AND a.known_at < o.known_to
        ORDER BY a.n, o.effective_from DESC
    ) latest WHERE effective_to IS NULL OR executed_at < effective_to
),
latest_review AS (
    SELECT DISTINCT ON (a.n) a.n, r.tier
    FROM asked a JOIN tree USING (n)
    JOIN tier_review r ON r.broker_id = tree.root AND r.effective_from <= a.executed_at AND r.reviewed_at <= a.known_at
    ORDER BY a.n, r.effective_from DESC, r.reviewed_at DESC
),
-- The root's own rate and floor: of those in force, the one for the narrowest of product and liquidity.
own_in_force AS (
    SELECT DISTINCT ON (n, kind) n, kind, value FROM (
        SELECT DISTINCT ON (a.n, o.kind, o.product, o.liquidity) a.n, o.kind, o.product, o.liquidity, o.value,
               a.executed_at, o.effective_to
        FROM asked a JOIN tree USING (n)
        JOIN known_own o ON o.broker_id = tree.root AND o.product IN (a.product, 'all') AND o.liquidity IN (a.liquidity, 'all')
         AND o.effective_from <= a.executed_at AND o.known_from <= a.known_at AND a.known_at < o.known_to
        ORDER BY a.n, o.kind, o.product, o.liquidity, o.effective_from DESC
    ) latest WHERE effective_to IS NULL OR executed_at < effective_to
    ORDER BY n, kind, product = 'all', liquidity = 'all'
),
-- A pair that is loaded only as the other of SPOT and MARGIN is still the same pair.
instrument_in_force AS (
    SELECT DISTINCT ON (a.n) a.n, i.contract_type, i.contract_value * i.contract_multiplier AS contract, i.contract_value_currency,
           i.settle_currency, i.quote_currency
    FROM asked a JOIN known_instrument i ON i.venue = a.venue AND i.instrument = a.instrument AND i.effective_from <= a.executed_at
     AND (i.instrument_type = a.instrument_type OR (i.instrument_type IN ('SPOT', 'MARGIN') AND a.product = 'spot'))
     AND i.known_from <= a.known_at AND a.known_at < i.known_to
    ORDER BY a.n, i.instrument_type = a.instrument_type DESC, i.effective_from DESC
),

-- Valuation: how much was traded, of which currency; prices of that currency and of the fee's.
measured AS MATERIALIZED (
    SELECT a.n, -a.fee - a.fee_rebate AS net_fee, terms.max_age,
           CASE WHEN a.product = 'spot' THEN a.size * a.price
                WHEN a.product = 'options' OR (a.product = 'futures' AND i.contract_type = 'inverse') THEN a.size * i.contract
                WHEN a.product = 'events' OR i.contract_type = 'linear' THEN a.size * i.contract * a.price END AS traded,
           nullif(CASE WHEN a.product = 'spot' THEN coalesce(nullif(i.quote_currency, ''), substring(a.instrument FROM '^[^-]+-([^-]+)$'))
                WHEN a.product = 'options' THEN i.contract_value_currency
                WHEN a.product = 'futures' AND i.contract_type = 'inverse' THEN 'USD'
                WHEN a.product = 'events' OR i.contract_type = 'linear' THEN i.settle_currency END, '') AS traded_currency
    FROM asked a LEFT JOIN instrument_in_force i USING (n)
    LEFT JOIN terms_in_force USING (n) LEFT JOIN rerate_terms terms USING (terms_id)
),
wanted_price AS (
    SELECT n, a.fee_currency AS currency, a.executed_at, a.known_at, m.max_age FROM asked a JOIN measured m USING (n)
    UNION
    SELECT n, m.traded_currency, a.executed_at, a.known_at, m.max_age FROM asked a JOIN measured m USING (n) WHERE m.traded_currency IS NOT NULL
),
priced AS MATERIALIZED (
    SELECT w.n, w.currency, CASE WHEN w.currency = 'USDT' THEN 1 ELSE found.price_usdt END AS price_usdt
    FROM wanted_price w
    LEFT JOIN LATERAL (
        SELECT price_usdt FROM (
            (SELECT p.ts, p.price_usdt FROM price p JOIN loaded l USING (load_id)
             WHERE p.replaced_by_load IS NULL AND p.currency = w.currency AND p.ts <= w.executed_at
               AND p.ts >= w.executed_at - w.max_age AND l.loaded_at <= w.known_at
             ORDER BY p.ts DESC LIMIT 1)
            UNION ALL
            (SELECT p.ts, p.price_usdt FROM replaced_price p JOIN loaded l USING (load_id)
             WHERE p.currency = w.currency AND p.ts <= w.executed_at AND p.ts >= w.executed_at - w.max_age
               AND l.loaded_at <= w.known_at AND w.known_at < p.known_to
             ORDER BY p.ts DESC LIMIT 1)
        ) either ORDER BY ts DESC LIMIT 1
    ) found ON w.currency <> 'USDT'
),

-- Eligibility: the first check that applies is the reason.
judged AS MATERIALIZED (
    SELECT a.*, tree.root, terms.terms_id, m.net_fee, m.traded, fee_price.price_usdt AS fee_price, traded_price.price_usdt AS traded_price,
           coalesce(override_in_force.tier, latest_review.tier, terms.entry_tier) AS tier,
           CASE
               WHEN a.broker_id IS NULL THEN 'UNATTRIBUTED'
               WHEN a.venue = 'okx' AND a.sub_type ~ '^[0-9]{1,6}$' AND (a.sub_type::integer BETWEEN 100 AND 128
                    OR a.sub_type::integer IN (212, 213, 376, 377) OR a.sub_type::integer BETWEEN 324 AND 329) THEN 'SYSTEM_TRADE'
               WHEN NOT (coalesce(a.channel, '') = 'api' OR (a.channel IS NULL AND a.tag_is_code)) THEN 'NON_API_CHANNEL'
               WHEN tree.active IS NOT TRUE THEN 'BROKER_INACTIVE'
               WHEN tree.own_account THEN 'OWN_ACCOUNT'
               WHEN terms.terms_id IS NULL THEN 'TERMS_MISSING'
               WHEN vip.level IS NULL THEN 'VIP_UNKNOWN'
               WHEN vip.level > terms.max_vip THEN 'VIP_EXCLUDED'
               WHEN a.account_class = ANY (terms.excluded_account_classes) THEN 'ACCOUNT_EXCLUDED'
               WHEN NOT EXISTS (SELECT FROM rerate_rate r WHERE r.terms_id = terms.terms_id AND r.product = a.product) THEN 'PRODUCT_NOT_COVERED'
               WHEN terms.fee_discount = 'exclude'
                    AND (a.fee_discount IS NOT NULL OR a.fee_rebate > 0 OR a.fee_rate > scheduled.rate) THEN 'FEE_DISCOUNT'
               WHEN m.net_fee <= 0 THEN 'NO_NET_FEE'
               WHEN NOT EXISTS (SELECT FROM rerate_tier t WHERE t.terms_id = terms.terms_id
                    AND t.tier = coalesce(override_in_force.tier, latest_review.tier, terms.entry_tier)) THEN 'TIER_UNKNOWN'
               WHEN m.traded IS NULL OR m.traded_currency IS NULL THEN 'INSTRUMENT_UNKNOWN'
               WHEN fee_price.price_usdt IS NULL OR traded_price.price_usdt IS NULL THEN 'PRICE_MISSING'
               ELSE '' END AS reason
    FROM attributed a
    JOIN measured m USING (n)
    LEFT JOIN tree USING (n)
    LEFT JOIN terms_in_force USING (n) LEFT JOIN rerate_terms terms USING (terms_id)
    LEFT JOIN vip_in_force vip USING (n)
    LEFT JOIN scheduled_rate scheduled USING (n)
    LEFT JOIN override_in_force USING (n) LEFT JOIN latest_review USING (n)
    LEFT JOIN priced fee_price ON fee_price.n = a.n AND fee_price.currency = a.fee_currency
    LEFT JOIN priced traded_price ON traded_price.n = a.n AND traded_price.currency = m.traded_currency
),

-- Rating: the rounded net fee times the root's own rate, else that of its tier, but not below its floor. What a cap left of
-- it is not more.
valued AS (
    SELECT j.*, round_half_even(j.net_fee * j.fee_price) AS net_fee_usdt, round_half_even(j.traded * j.traded_price) AS notional_usdt
    FROM judged j WHERE j.reason = ''
),
rated AS MATERIALIZED (
    SELECT v.*, paid.rate, least(round_half_even(v.net_fee_usdt * paid.rate), v.remainder_usdt) AS commission_usdt
    FROM valued v
    JOIN rerate_rate r ON r.terms_id = v.terms_id AND r.tier = v.tier AND r.product = v.product
     AND r.liquidity = v.liquidity AND r.affiliated = v.affiliated
    LEFT JOIN own_in_force own ON own.n = v.n AND own.kind = 'rate'
    LEFT JOIN own_in_force floor ON floor.n = v.n AND floor.kind = 'floor'
    CROSS JOIN LATERAL (SELECT coalesce(own.value, greatest(r.rate, floor.value)) AS rate) paid
),

-- Split: down the path a child receives floor12(what its parent received x its share), the client comes last.
path AS (
    SELECT u.n, row_number() OVER (PARTITION BY u.n ORDER BY u.above DESC) AS step, u.broker_id AS payee, u.share
    FROM up u JOIN rated USING (n)
    UNION ALL
    SELECT r.n, tree.depth + 1, 'client:' || r.venue || ':' || r.account, r.rebate_share
    FROM rated r JOIN tree USING (n) WHERE r.rebate_share IS NOT NULL
),
received AS (
    SELECT n, 1::bigint AS step, commission_usdt AS amount_usdt FROM rated
    UNION ALL
    SELECT p.n, p.step, trunc(parent.amount_usdt * p.share, 12)
    FROM received parent JOIN path p ON p.n = parent.n AND p.step = parent.step + 1
),
share AS (
    SELECT n, payee, amount_usdt - lead(amount_usdt, 1, 0::numeric) OVER (PARTITION BY n ORDER BY step) AS amount_usdt
    FROM received JOIN path USING (n, step)
),
shares AS (
    SELECT n, array_agg(payee || '=' || trim_scale(amount_usdt) ORDER BY payee COLLATE "C") AS shares
    FROM share WHERE amount_usdt <> 0 GROUP BY n
)

SELECT j.n, j.broker_id,
       CASE WHEN j.reason = '' THEN 'earned'
            WHEN j.reason IN ('TERMS_MISSING', 'VIP_UNKNOWN', 'TIER_UNKNOWN', 'INSTRUMENT_UNKNOWN', 'PRICE_MISSING') THEN 'pending'
            ELSE 'excluded' END AS status,
       j.reason, j.product, j.tag_overrides_link, r.tier, r.terms_id, r.rate, r.fee_price AS price_usdt,
       r.net_fee_usdt, r.commission_usdt, r.notional_usdt, coalesce(s.shares, '{}') AS shares
FROM judged j LEFT JOIN rated r USING (n) LEFT JOIN shares s USING (n)
