-- How far each account's fills were pulled, per instrument type.

-- `covered` are the stretches of the venue's record times that were read from end to end. A walk goes from new to old: one
-- that was begun and not finished has stored everything of [walk_begin, walk_end) down to the cursor walk_after.
CREATE TABLE harvest (
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    instrument_type text NOT NULL,
    covered tstzmultirange NOT NULL DEFAULT '{}',
    walk_begin timestamptz,
    walk_end timestamptz,
    walk_after text,
    pulled_at timestamptz,                    -- the last walk that was finished
    failures integer NOT NULL DEFAULT 0,      -- in a row
    error text,                               -- of the last try, NULL: it went well
    error_at timestamptz,
    PRIMARY KEY (venue, account, instrument_type),
    FOREIGN KEY (venue, account) REFERENCES venue_account,
    CHECK (num_nulls(walk_begin, walk_end, walk_after) IN (0, 3)),
    CHECK (walk_end > walk_begin)
);

-- Every answer that held fills, as it came (zstd), for replay; the normalised fills of it are of the same load.
CREATE TABLE raw_page (
    page_id bigint GENERATED ALWAYS AS IDENTITY,
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    instrument_type text NOT NULL,
    request text NOT NULL,
    rows integer NOT NULL CHECK (rows > 0),
    body_bytes integer NOT NULL CHECK (body_bytes > 0),
    body bytea NOT NULL,
    load_id bigint NOT NULL,
    fetched_at timestamptz NOT NULL,
    PRIMARY KEY (page_id)
);
ALTER TABLE raw_page ALTER COLUMN body SET STORAGE EXTERNAL;       -- it is compressed already
CREATE INDEX raw_page_account ON raw_page (venue, account, fetched_at);

-- What an order without a tag turned out to be: the tag of the algo order that placed it, or '' for none. Asked once.
CREATE TABLE order_tag (
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    algo_id text COLLATE "C" NOT NULL,
    tag text COLLATE "C" NOT NULL,
    asked_at timestamptz NOT NULL,
    PRIMARY KEY (venue, account, order_id)
);

-- Whether the venue itself pays a rebate on an account: it answers "now" only, so every change is kept.
CREATE TABLE rebate_eligibility (
    eligibility_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    type text NOT NULL,
    broker_code text,
    affiliated boolean,
    client_rebate_ratio numeric,
    last_rebate numeric,
    observed_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    CHECK (last_seen_at >= observed_at)
);
CREATE UNIQUE INDEX rebate_eligibility_account ON rebate_eligibility (venue, account, observed_at);
