-- The ledger. Every rule here holds for the owner too; the application's role has no right to break one.

CREATE TABLE payee (
    payee text COLLATE "C" PRIMARY KEY,
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
    SELECT 'payee:' || NEW.payee || ':' || suffix, NEW.payee, 'credit'
    FROM unnest(ARRAY['payable', 'in_flight', 'held']) suffix;
    RETURN NULL;
END $$;
CREATE TRIGGER declare_accounts AFTER INSERT ON payee FOR EACH ROW EXECUTE FUNCTION declare_payee_accounts();

CREATE TABLE entry (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain text COLLATE "C" NOT NULL,          -- the root broker whose chain the entry is in
    sequence bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('earned', 'correction', 'payout_instructed', 'payout_confirmed',
                                       'payout_failed', 'payout_cancelled', 'held', 'released')),
    idempotency_key text COLLATE "C" NOT NULL,
    run_id bigint REFERENCES run,
    effective_at timestamptz NOT NULL,        -- the window it belongs to
    recorded_at timestamptz NOT NULL,
    content_digest bytea NOT NULL,            -- of kind, key, run, effective_at and legs: the same fact, the same digest
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL,
    UNIQUE (chain, sequence),
    UNIQUE (kind, idempotency_key),
    CHECK (recorded_at <= clock_timestamp() + interval '1 minute'),
    CHECK (effective_at <= recorded_at OR kind IN ('earned', 'payout_instructed'))
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
    hash bytea NOT NULL
);

-- Kept per chain, so that shards of different roots never wait for each other on an operator account.
CREATE TABLE balance (
    account text COLLATE "C" NOT NULL REFERENCES ledger_account,
    chain text COLLATE "C" NOT NULL,
    balance_usdt numeric NOT NULL,            -- on the account's normal side
    PRIMARY KEY (account, chain),
    CHECK (account !~ ':(in_flight|held)$' OR balance_usdt >= 0)
);

-- The text that is hashed. Dates as UTC microseconds since 1970, amounts with exactly 12 decimals, legs in order.
CREATE FUNCTION entry_content(of_entry entry) RETURNS text LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT concat_ws('|', of_entry.kind, of_entry.idempotency_key, coalesce(of_entry.run_id::text, '-'),
                     (extract(epoch FROM of_entry.effective_at) * 1000000)::bigint,
                     string_agg(concat_ws(':', p.leg, p.direction, round(p.amount_usdt, 12), p.account), '|' ORDER BY p.leg))
    FROM posting p WHERE p.entry_id = of_entry.entry_id
$$;

CREATE FUNCTION entry_hash(of_entry entry) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(of_entry.previous_hash || of_entry.content_digest
                  || convert_to(concat_ws('|', of_entry.chain, of_entry.sequence,
                                          (extract(epoch FROM of_entry.recorded_at) * 1000000)::bigint), 'UTF8'))
$$;

CREATE FUNCTION extend_chain() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    head chain_head;
BEGIN
    INSERT INTO chain_head VALUES (NEW.chain, 0, sha256(convert_to(NEW.chain, 'UTF8'))) ON CONFLICT DO NOTHING;
    SELECT * INTO STRICT head FROM chain_head WHERE chain = NEW.chain FOR UPDATE;
    IF NEW.sequence <> head.sequence + 1 OR NEW.previous_hash <> head.hash THEN
        RAISE EXCEPTION 'entry % does not follow the head of chain %', NEW.sequence, NEW.chain USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    UPDATE chain_head SET sequence = NEW.sequence, hash = NEW.hash WHERE chain = NEW.chain;
    RETURN NEW;
END $$;
CREATE TRIGGER extend_chain BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION extend_chain();

-- At commit: the legs sum to zero, the digest is that of the content, the hash that of the chain.
CREATE FUNCTION check_entry() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    checked entry;
    legs integer;
    difference numeric;
BEGIN
    SELECT * INTO STRICT checked FROM entry WHERE entry_id = NEW.entry_id;
    SELECT count(*), sum(CASE direction WHEN 'debit' THEN amount_usdt ELSE -amount_usdt END)
    INTO legs, difference FROM posting WHERE entry_id = NEW.entry_id;
    IF legs < 2 OR difference <> 0 THEN
        RAISE EXCEPTION 'entry % (%) does not balance: % legs, debits less credits %', checked.entry_id,
            checked.idempotency_key, legs, difference USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF checked.content_digest <> sha256(convert_to(entry_content(checked), 'UTF8')) OR checked.hash <> entry_hash(checked) THEN
        RAISE EXCEPTION 'entry % (%) does not carry the digest of its content', checked.entry_id, checked.idempotency_key
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER entry_balances AFTER INSERT ON entry DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION check_entry();
CREATE CONSTRAINT TRIGGER posting_balances AFTER INSERT ON posting DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION check_entry();

CREATE FUNCTION add_to_balances() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO balance AS kept (account, chain, balance_usdt)
    SELECT p.account, e.chain, sum(CASE WHEN p.direction = a.normal_side THEN p.amount_usdt ELSE -p.amount_usdt END)
    FROM added p JOIN entry e USING (entry_id) JOIN ledger_account a ON a.account = p.account
    GROUP BY p.account, e.chain ORDER BY p.account, e.chain
    ON CONFLICT (account, chain) DO UPDATE SET balance_usdt = kept.balance_usdt + excluded.balance_usdt;
    RETURN NULL;
END $$;
CREATE TRIGGER add_to_balances AFTER INSERT ON posting REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION add_to_balances();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON posting
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON basis
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON split
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

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
    idempotency_key text COLLATE "C" NOT NULL UNIQUE
);

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
