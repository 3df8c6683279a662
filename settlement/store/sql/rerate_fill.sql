-- The fills of the lines that are asked for, as the re-rating reads them: what is unknown is NULL.
SELECT a.n, a.known_at, a.remainder_usdt, f.venue, f.account, f.bill_id, f.instrument, f.instrument_type, f.liquidity, f.price, f.size,
       f.fee, f.fee_currency, nullif(f.tag, '') AS tag, f.executed_at, f.fee_rate, coalesce(f.fee_rebate, 0) AS fee_rebate,
       nullif(f.fee_discount, '') AS fee_discount, nullif(nullif(f.channel, ''), 'unknown') AS channel, f.sub_type,
       CASE WHEN f.instrument_type IN ('SPOT', 'MARGIN') THEN 'spot'
            WHEN f.instrument_type IN ('SWAP', 'FUTURES') THEN 'futures'
            WHEN f.instrument_type = 'OPTION' THEN 'options'
            WHEN f.instrument_type = 'EVENTS' THEN 'events' END AS product
FROM rerate_asked a
JOIN fill f ON f.venue = a.venue AND f.account = a.account AND f.bill_id = a.bill_id
 AND f.executed_at >= a.window_start AND f.executed_at < a.window_start + interval '1 hour'
