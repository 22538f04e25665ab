-- Budgets and rate limits that were made while a gateway ran.
CREATE TABLE limits (
    kind          TEXT COLLATE "C" NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    document      TEXT COLLATE "C" NOT NULL,
    version       BIGINT NOT NULL,
    created_at_us BIGINT NOT NULL,
    updated_at_us BIGINT NOT NULL,
    updated_by    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (kind, name)
);
