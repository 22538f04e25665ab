-- Virtual keys, admin tokens, and who changed what. No secret is stored anywhere, only SHA-256 hashes.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Counts changes to keys and tokens, so that other processes notice them cheaply.
INSERT INTO meta VALUES ('keys_version', 0);

CREATE TABLE keys (
    id                TEXT PRIMARY KEY,
    secret_hash       BLOB NOT NULL,
    previous_hash     BLOB,
    previous_until_us INTEGER,
    name              TEXT NOT NULL,
    organization      TEXT NOT NULL,
    team              TEXT,
    user              TEXT,
    service_account   TEXT,
    project           TEXT,
    metadata          TEXT NOT NULL,
    models            TEXT,
    created_at_us     INTEGER NOT NULL,
    expires_at_us     INTEGER,
    disabled          INTEGER NOT NULL DEFAULT 0,
    deleted_at_us     INTEGER,
    CHECK (user IS NULL OR service_account IS NULL)
) STRICT;

CREATE TABLE admin_tokens (
    id            TEXT PRIMARY KEY,
    secret_hash   BLOB NOT NULL,
    created_at_us INTEGER NOT NULL
) STRICT;

CREATE TABLE admin_events (
    id     INTEGER PRIMARY KEY,
    at_us  INTEGER NOT NULL,
    actor  TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT
) STRICT;
