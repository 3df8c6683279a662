-- A review is never edited: a corrected one is another row for the same instant, and the latest that was known counts.
-- With each row stands what it came from; rows of before this version have none of that.
ALTER TABLE tier_review DROP CONSTRAINT tier_review_broker_id_effective_from_key;
ALTER TABLE tier_review ADD UNIQUE (broker_id, effective_from, reviewed_at);
ALTER TABLE tier_review ALTER COLUMN reviewed_at SET DEFAULT clock_timestamp();
ALTER TABLE tier_review
    ADD COLUMN plan_id bigint REFERENCES recalculation,  -- the recalculation that corrected it
    ADD COLUMN previous_tier text,                       -- in force just before
    ADD COLUMN period_start timestamptz,                 -- what was counted: windows of [period_start, period_end)
    ADD COLUMN period_end timestamptz,
    ADD COLUMN terms_id bigint REFERENCES program_terms, -- the terms in force at effective_from
    ADD COLUMN inputs jsonb,                             -- volume and clients per group, and what was not settled yet
    ADD COLUMN gap jsonb,                                -- per group what was missing to the next tier; NULL: there is none
    ADD COLUMN next_tier text,
    ADD COLUMN reviewed_by text,
    ADD COLUMN anyway boolean NOT NULL DEFAULT false,    -- somebody had it made while the period was not settled
    ADD CHECK (period_start < period_end AND period_end = effective_from),
    ADD CHECK ((gap IS NULL) = (next_tier IS NULL));

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tier_review
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
