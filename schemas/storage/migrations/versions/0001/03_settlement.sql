-- Windows, runs and lines.

CREATE TABLE settlement_window (
    window_start timestamptz PRIMARY KEY CHECK (window_start = date_trunc('hour', window_start, 'UTC')),
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'settling', 'settled', 'incomplete')),
    recheck boolean NOT NULL DEFAULT false,   -- late fills or newly loaded facts wait for a supplementary run
    settled_at timestamptz,
    seal jsonb                                -- count, sums and digest of the inputs, at closing
);
CREATE INDEX settlement_window_waiting ON settlement_window (window_start)
    WHERE recheck OR status IN ('open', 'settling');

-- One act of settling a window. Its shards (one per root broker, '' for unattributed fills) are settled apart.
CREATE TABLE run (
    run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    window_start timestamptz NOT NULL REFERENCES settlement_window,
    revision integer NOT NULL CHECK (revision >= 0),
    kind text NOT NULL CHECK (kind IN ('scheduled', 'supplementary', 'recalculation')),
    incomplete boolean NOT NULL DEFAULT false,
    facts_version bigint NOT NULL DEFAULT 0,  -- loads of facts so far; another one at closing: look again
    opened_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz,
    UNIQUE (window_start, revision)
);
CREATE UNIQUE INDEX run_open ON run (window_start) WHERE closed_at IS NULL;

-- Counts and sums are what the run changed (a pending line that now earns: pending -1, earned +1), so that their
-- sum over the runs of a window is the window as it stands.
CREATE TABLE run_shard (
    run_id bigint NOT NULL REFERENCES run,
    root text COLLATE "C" NOT NULL,
    settled_at timestamptz,
    facts_at timestamptz,                     -- settled by the facts that had been loaded then
    fills bigint NOT NULL DEFAULT 0,
    inputs jsonb,                             -- count, sums and digest of the fills read
    PRIMARY KEY (run_id, root)
);

CREATE TABLE run_outcome (
    run_id bigint NOT NULL,
    root text COLLATE "C" NOT NULL,
    status text NOT NULL CHECK (status IN ('earned', 'excluded', 'pending')),
    reason text NOT NULL,
    lines bigint NOT NULL,
    commission_usdt numeric NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, root, status, reason),
    FOREIGN KEY (run_id, root) REFERENCES run_shard
);

-- Which fills a shard reads: those with one of these (venue, account, tag). Dropped when the run closes.
CREATE TABLE shard_key (
    run_id bigint NOT NULL,
    root text COLLATE "C" NOT NULL,
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    tag text COLLATE "C" NOT NULL,
    PRIMARY KEY (run_id, root, venue, account, tag),
    FOREIGN KEY (run_id, root) REFERENCES run_shard
);

-- A path of payees, root first, each receiving its share of what the one before it received (the first: 1).
CREATE TABLE split (
    split_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payees text[] NOT NULL,
    shares numeric[] NOT NULL,
    CHECK (cardinality(payees) = cardinality(shares) AND cardinality(payees) > 0 AND shares[1] = 1),
    UNIQUE (payees, shares)
);

-- What many lines have in common: why they came out as they did. A line holds only its own amounts.
CREATE TABLE basis (
    basis_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    root text COLLATE "C" NOT NULL,
    broker_id text COLLATE "C",
    status text NOT NULL CHECK (status IN ('earned', 'excluded', 'pending')),
    reason text NOT NULL,
    product text NOT NULL,
    tier text,
    rate numeric CHECK (rate >= 0 AND rate <= 1),
    terms_id bigint REFERENCES program_terms,
    split_id bigint REFERENCES split,
    flags text NOT NULL,
    CHECK ((status = 'earned') = (reason = '')),
    CHECK (num_nulls(tier, rate, terms_id, split_id) = CASE WHEN status = 'earned' THEN 0 ELSE 4 END),
    UNIQUE NULLS NOT DISTINCT (root, broker_id, status, reason, product, tier, rate, terms_id, split_id, flags)
);

-- The outcome for one fill; a later revision of the same key replaces an earlier one, which stays readable.
CREATE TABLE line (
    window_start timestamptz NOT NULL,
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    bill_id text COLLATE "C" NOT NULL,
    revision smallint NOT NULL,
    run_id bigint NOT NULL,
    basis_id bigint NOT NULL,
    net_fee_usdt numeric,
    commission_usdt numeric,
    notional_usdt numeric,
    price_id bigint,                          -- price of the fee currency; NULL: USDT, which is 1
    notional_price_id bigint,
    PRIMARY KEY (window_start, venue, account, bill_id, revision),
    CHECK (num_nulls(net_fee_usdt, commission_usdt, notional_usdt) IN (0, 3)),
    CHECK (net_fee_usdt >= 0 AND net_fee_usdt < 'Infinity'),
    CHECK (commission_usdt >= 0 AND commission_usdt < 'Infinity' AND scale(commission_usdt) <= 12)
) PARTITION BY RANGE (window_start);
CREATE INDEX line_revised ON line (window_start, venue, account, bill_id, revision) WHERE revision > 0;

CREATE VIEW current_line AS
SELECT l.* FROM line l
WHERE NOT EXISTS (
    SELECT FROM line n
    WHERE n.revision > 0 AND n.revision > l.revision
      AND n.window_start = l.window_start AND n.venue = l.venue AND n.account = l.account AND n.bill_id = l.bill_id
);

-- The split of one commission down its path: a child receives floor12(what its parent received x its share), the
-- parent keeps the rest, so the parts sum to the commission. Zero parts are not written.
CREATE FUNCTION split_commission(commission numeric, payees text[], shares numeric[])
RETURNS TABLE (payee text, amount_usdt numeric) LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    received numeric := commission;
    passed numeric;
BEGIN
    FOR step IN 1 .. cardinality(payees) LOOP
        passed := CASE WHEN step < cardinality(payees) THEN trunc(received * shares[step + 1], 12) ELSE 0 END;
        payee := payees[step];
        amount_usdt := received - passed;
        IF amount_usdt <> 0 THEN
            RETURN NEXT;
        END IF;
        received := passed;
    END LOOP;
END $$;

-- The shares of every line ever written (join current_line for the ones that stand).
CREATE VIEW line_share AS
SELECT l.window_start, l.venue, l.account, l.bill_id, l.revision, l.run_id, part.payee, part.amount_usdt
FROM line l
JOIN basis b USING (basis_id)
JOIN split s USING (split_id)
CROSS JOIN LATERAL split_commission(l.commission_usdt, s.payees, s.shares) part;

-- Partitions are made here, as the owner, so that the application's role needs no right to create tables. A partition
-- is attached, not created in place: attaching does not wait for readers of the other days.
CREATE FUNCTION ensure_partitions(parent text, first_day date, last_day date)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    day date;
    partition_name text;
    column_name text := CASE parent WHEN 'fill' THEN 'executed_at' WHEN 'line' THEN 'window_start' END;
    created integer := 0;
BEGIN
    IF column_name IS NULL THEN
        RAISE EXCEPTION 'ensure_partitions: % is not partitioned by day', parent;
    END IF;
    FOR day IN SELECT generate_series(first_day, last_day, interval '1 day')::date LOOP
        partition_name := parent || '_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(partition_name) IS NOT NULL;
        PERFORM pg_advisory_xact_lock(hashtextextended('ensure_partitions:' || parent, 0));
        -- Not to_regclass: it answers from a cache that waiting for the lock did not refresh.
        CONTINUE WHEN EXISTS (SELECT FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
                              WHERE inhparent = parent::regclass AND c.relname = partition_name);
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition_name, parent);
        IF parent = 'fill' THEN
            EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (venue, account, bill_id)', partition_name);
            EXECUTE format('CREATE INDEX ON %I USING brin (executed_at) WITH (pages_per_range = 16, autosummarize = on)', partition_name);
        END IF;
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, partition_name,
                       day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', partition_name);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO settlement_app', partition_name);
        created := created + 1;
    END LOOP;
    RETURN created;
END $$;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: it is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege', HINT = 'Record a correction instead.';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON fill
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON line
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
