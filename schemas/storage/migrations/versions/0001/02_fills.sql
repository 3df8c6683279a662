-- Fills, immutable, one daily partition each (created by ensure_partitions before the first row of the day).
-- The key is (venue, account, bill_id). A partition enforces it for its own day; fill_reach and the row lock on
-- fill_account let ingest rule out the same key on another day (docs/adr/0003).

CREATE TABLE fill (
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    bill_id text COLLATE "C" NOT NULL,
    -- What a shard is chosen by comes first: skipping the other shards' rows costs less.
    executed_at timestamptz NOT NULL,
    tag text COLLATE "C",
    trade_id text,
    order_id text,
    instrument text COLLATE "C" NOT NULL,
    instrument_type text NOT NULL,
    side text NOT NULL,
    liquidity text,
    price numeric NOT NULL,
    size numeric NOT NULL,
    fee numeric NOT NULL,
    fee_currency text COLLATE "C" NOT NULL,
    client_order_id text,
    fee_rate numeric,
    fee_rebate numeric,
    fee_discount text,
    channel text,
    sub_type text,
    index_price numeric,
    venue_recorded_at timestamptz,
    algo_id text,
    flags text,
    load_id bigint NOT NULL,
    CHECK (instrument_type IN ('SPOT', 'MARGIN', 'SWAP', 'FUTURES', 'OPTION', 'EVENTS')),
    CHECK (side IN ('buy', 'sell')),
    CHECK (liquidity IN ('maker', 'taker')),
    CHECK (channel IN ('api', 'web', 'app')),
    CHECK (price >= 0 AND price < 'Infinity'),
    CHECK (size > 0 AND size < 'Infinity'),
    CHECK (fee > '-Infinity' AND fee < 'Infinity'),
    CHECK (fee_rebate >= 0 AND fee_rebate < 'Infinity')
) PARTITION BY RANGE (executed_at);

CREATE TABLE fill_account (
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (venue, account)
);

-- The range of bill ids an account has on a day: another day's rows are looked up only where ranges overlap.
CREATE TABLE fill_reach (
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    day date NOT NULL,
    bill_id_min text COLLATE "C" NOT NULL,
    bill_id_max text COLLATE "C" NOT NULL,
    PRIMARY KEY (venue, account, day)
);

CREATE TABLE quarantine (
    quarantine_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    load_id bigint NOT NULL REFERENCES load,
    kind text NOT NULL CHECK (kind IN ('bad_row', 'conflict')),
    file text NOT NULL,
    row_number bigint,
    reason text NOT NULL,
    raw text,
    quarantined_at timestamptz NOT NULL DEFAULT now()
);

-- A source reports how far it is complete; a window closes when every source has passed its end.
CREATE TABLE source (
    name text PRIMARY KEY,
    watermark timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now()
);
