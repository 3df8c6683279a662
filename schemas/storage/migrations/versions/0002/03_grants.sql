GRANT SELECT, INSERT ON venue_account, venue_account_health, harvest, raw_page, order_tag, rebate_eligibility TO settlement_app;
GRANT UPDATE (role, model, base_url, demo, sealed, api_key_id, status, status_reason, status_at, pull_from) ON venue_account
    TO settlement_app;
GRANT UPDATE ON venue_account_health, harvest TO settlement_app;
GRANT UPDATE (last_seen_at) ON rebate_eligibility TO settlement_app;
