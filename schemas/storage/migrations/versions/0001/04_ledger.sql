-- The ledger. Every rule here holds for the owner too; the application's role has no right to break one.

CREATE TABLE payee (
    payee text COLLATE "C" PRIMARY KEY CHECK (payee <> '' AND payee !~ E'\n'),
    kind text NOT NULL CHECK (kind IN ('broker', 'client')),
    CHECK ((kind = 'client') = (payee ~ '^client:'))
);

CREATE TABLE ledger_account (
    account text COLLATE "C" PRIMARY KEY,
    payee text COLLATE "C" REFERENCES payee,
    normal_side text NOT NULL CHECK (normal_side IN ('debit', 'credit')),
    CHECK (CASE WHEN payee IS NULL
        THEN account IN ('operator:commission_expense', 'operator:treasury_usdt', 'operator:receivable_from_venue',
                         'operator:write_off')
        ELSE account IN ('payee:' || payee || ':payable', 'payee:' || payee || ':in_flight', 'payee:' || payee || ':held')
    END)
);
INSERT INTO ledger_account (account, normal_side) VALUES
    ('operator:commission_expense', 'debit'),
    ('operator:treasury_usdt', 'debit'),
    ('operator:receivable_from_venue', 'debit'),
    ('operator:write_off', 'debit');

CREATE FUNCTION declare_payee_accounts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO ledger_account (account, payee, normal_side)
    SELECT 'payee:' || payee || ':' || suffix, payee, 'credit'
    FROM added CROSS JOIN unnest(ARRAY['payable', 'in_flight', 'held']) suffix;
    RETURN NULL;
END $$;
CREATE TRIGGER declare_accounts AFTER INSERT ON payee REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION declare_payee_accounts();

-- Which accounts the legs of each kind of entry move, in the order of the legs. A correction may go either way.
CREATE TABLE entry_shape (
    kind text NOT NULL,
    shape text NOT NULL,
    PRIMARY KEY (kind, shape)
);
INSERT INTO entry_shape (kind, shape) VALUES
    ('earned', 'debit commission_expense, credit payable'),
    ('correction', 'debit commission_expense, credit payable'),
    ('correction', 'debit payable, credit commission_expense'),
    ('payout_instructed', 'debit payable, credit in_flight'),
    ('payout_confirmed', 'debit in_flight, credit treasury_usdt'),
    ('payout_failed', 'debit in_flight, credit payable'),
    ('payout_cancelled', 'debit in_flight, credit payable'),
    ('held', 'debit payable, credit held'),
    ('released', 'debit held, credit payable');

-- An earned entry or a correction is dated to the window of its run, however late it is recorded; nothing else can be
-- dated back. Nothing is recorded at another time than now.
CREATE TABLE entry (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain text COLLATE "C" NOT NULL,          -- the root broker whose chain the entry is in
    sequence bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('earned', 'correction', 'payout_instructed', 'payout_confirmed',
                                       'payout_failed', 'payout_cancelled', 'held', 'released')),
    idempotency_key text COLLATE "C" NOT NULL CHECK (idempotency_key <> '' AND idempotency_key !~ E'\n'),
    run_id bigint REFERENCES run,
    effective_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    legs smallint NOT NULL CHECK (legs >= 2), -- how many postings it has: none can be added later
    content_digest bytea NOT NULL,            -- of kind, key, run, effective_at and legs: the same fact, the same digest
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL,
    UNIQUE (chain, sequence),
    UNIQUE (kind, idempotency_key),
    CHECK (kind NOT IN ('earned', 'correction') OR run_id IS NOT NULL),
    CHECK (kind IN ('earned', 'correction')
           OR effective_at BETWEEN recorded_at - interval '1 hour' AND recorded_at + interval '5 minutes')
);
CREATE INDEX entry_recorded ON entry (recorded_at);
CREATE INDEX entry_run ON entry (run_id);

CREATE TABLE posting (
    entry_id bigint NOT NULL REFERENCES entry,
    leg smallint NOT NULL CHECK (leg >= 1),
    account text COLLATE "C" NOT NULL REFERENCES ledger_account,
    direction text NOT NULL CHECK (direction IN ('debit', 'credit')),
    amount_usdt numeric NOT NULL CHECK (amount_usdt > 0 AND amount_usdt < 'Infinity' AND amount_usdt = round(amount_usdt, 12)),
    PRIMARY KEY (entry_id, leg)
);
CREATE INDEX posting_account ON posting (account);

CREATE TABLE chain_head (
    chain text COLLATE "C" PRIMARY KEY,
    sequence bigint NOT NULL,
    hash bytea NOT NULL,
    recorded_at timestamptz NOT NULL
);

-- Kept per chain, so that shards of different roots never wait for each other on an operator account.
CREATE TABLE balance (
    account text COLLATE "C" NOT NULL REFERENCES ledger_account,
    chain text COLLATE "C" NOT NULL,
    balance_usdt numeric NOT NULL,            -- on the account's normal side
    PRIMARY KEY (account, chain),
    CHECK (account !~ ':(in_flight|held)$' OR balance_usdt >= 0)
);

-- The text that is hashed: a line each for kind, key, run, date and every leg in order (none can hold a line break).
-- Dates are microseconds since 1970, amounts have exactly 12 decimals.
CREATE FUNCTION leg_content(leg posting) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT concat_ws(' ', leg.leg, leg.direction, round(leg.amount_usdt, 12), leg.account)
$$;

CREATE FUNCTION entry_content(of_entry entry, leg_contents text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT concat_ws(E'\n', of_entry.kind, of_entry.idempotency_key, coalesce(of_entry.run_id::text, '-'),
                     (extract(epoch FROM of_entry.effective_at) * 1000000)::bigint, leg_contents)
$$;

CREATE FUNCTION entry_hash(of_entry entry) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(of_entry.previous_hash || of_entry.content_digest
                  || convert_to(concat_ws(E'\n', of_entry.chain, of_entry.sequence,
                                          (extract(epoch FROM of_entry.recorded_at) * 1000000)::bigint), 'UTF8'))
$$;

-- The head of a chain, locked until the transaction ends: whoever extends a chain asks for it first.
CREATE FUNCTION lock_chain(of_chain text) RETURNS chain_head
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    head chain_head;
BEGIN
    SELECT * INTO head FROM chain_head WHERE chain = of_chain FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO chain_head VALUES (of_chain, 0, sha256(convert_to(of_chain, 'UTF8')), '-infinity') ON CONFLICT DO NOTHING;
        SELECT * INTO STRICT head FROM chain_head WHERE chain = of_chain FOR UPDATE;
    END IF;
    RETURN head;
END $$;

-- New entries follow the head of their chain, one by one, each with the hash of the one before it.
CREATE FUNCTION extend_chains() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    refused record;
BEGIN
    PERFORM lock_chain(chain) FROM (SELECT DISTINCT chain FROM added ORDER BY chain) chains;
    SELECT checked.* INTO refused FROM (
        SELECT a.chain, a.sequence,
               a.sequence = lag(a.sequence, 1, h.sequence) OVER in_order + 1
               AND a.previous_hash = lag(a.hash, 1, h.hash) OVER in_order
               AND a.recorded_at >= lag(a.recorded_at, 1, h.recorded_at) OVER in_order AS follows,
               a.hash = entry_hash(e) AS hashed,
               a.recorded_at BETWEEN clock_timestamp() - interval '1 hour' AND clock_timestamp() + interval '5 minutes' AS timely,
               a.kind NOT IN ('earned', 'correction') OR a.effective_at = r.window_start AS dated
        FROM added a JOIN entry e USING (entry_id) JOIN chain_head h ON h.chain = a.chain LEFT JOIN run r ON r.run_id = a.run_id
        WINDOW in_order AS (PARTITION BY a.chain ORDER BY a.sequence)
    ) checked
    WHERE (follows AND hashed AND timely AND dated) IS NOT TRUE
    ORDER BY sequence LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % of chain % is refused: %', refused.sequence, refused.chain, CASE
            WHEN refused.follows IS NOT TRUE THEN 'it does not follow the head of the chain'
            WHEN refused.hashed IS NOT TRUE THEN 'it does not carry the hash of its place in the chain'
            WHEN refused.timely IS NOT TRUE THEN 'it is not recorded now'
            ELSE 'it is not dated to the window of its run' END
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    UPDATE chain_head h SET sequence = latest.sequence, hash = latest.hash, recorded_at = latest.recorded_at
    FROM (SELECT DISTINCT ON (chain) * FROM added ORDER BY chain, sequence DESC) latest
    WHERE h.chain = latest.chain;
    RETURN NULL;
END $$;
CREATE TRIGGER extend_chains AFTER INSERT ON entry REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION extend_chains();

-- No entry gets more legs than it declared, so none can be added to one that is committed; balances move with the legs.
CREATE FUNCTION add_to_balances() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    complete bigint;
BEGIN
    SELECT entry_id INTO complete FROM added JOIN entry USING (entry_id) WHERE leg > legs LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % has all its legs: none can be added', complete USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    INSERT INTO balance (account, chain, balance_usdt)
    SELECT DISTINCT account, chain, 0 FROM added JOIN entry USING (entry_id) ORDER BY account, chain
    ON CONFLICT DO NOTHING;
    UPDATE balance b SET balance_usdt = b.balance_usdt + change.amount_usdt
    FROM (
        SELECT p.account, e.chain, sum(CASE WHEN p.direction = a.normal_side THEN p.amount_usdt ELSE -p.amount_usdt END) AS amount_usdt
        FROM added p JOIN entry e USING (entry_id) JOIN ledger_account a ON a.account = p.account
        GROUP BY p.account, e.chain
    ) change
    WHERE b.account = change.account AND b.chain = change.chain;
    RETURN NULL;
END $$;
CREATE TRIGGER add_to_balances AFTER INSERT ON posting REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION add_to_balances();

-- At commit: all legs are there, they sum to zero, move the accounts of one payee as the kind says, and the digest is
-- that of the content. The legs are then complete, so no later statement can break this again.
-- (Sequential scans are off because a session keeps the plan it made while the tables were small.)
CREATE FUNCTION check_entry() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
DECLARE
    found_legs integer;
    difference numeric;
    moved text;
    one_payee boolean;
    leg_contents text;
BEGIN
    SELECT count(*), sum(CASE direction WHEN 'debit' THEN amount_usdt ELSE -amount_usdt END),
           string_agg(direction || ' ' || substring(account FROM '[^:]*$'), ', ' ORDER BY leg),
           min(substring(account FROM '^payee:(.*):')) = max(substring(account FROM '^payee:(.*):')),
           string_agg(leg_content(p), E'\n' ORDER BY leg)
    INTO found_legs, difference, moved, one_payee, leg_contents
    FROM posting p WHERE entry_id = NEW.entry_id;
    IF found_legs <> NEW.legs OR difference <> 0 THEN
        RAISE EXCEPTION 'entry % (%) does not balance: % of % legs, debits less credits %', NEW.entry_id,
            NEW.idempotency_key, found_legs, NEW.legs, difference USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF one_payee IS NOT TRUE OR NOT EXISTS (SELECT FROM entry_shape WHERE kind = NEW.kind AND shape = moved) THEN
        RAISE EXCEPTION 'entry % (%) moves what % may not: % (of one payee: %)', NEW.entry_id, NEW.idempotency_key,
            NEW.kind, moved, one_payee USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.content_digest <> sha256(convert_to(entry_content(NEW, leg_contents), 'UTF8')) THEN
        RAISE EXCEPTION 'entry % (%) does not carry the digest of its content', NEW.entry_id, NEW.idempotency_key
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER check_entry AFTER INSERT ON entry DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION check_entry();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON posting
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_account
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payee
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON basis
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON split
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Balances and heads move only inside the triggers above.
CREATE FUNCTION refuse_direct_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION '% on % is refused: it follows the entries', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege', HINT = 'Post an entry instead.';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER derived BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON balance
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_direct_change();
CREATE TRIGGER derived BEFORE UPDATE OR DELETE OR TRUNCATE ON chain_head
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_direct_change();

CREATE TABLE payout (
    payout_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payee text COLLATE "C" NOT NULL REFERENCES payee,
    chain text COLLATE "C" NOT NULL,
    amount_usdt numeric NOT NULL CHECK (amount_usdt > 0 AND amount_usdt < 'Infinity' AND amount_usdt = round(amount_usdt, 12)),
    status text NOT NULL CHECK (status IN ('waiting', 'approved', 'sent', 'confirmed', 'failed', 'cancelled', 'unknown')),
    rail text,
    address text,
    created_at timestamptz NOT NULL,
    window_start timestamptz,
    run_id bigint REFERENCES run,
    idempotency_key text COLLATE "C" NOT NULL UNIQUE  -- that of its payout_instructed entry
);
CREATE INDEX payout_payee ON payout (payee);

-- Of a payout only its status changes.
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON payout
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER status_only BEFORE UPDATE OF payout_id, payee, chain, amount_usdt, rail, address, created_at, window_start,
    run_id, idempotency_key ON payout FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Half-even to the ledger's 12 decimals (round() goes half away from zero). The audit's re-rating needs it.
CREATE FUNCTION round_half_even(amount numeric) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT CASE WHEN abs(amount - trunc(amount, 12)) = 0.0000000000005 AND mod(trunc(amount, 12) * 1000000000000, 2) = 0
                THEN trunc(amount, 12) ELSE round(amount, 12) END
$$;

-- Follow-up work, written in the transaction that makes it necessary (CloudEvents 1.0).
CREATE TABLE outbox (
    outbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL DEFAULT gen_random_uuid(),
    type text NOT NULL,
    subject text NOT NULL,
    data jsonb NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    relayed_at timestamptz
);
CREATE INDEX outbox_waiting ON outbox (outbox_id) WHERE relayed_at IS NULL;
