-- What a re-rating is asked (each line with the moment whose knowledge it was made with) and the terms, which SQL cannot
-- read out of their TOML. What a monthly cap left of a line depends on the lines before it, which is checked for all of them
-- at once (caps_held.sql): here it is taken as given.
CREATE TEMP TABLE rerate_asked (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    window_start timestamptz NOT NULL,
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    bill_id text COLLATE "C" NOT NULL,
    revision integer,
    known_at timestamptz NOT NULL,
    remainder_usdt numeric                    -- the commission of a line that says it got the remainder of a cap
) ON COMMIT DROP;
CREATE TEMP TABLE rerate_terms (
    terms_id bigint PRIMARY KEY,
    entry_tier text NOT NULL,
    max_vip integer NOT NULL,
    excluded_account_classes text[] NOT NULL,
    fee_discount text NOT NULL,
    max_age interval NOT NULL
) ON COMMIT DROP;
CREATE TEMP TABLE rerate_rate (
    terms_id bigint NOT NULL,
    tier text NOT NULL,
    product text NOT NULL,
    liquidity text NOT NULL,
    affiliated boolean NOT NULL,
    rate numeric NOT NULL,
    PRIMARY KEY (terms_id, tier, product, liquidity, affiliated)
) ON COMMIT DROP;
CREATE TEMP TABLE rerate_tier (terms_id bigint NOT NULL, tier text NOT NULL, PRIMARY KEY (terms_id, tier)) ON COMMIT DROP;
CREATE TEMP TABLE rerate_cap (
    terms_id bigint PRIMARY KEY,
    monthly_usdt numeric NOT NULL,
    levels integer[] NOT NULL
) ON COMMIT DROP;
