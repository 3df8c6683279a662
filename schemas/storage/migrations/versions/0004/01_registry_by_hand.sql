-- Who changed what by hand, and why; and the referral codes by which clients come to a broker.

-- Written in the transaction of the act. The time is the server's: the application has no right to write another one.
CREATE TABLE audit_log (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    by text NOT NULL CHECK (by <> ''),
    act text NOT NULL CHECK (act ~ '^[a-z]+[.][a-z]+$'),
    subject text COLLATE "C" NOT NULL,
    reason text CHECK (reason <> ''),
    before jsonb,                             -- what stood, NULL: nothing
    after jsonb,                              -- what stands now
    load_id bigint REFERENCES load,           -- under which the change is stored, where it is one of facts
    CHECK (reason IS NOT NULL OR act = 'registry.load')
);
CREATE INDEX audit_log_subject ON audit_log (subject);
CREATE INDEX audit_log_at ON audit_log (at);

-- A code of one broker, or (alias_of) another text for one: a text stands for one thing only, whichever it is.
CREATE TABLE referral_code (
    code text COLLATE "C" PRIMARY KEY CHECK (code ~ '^[A-Za-z0-9]{1,16}$'),
    alias_of text COLLATE "C" REFERENCES referral_code CHECK (alias_of <> code),
    broker_id text COLLATE "C",
    campaign text CHECK (campaign <> ''),
    client_limit integer CHECK (client_limit > 0),  -- how many clients it may bind, NULL: any number
    effective_from timestamptz,
    effective_to timestamptz,
    deactivated_at timestamptz,
    CHECK (effective_to > effective_from),
    CHECK (num_nulls(broker_id, campaign, effective_from) = CASE WHEN alias_of IS NULL THEN 0 ELSE 3 END),
    CHECK (alias_of IS NULL OR num_nulls(client_limit, effective_to, deactivated_at) = 3)
);
CREATE INDEX referral_code_alias ON referral_code (alias_of) WHERE alias_of IS NOT NULL;
-- The clients of a code are those whose standing link names it.
CREATE INDEX client_link_referral ON client_link (referral_code) WHERE replaced_by_load IS NULL AND referral_code IS NOT NULL;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- Of a code only its deactivation changes.
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON referral_code
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER deactivation_only BEFORE UPDATE OF code, alias_of, broker_id, campaign, client_limit, effective_from,
    effective_to ON referral_code FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT ON audit_log, referral_code TO settlement_app;
GRANT INSERT (by, act, subject, reason, before, after, load_id) ON audit_log TO settlement_app;
GRANT INSERT ON referral_code TO settlement_app;
GRANT UPDATE (deactivated_at) ON referral_code TO settlement_app;
