-- Each line asked for, beside what the re-rating says: every field that differs, named. A line that a monthly cap excluded
-- would earn otherwise, by terms with a cap.
WITH written AS (
    SELECT a.n, a.window_start, a.venue, a.account, a.bill_id, a.revision, b.broker_id, b.status, b.reason, b.product, b.tier,
           b.terms_id, b.rate, l.net_fee_usdt, l.commission_usdt, l.notional_usdt,
           'TAG_OVERRIDES_LINK' = ANY (string_to_array(b.flags, ';')) AS tag_overrides_link,
           CASE WHEN b.status <> 'earned' THEN NULL WHEN l.price_id IS NULL THEN 1 ELSE p.price_usdt END AS price_usdt,
           coalesce((
               SELECT array_agg(part.payee || '=' || trim_scale(part.amount_usdt) ORDER BY part.payee COLLATE "C")
               FROM split s, split_commission(l.commission_usdt, s.payees, s.shares) part WHERE s.split_id = b.split_id
           ), '{}') AS shares
    FROM rerate_asked a
    JOIN line l ON (l.window_start, l.venue, l.account, l.bill_id, l.revision)
                 = (a.window_start, a.venue, a.account, a.bill_id, a.revision)
    JOIN basis b USING (basis_id)
    LEFT JOIN price p USING (price_id)
),
excluded_by_cap AS (
    SELECT n FROM written w JOIN rerate_outcome o USING (n) JOIN rerate_cap cap ON cap.terms_id = o.terms_id
    WHERE w.reason = 'CAP_REACHED' AND o.commission_usdt > 0
),
rerated AS (
    SELECT n, broker_id, status, reason, product, tag_overrides_link, tier, terms_id, rate, price_usdt, net_fee_usdt,
           commission_usdt, notional_usdt, shares
    FROM rerate_outcome WHERE n NOT IN (SELECT n FROM excluded_by_cap)
    UNION ALL
    SELECT n, broker_id, 'excluded', 'CAP_REACHED', product, tag_overrides_link, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{}'
    FROM rerate_outcome JOIN excluded_by_cap USING (n)
),
compared AS (
    SELECT w.*, o.n IS NULL AS no_fill, field, written_as, rerated_as
    FROM written w LEFT JOIN rerated o USING (n)
    CROSS JOIN LATERAL (VALUES
        ('broker', w.broker_id, o.broker_id),
        ('status', w.status, o.status),
        ('reason', w.reason, o.reason),
        ('product', w.product, o.product),
        ('flag TAG_OVERRIDES_LINK', w.tag_overrides_link::text, o.tag_overrides_link::text),
        ('tier', w.tier, o.tier),
        ('terms', w.terms_id::text, o.terms_id::text),
        ('rate', trim_scale(w.rate)::text, trim_scale(o.rate)::text),
        ('price', trim_scale(w.price_usdt)::text, trim_scale(o.price_usdt)::text),
        ('net fee', trim_scale(w.net_fee_usdt)::text, trim_scale(o.net_fee_usdt)::text),
        ('commission', trim_scale(w.commission_usdt)::text, trim_scale(o.commission_usdt)::text),
        ('notional', trim_scale(w.notional_usdt)::text, trim_scale(o.notional_usdt)::text),
        ('shares', w.shares::text, o.shares::text)
    ) AS fields (field, written_as, rerated_as)
    WHERE o.n IS NULL OR written_as IS DISTINCT FROM rerated_as
)
SELECT format('line %s %s %s (revision %s) of window %s: ', venue, account, bill_id, revision, window_start)
       || CASE WHEN bool_or(no_fill) THEN 'its fill is missing'
               ELSE string_agg(format('%s is %s, re-rated %s', field, coalesce(written_as, 'empty'), coalesce(rerated_as, 'empty')), '; ') END AS finding
FROM compared GROUP BY n, window_start, venue, account, bill_id, revision ORDER BY n
