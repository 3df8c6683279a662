-- Accounts whose fills are harvested over a venue's API, with credentials that only the key outside can open.

CREATE TABLE venue_account (
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL CHECK (account <> ''),
    role text NOT NULL CHECK (role IN ('client', 'broker')),      -- a broker's own key asks about its clients
    model text NOT NULL CHECK (model IN ('api', 'oauth')),
    base_url text NOT NULL,
    demo boolean NOT NULL,
    sealed bytea NOT NULL,                                         -- encrypted: settlement/store/vault.py
    api_key_id text COLLATE "C",                                   -- digest of the API key: tells keys apart, opens nothing
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'parked', 'disabled')),
    status_reason text,                                            -- why it is parked or disabled
    status_at timestamptz NOT NULL DEFAULT now(),
    pull_from timestamptz NOT NULL,                                -- fills are expected to be complete from here on
    added_by text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (venue, account)
);

-- What the account said of itself when it was asked last: key's permissions, expiry, level.
CREATE TABLE venue_account_health (
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    checked_at timestamptz NOT NULL,
    condition text NOT NULL CHECK (condition IN ('ok', 'attention', 'broken')),
    found text NOT NULL,
    next_step text NOT NULL DEFAULT '',
    permissions text,
    level text,
    PRIMARY KEY (venue, account),
    FOREIGN KEY (venue, account) REFERENCES venue_account
);
