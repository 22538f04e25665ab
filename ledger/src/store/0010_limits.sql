-- Budgets and rate limits that were made while the gateway ran, beside those of its file. `kind` is budget or rate_limit;
-- `document` is what the file would say of it, as JSON.
CREATE TABLE limits (
    kind          TEXT NOT NULL,
    name          TEXT NOT NULL,
    document      TEXT NOT NULL,
    version       INTEGER NOT NULL,
    created_at_us INTEGER NOT NULL,
    updated_at_us INTEGER NOT NULL,
    updated_by    TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
