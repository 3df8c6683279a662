-- A what-if: past fills taken through the rules under other terms, trees or shares, beside the books. It can never be
-- posted. It is kept for a day, then pruned with everything that hangs on it.

CREATE TABLE what_if (
    what_if_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    range_start timestamptz NOT NULL,
    range_end timestamptz NOT NULL,
    broker_id text COLLATE "C",               -- only lines of this broker and of those below it; NULL: all
    brokers text[],                           -- these, under either tree
    documents jsonb NOT NULL,                 -- the versions of the terms: what they are called, text, from when on
    registry jsonb NOT NULL,                  -- file -> column -> values: rows that stand in for those of the same key
    ignore_overrides boolean NOT NULL,
    in_order boolean NOT NULL,                -- a cap counts through the month: one stretch after the other
    facts_at timestamptz NOT NULL,            -- everything else is as it was known then
    notes jsonb NOT NULL,                     -- what whoever reads the result has to know
    asked_by text NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    open_to timestamptz NOT NULL,             -- fills before it can be settled: the reviews up to there are made
    done_at timestamptz,
    CHECK (range_start < range_end),
    CHECK (open_to > range_start AND open_to <= range_end)
);

-- Some windows of one day that are settled at once. Months follow each other, as a review needs the month before it.
CREATE TABLE what_if_stretch (
    what_if_id bigint NOT NULL REFERENCES what_if ON DELETE CASCADE,
    stretch_start timestamptz NOT NULL,
    stretch_end timestamptz NOT NULL,
    done_at timestamptz,
    fills bigint,
    unsettled integer,                        -- windows of which not all that stands had been settled
    PRIMARY KEY (what_if_id, stretch_start),
    CHECK (stretch_start < stretch_end)
);
CREATE INDEX what_if_stretch_waiting ON what_if_stretch (what_if_id, stretch_start) WHERE done_at IS NULL;

-- Lines as they would be, and (stands) as they stand.
CREATE TABLE what_if_sum (
    what_if_id bigint NOT NULL REFERENCES what_if ON DELETE CASCADE,
    stretch_start timestamptz NOT NULL,
    stands boolean NOT NULL,
    root text COLLATE "C" NOT NULL,
    broker_id text COLLATE "C" NOT NULL,      -- earned lines have one
    tier text NOT NULL,
    product text NOT NULL,
    lines bigint NOT NULL,
    net_fee_usdt numeric NOT NULL,
    commission_usdt numeric NOT NULL,
    volume_usdt numeric NOT NULL,
    PRIMARY KEY (what_if_id, stretch_start, stands, root, broker_id, tier, product)
);

CREATE TABLE what_if_payee (
    what_if_id bigint NOT NULL REFERENCES what_if ON DELETE CASCADE,
    stretch_start timestamptz NOT NULL,
    root text COLLATE "C" NOT NULL,
    payee text COLLATE "C" NOT NULL,
    amount_usdt numeric NOT NULL,
    stands_usdt numeric NOT NULL,
    PRIMARY KEY (what_if_id, stretch_start, root, payee)
);

-- From which outcome to which; no status: the fill has no line.
CREATE TABLE what_if_move (
    what_if_id bigint NOT NULL REFERENCES what_if ON DELETE CASCADE,
    stretch_start timestamptz NOT NULL,
    from_status text NOT NULL CHECK (from_status IN ('', 'earned', 'excluded', 'pending')),
    from_reason text NOT NULL,
    to_status text NOT NULL CHECK (to_status IN ('earned', 'excluded', 'pending')),
    to_reason text NOT NULL,
    lines bigint NOT NULL,
    commission_usdt numeric NOT NULL,         -- more than stands
    PRIMARY KEY (what_if_id, stretch_start, from_status, from_reason, to_status, to_reason)
);

-- Clients' earning activity as it would be, for the reviews that stand on it (as table activity). Kept until done.
CREATE TABLE what_if_activity (
    what_if_id bigint NOT NULL REFERENCES what_if ON DELETE CASCADE,
    window_start timestamptz NOT NULL,        -- the first of its stretch
    root text COLLATE "C" NOT NULL,
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    broker_id text COLLATE "C" NOT NULL,
    product text NOT NULL,
    earned_lines bigint NOT NULL,
    volume_usdt numeric NOT NULL,
    commission_usdt numeric NOT NULL,
    PRIMARY KEY (what_if_id, window_start, root, venue, account, broker_id, product)
);

-- Tiers that would have been reached; without figures, the one that a root brings along to the start.
CREATE TABLE what_if_review (
    what_if_id bigint NOT NULL REFERENCES what_if ON DELETE CASCADE,
    broker_id text COLLATE "C" NOT NULL,
    effective_from timestamptz NOT NULL,
    tier text NOT NULL,
    previous_tier text,                       -- in force just before, overrides and all
    override text,                            -- the tier that somebody gave it, in force instead
    stands text,                              -- the tier in force then as things stand
    terms text,
    volume_usdt numeric,
    clients bigint,
    inputs jsonb,
    next_tier text,
    gap jsonb,
    PRIMARY KEY (what_if_id, broker_id, effective_from)
);

GRANT SELECT, INSERT ON what_if, what_if_stretch, what_if_sum, what_if_payee, what_if_move, what_if_activity,
    what_if_review TO settlement_app;
GRANT UPDATE (open_to, done_at) ON what_if TO settlement_app;
GRANT UPDATE (done_at, fills, unsettled) ON what_if_stretch TO settlement_app;
GRANT DELETE ON what_if, what_if_activity TO settlement_app;
