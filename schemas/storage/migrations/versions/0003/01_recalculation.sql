-- A recalculation: what settled windows would come to by what is known now, computed beside the books, approved by a
-- second person, and then posted as corrections by runs of its own.

CREATE TABLE recalculation (
    plan_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    status text NOT NULL DEFAULT 'planning'
        CHECK (status IN ('planning', 'planned', 'approved', 'applying', 'applied', 'cancelled')),
    range_start timestamptz NOT NULL,
    range_end timestamptz NOT NULL,
    broker_id text COLLATE "C",               -- only lines of this broker and of those below it; NULL: all
    reason text NOT NULL CHECK (reason <> ''),
    re_review boolean NOT NULL,
    request_key text NOT NULL UNIQUE,         -- of who asked: asked for twice, it is the same plan
    follows bigint REFERENCES recalculation,  -- of windows that a tier rated between the planning and the applying of its correction
    facts_at timestamptz NOT NULL,            -- planned by the facts that had been loaded then
    facts jsonb,                              -- the fingerprint of those facts, table by table, once planned
    planned_by text NOT NULL,
    planned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    approved_by text,
    approved_at timestamptz,
    applied_by text,
    applying_at timestamptz,                  -- its runs are settled by what was known then: the same, checked
    applied_at timestamptz,
    cancelled_by text,
    cancelled_at timestamptz,
    CHECK (range_start < range_end),
    CHECK (approved_by <> planned_by),
    CHECK (status NOT IN ('approved', 'applying', 'applied') OR num_nulls(approved_by, approved_at) = 0),
    CHECK (status NOT IN ('applying', 'applied') OR num_nulls(applied_by, applying_at) = 0)
);

-- One window of a plan, and what it was planned from. Fills and runs are only ever added: an equal number of fills and
-- the same latest run are the same window.
CREATE TABLE recalculation_window (
    plan_id bigint NOT NULL REFERENCES recalculation,
    window_start timestamptz NOT NULL,
    roots text[],                             -- only lines of these roots (a later window of a corrected tier); NULL: all
    planned_at timestamptz,
    revision integer,
    fills bigint,
    PRIMARY KEY (plan_id, window_start)
);
CREATE INDEX recalculation_window_waiting ON recalculation_window (plan_id, window_start) WHERE planned_at IS NULL;

-- What each root's part of a window would change: a row here is a shard of the run that posts it.
CREATE TABLE recalculation_shard (
    plan_id bigint NOT NULL,
    window_start timestamptz NOT NULL,
    root text COLLATE "C" NOT NULL,
    PRIMARY KEY (plan_id, window_start, root),
    FOREIGN KEY (plan_id, window_start) REFERENCES recalculation_window
);

CREATE TABLE recalculation_payee (
    plan_id bigint NOT NULL,
    window_start timestamptz NOT NULL,
    root text COLLATE "C" NOT NULL,
    payee text COLLATE "C" NOT NULL,
    amount_usdt numeric NOT NULL,             -- desired now less booked so far
    PRIMARY KEY (plan_id, window_start, root, payee),
    FOREIGN KEY (plan_id, window_start, root) REFERENCES recalculation_shard
);

-- Lines that moved, and what that does to commission. No status: the fill had no line yet.
CREATE TABLE recalculation_move (
    plan_id bigint NOT NULL,
    window_start timestamptz NOT NULL,
    root text COLLATE "C" NOT NULL,           -- of the new line
    from_status text NOT NULL CHECK (from_status IN ('', 'earned', 'excluded', 'pending')),
    from_reason text NOT NULL,
    to_status text NOT NULL CHECK (to_status IN ('earned', 'excluded', 'pending')),
    to_reason text NOT NULL,
    lines bigint NOT NULL,
    commission_usdt numeric NOT NULL,
    PRIMARY KEY (plan_id, window_start, root, from_status, from_reason, to_status, to_reason),
    FOREIGN KEY (plan_id, window_start, root) REFERENCES recalculation_shard
);

-- The lines of a window that move the most commission.
CREATE TABLE recalculation_line (
    plan_id bigint NOT NULL,
    window_start timestamptz NOT NULL,
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    bill_id text COLLATE "C" NOT NULL,
    from_status text NOT NULL,
    from_reason text NOT NULL,
    from_broker text COLLATE "C",
    from_commission_usdt numeric,
    to_status text NOT NULL,
    to_reason text NOT NULL,
    to_broker text COLLATE "C",
    to_commission_usdt numeric,
    change_usdt numeric NOT NULL,
    PRIMARY KEY (plan_id, window_start, venue, account, bill_id),
    FOREIGN KEY (plan_id, window_start) REFERENCES recalculation_window
);

-- Which fills a shard will have to read: those that move have one of these (venue, account, tag). Kept until posted.
CREATE TABLE recalculation_key (
    plan_id bigint NOT NULL,
    window_start timestamptz NOT NULL,
    root text COLLATE "C" NOT NULL,
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    tag text COLLATE "C" NOT NULL,
    PRIMARY KEY (plan_id, window_start, root, venue, account, tag)
);

-- What the plan would change of clients' activity (table activity), for the reviews that stand on it. Kept until posted.
CREATE TABLE recalculation_activity (
    plan_id bigint NOT NULL,
    window_start timestamptz NOT NULL,
    root text COLLATE "C" NOT NULL,
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    broker_id text COLLATE "C" NOT NULL,
    product text NOT NULL,
    earned_lines bigint NOT NULL,
    volume_usdt numeric NOT NULL,
    commission_usdt numeric NOT NULL,
    PRIMARY KEY (plan_id, window_start, root, venue, account, broker_id, product)
);

-- Monthly reviews that would have come out otherwise.
CREATE TABLE recalculation_review (
    plan_id bigint NOT NULL REFERENCES recalculation,
    broker_id text COLLATE "C" NOT NULL,
    effective_from timestamptz NOT NULL,
    from_tier text NOT NULL,
    from_volume_usdt numeric NOT NULL,
    from_clients bigint NOT NULL,
    to_tier text NOT NULL,
    to_volume_usdt numeric NOT NULL,
    to_clients bigint NOT NULL,
    included boolean NOT NULL,                -- its consequence is part of the plan
    PRIMARY KEY (plan_id, broker_id, effective_from)
);

-- Whose lines a shard counted: in a supplementary run it may take away a pending line of another root.
ALTER TABLE run_outcome ADD COLUMN line_root text COLLATE "C";
UPDATE run_outcome SET line_root = root;
ALTER TABLE run_outcome ALTER COLUMN line_root SET NOT NULL, DROP CONSTRAINT run_outcome_pkey,
    ADD PRIMARY KEY (run_id, root, line_root, status, reason);

ALTER TABLE run ADD COLUMN plan_id bigint REFERENCES recalculation;
ALTER TABLE run ADD CHECK (plan_id IS NULL OR kind = 'recalculation');
CREATE INDEX run_plan ON run (plan_id) WHERE plan_id IS NOT NULL;

GRANT SELECT, INSERT ON recalculation, recalculation_window, recalculation_shard, recalculation_payee, recalculation_move,
    recalculation_line, recalculation_key, recalculation_activity, recalculation_review TO settlement_app;
GRANT UPDATE (status, facts, approved_by, approved_at, applied_by, applying_at, applied_at, cancelled_by, cancelled_at)
    ON recalculation TO settlement_app;
GRANT UPDATE (roots, planned_at, revision, fills) ON recalculation_window TO settlement_app;
GRANT DELETE ON recalculation_shard, recalculation_payee, recalculation_move, recalculation_line, recalculation_key,
    recalculation_activity, recalculation_review TO settlement_app;
