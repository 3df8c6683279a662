-- Accounts that a monthly cap may limit and that are to be looked at again in a settled window, because what they earned in
-- the month before it has changed. Written by a shard of that root, in the transaction that changes it; taken away when
-- they have been looked at. A look that changes nothing writes nothing, so it ends.
CREATE TABLE cap_recheck (
    window_start timestamptz NOT NULL REFERENCES settlement_window,
    root text COLLATE "C" NOT NULL,
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    PRIMARY KEY (window_start, root, venue, account)
);

GRANT SELECT, INSERT, DELETE ON cap_recheck TO settlement_app;
