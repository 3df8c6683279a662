-- What one broker has of its own, whatever the terms say to all: its rate, what its rate never falls below, the cap of its
-- clients, the least that is paid to it. A fact like the others: rows are never changed, and a correction is recorded
-- beside what it replaces.

CREATE TABLE broker_override (
    row_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    broker_id text COLLATE "C" NOT NULL,
    kind text NOT NULL CHECK (kind IN ('rate', 'floor', 'cap', 'minimum_payout')),
    product text NOT NULL CHECK (product IN ('spot', 'futures', 'options', 'events', 'all')),
    liquidity text NOT NULL CHECK (liquidity IN ('maker', 'taker', 'all')),
    value numeric NOT NULL,                   -- a part of the net fee (rate, floor), or USDT
    effective_from timestamptz NOT NULL,
    effective_to timestamptz,
    reason text,
    load_id bigint NOT NULL REFERENCES load,
    replaced_by_load bigint REFERENCES load,
    CHECK (effective_to > effective_from),
    CHECK (CASE WHEN kind IN ('rate', 'floor') THEN value >= 0 AND value <= 1 AND value = round(value, 6)
                WHEN kind = 'cap' THEN value > 0 AND value < 'Infinity' AND value = round(value, 12)
                ELSE value >= 0 AND value < 'Infinity' AND value = round(value, 12) END),
    CHECK (kind IN ('rate', 'floor') OR (product = 'all' AND liquidity = 'all'))
);
CREATE UNIQUE INDEX broker_override_current ON broker_override (broker_id, kind, product, liquidity, effective_from)
    WHERE replaced_by_load IS NULL;

GRANT SELECT, INSERT ON broker_override TO settlement_app;
GRANT UPDATE (replaced_by_load) ON broker_override TO settlement_app;
