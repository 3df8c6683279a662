-- Facts a settlement stands on. Rows are never changed: a correction adds a row and marks the one it replaces
-- (replaced_by_load), so what was known at any recorded time can still be read.

CREATE TABLE installation (
    "only" boolean PRIMARY KEY DEFAULT true CHECK ("only"),
    installed_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO installation DEFAULT VALUES;

CREATE TABLE load (
    load_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('registry', 'terms', 'instruments', 'prices', 'fills')),
    source text NOT NULL,
    correction text,
    loaded_by text NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE broker (
    row_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    broker_id text COLLATE "C" NOT NULL CHECK (broker_id <> '' AND broker_id !~ '^client:'),
    name text NOT NULL,
    model text NOT NULL CHECK (model IN ('api', 'oauth')),
    parent_id text COLLATE "C",
    share numeric CHECK (share >= 0 AND share <= 1),
    status text NOT NULL,
    effective_from timestamptz NOT NULL,
    effective_to timestamptz,
    own_accounts text[] NOT NULL DEFAULT '{}',
    payout_rail text,
    payout_address text,
    load_id bigint NOT NULL REFERENCES load,
    replaced_by_load bigint REFERENCES load,
    CHECK ((parent_id IS NULL) = (share IS NULL)),
    CHECK (effective_to > effective_from)
);
CREATE UNIQUE INDEX broker_current ON broker (broker_id, effective_from) WHERE replaced_by_load IS NULL;

CREATE TABLE broker_code (
    row_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text COLLATE "C" NOT NULL CHECK (code ~ '^[A-Za-z0-9]{1,16}$'),
    broker_id text COLLATE "C" NOT NULL,
    effective_from timestamptz NOT NULL,
    effective_to timestamptz,
    load_id bigint NOT NULL REFERENCES load,
    replaced_by_load bigint REFERENCES load,
    CHECK (effective_to > effective_from)
);
CREATE UNIQUE INDEX broker_code_current ON broker_code (code, effective_from) WHERE replaced_by_load IS NULL;

CREATE TABLE client_link (
    row_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    broker_id text COLLATE "C" NOT NULL,
    effective_from timestamptz NOT NULL,
    effective_to timestamptz,
    referral_code text,
    affiliated boolean NOT NULL DEFAULT false,
    account_class text,
    rebate_share numeric CHECK (rebate_share >= 0 AND rebate_share <= 1),
    load_id bigint NOT NULL REFERENCES load,
    replaced_by_load bigint REFERENCES load,
    CHECK (effective_to > effective_from)
);
CREATE UNIQUE INDEX client_link_current ON client_link (venue, account, effective_from) WHERE replaced_by_load IS NULL;

CREATE TABLE vip_level (
    row_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    level smallint NOT NULL CHECK (level >= 0),
    effective_from timestamptz NOT NULL,
    load_id bigint NOT NULL REFERENCES load,
    replaced_by_load bigint REFERENCES load
);
CREATE UNIQUE INDEX vip_level_current ON vip_level (venue, account, effective_from) WHERE replaced_by_load IS NULL;

-- The scheduled fee rate of an account, in the venue's sign (negative = charged).
CREATE TABLE fee_rate (
    row_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    product text NOT NULL,
    liquidity text NOT NULL CHECK (liquidity IN ('maker', 'taker')),
    rate numeric NOT NULL CHECK (rate > '-Infinity' AND rate < 'Infinity'),
    effective_from timestamptz NOT NULL,
    load_id bigint NOT NULL REFERENCES load,
    replaced_by_load bigint REFERENCES load
);
CREATE UNIQUE INDEX fee_rate_current ON fee_rate (venue, account, product, liquidity, effective_from)
    WHERE replaced_by_load IS NULL;

CREATE TABLE tier_override (
    row_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    broker_id text COLLATE "C" NOT NULL,
    tier text NOT NULL,
    effective_from timestamptz NOT NULL,
    effective_to timestamptz,
    reason text,
    load_id bigint NOT NULL REFERENCES load,
    replaced_by_load bigint REFERENCES load,
    CHECK (effective_to > effective_from)
);
CREATE UNIQUE INDEX tier_override_current ON tier_override (broker_id, effective_from) WHERE replaced_by_load IS NULL;

CREATE TABLE tier_review (
    row_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    broker_id text COLLATE "C" NOT NULL,
    tier text NOT NULL,
    effective_from timestamptz NOT NULL,
    volume_usdt numeric NOT NULL,
    clients bigint NOT NULL,
    reviewed_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (broker_id, effective_from)
);

CREATE TABLE program_terms (
    terms_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    effective_from timestamptz NOT NULL,
    document text NOT NULL,
    load_id bigint NOT NULL REFERENCES load,
    replaced_by_load bigint REFERENCES load
);
CREATE UNIQUE INDEX program_terms_current ON program_terms (effective_from) WHERE replaced_by_load IS NULL;

-- "For all time before" is stored as 1970-01-01.
CREATE TABLE instrument (
    row_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    venue text COLLATE "C" NOT NULL,
    instrument text COLLATE "C" NOT NULL,
    instrument_type text NOT NULL,
    contract_type text CHECK (contract_type IN ('linear', 'inverse')),
    contract_value numeric CHECK (contract_value > 0 AND contract_value < 'Infinity'),
    contract_multiplier numeric CHECK (contract_multiplier > 0 AND contract_multiplier < 'Infinity'),
    contract_value_currency text,
    settle_currency text,
    base_currency text,
    quote_currency text,
    effective_from timestamptz NOT NULL,
    load_id bigint NOT NULL REFERENCES load,
    replaced_by_load bigint REFERENCES load
);
CREATE UNIQUE INDEX instrument_current ON instrument (venue, instrument_type, instrument, effective_from)
    WHERE replaced_by_load IS NULL;

CREATE TABLE price (
    price_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    currency text COLLATE "C" NOT NULL CHECK (currency NOT IN ('', 'USDT')),
    ts timestamptz NOT NULL,
    price_usdt numeric NOT NULL CHECK (price_usdt > 0 AND price_usdt < 'Infinity'),
    source text,
    load_id bigint NOT NULL REFERENCES load,
    replaced_by_load bigint REFERENCES load
);
CREATE UNIQUE INDEX price_current ON price (currency, ts) WHERE replaced_by_load IS NULL;
