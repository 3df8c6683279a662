-- What the application may do: read everything, add everywhere it writes, change only what is a state.
GRANT USAGE ON SCHEMA public TO settlement_app;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO settlement_app;
GRANT INSERT ON load, broker, broker_code, client_link, vip_level, fee_rate, tier_override, tier_review, program_terms,
    instrument, price, fill, fill_account, fill_reach, quarantine, source, settlement_window, run, run_shard,
    run_outcome, shard_key, split, basis, line, payee, entry, posting, payout, outbox TO settlement_app;
GRANT UPDATE (replaced_by_load) ON broker, broker_code, client_link, vip_level, fee_rate, tier_override, program_terms,
    instrument, price TO settlement_app;
GRANT UPDATE ON fill_reach, source, settlement_window TO settlement_app;
GRANT UPDATE (first_seen_at) ON fill_account TO settlement_app;
GRANT UPDATE (closed_at) ON run TO settlement_app;
GRANT UPDATE (settled_at, facts_at, fills, inputs) ON run_shard TO settlement_app;
GRANT UPDATE (status) ON payout TO settlement_app;
GRANT UPDATE (relayed_at) ON outbox TO settlement_app;
GRANT UPDATE (payee) ON payee TO settlement_app;
GRANT DELETE ON shard_key, outbox TO settlement_app;
GRANT EXECUTE ON FUNCTION ensure_partitions(text, date, date) TO settlement_app;
