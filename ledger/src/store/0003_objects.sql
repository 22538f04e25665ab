-- Stored objects (files, batches, responses, …): which id at which provider belongs to whom.

-- `provider` is its name in the configuration, which stands for one account there. `scope` says what `holder` names:
-- `team`, `user`, `service_account`, or `organization` (then `holder` is empty). Without `expires_at_us` a row stays
-- until the object is deleted through the gateway.
CREATE TABLE objects (
    id            TEXT NOT NULL,
    provider      TEXT NOT NULL,
    kind          TEXT NOT NULL,
    organization  TEXT NOT NULL,
    scope         TEXT NOT NULL,
    holder        TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    expires_at_us INTEGER,
    PRIMARY KEY (id, provider)
) STRICT, WITHOUT ROWID;

CREATE INDEX objects_by_expiry ON objects (expires_at_us) WHERE expires_at_us IS NOT NULL;
