-- Prompts and answers, where an operator wants them kept. All of them are sealed; what is here without its key says nothing.

-- Keys of content: one for each person (or whoever else it is attributed to) and day, wrapped by the master key with this
-- mark. Without its row here what it sealed cannot be read, wherever else a copy is. `day` counts days since 1970 (UTC);
-- `scope` says what `holder` names: `user`, `service_account`, `team`, or `organization` (then `holder` is empty).
CREATE TABLE content_keys (
    id            TEXT COLLATE "C" PRIMARY KEY,
    organization  TEXT COLLATE "C" NOT NULL,
    scope         TEXT COLLATE "C" NOT NULL,
    holder        TEXT COLLATE "C" NOT NULL,
    day           BIGINT NOT NULL,
    master        TEXT COLLATE "C" NOT NULL,
    wrapped_key   BYTEA NOT NULL
);

CREATE UNIQUE INDEX content_keys_by_holder ON content_keys (organization, scope, holder, day, master);
CREATE INDEX content_keys_by_day ON content_keys (day);

-- The content of one exchange. A row stays when its content goes: `gone` is then `erased` or `expired`. States are words of
-- the record, sizes are those before anything was cut. An absent name is the empty text.
CREATE TABLE content (
    record          BYTEA NOT NULL PRIMARY KEY,
    organization    TEXT COLLATE "C" NOT NULL,
    team            TEXT COLLATE "C" NOT NULL,
    "user"          TEXT COLLATE "C" NOT NULL,
    service_account TEXT COLLATE "C" NOT NULL,
    at_us           BIGINT NOT NULL,
    expires_at_us   BIGINT NOT NULL,
    key_id          TEXT COLLATE "C" NOT NULL,
    request_state   TEXT COLLATE "C" NOT NULL,
    request_bytes   BIGINT NOT NULL,
    request         BYTEA,
    answer_state    TEXT COLLATE "C" NOT NULL,
    answer_bytes    BIGINT NOT NULL,
    answer          BYTEA,
    gone            TEXT COLLATE "C",
    gone_at_us      BIGINT
);

CREATE INDEX content_by_user ON content (organization, "user", record);
CREATE INDEX content_by_account ON content (organization, service_account, record);
CREATE INDEX content_by_expiry ON content (expires_at_us) WHERE gone IS NULL;
CREATE INDEX content_by_key ON content (key_id) WHERE gone IS NULL;

-- What must not go, whatever else says so, until it is released. An absent name is the empty text and means all of them.
CREATE TABLE content_holds (
    id             TEXT COLLATE "C" PRIMARY KEY,
    organization   TEXT COLLATE "C" NOT NULL,
    team           TEXT COLLATE "C" NOT NULL,
    "user"         TEXT COLLATE "C" NOT NULL,
    record         BYTEA,
    from_us        BIGINT NOT NULL,
    to_us          BIGINT NOT NULL,
    reason         TEXT COLLATE "C" NOT NULL,
    created_at_us  BIGINT NOT NULL,
    created_by     TEXT COLLATE "C" NOT NULL,
    released_at_us BIGINT,
    released_by    TEXT COLLATE "C",
    release_reason TEXT COLLATE "C"
);
