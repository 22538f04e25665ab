-- Prompts and answers, where an operator wants them kept. All of them are sealed; what is here without its key says nothing.

-- Keys of content: one for each person (or whoever else it is attributed to) and day, wrapped by the master key with this
-- mark. Without its row here what it sealed cannot be read, wherever else a copy is. `day` counts days since 1970 (UTC);
-- `scope` says what `holder` names: `user`, `service_account`, `team`, or `organization` (then `holder` is empty).
CREATE TABLE content_keys (
    id            TEXT PRIMARY KEY,
    organization  TEXT NOT NULL,
    scope         TEXT NOT NULL,
    holder        TEXT NOT NULL,
    day           INTEGER NOT NULL,
    master        TEXT NOT NULL,
    wrapped_key   BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX content_keys_by_holder ON content_keys (organization, scope, holder, day, master);
CREATE INDEX content_keys_by_day ON content_keys (day);

-- The content of one exchange. A row stays when its content goes: `gone` is then `erased` or `expired`. States are words of
-- the record, sizes are those before anything was cut. An absent name is the empty text.
CREATE TABLE content (
    record          BLOB NOT NULL PRIMARY KEY,
    organization    TEXT NOT NULL,
    team            TEXT NOT NULL,
    "user"          TEXT NOT NULL,
    service_account TEXT NOT NULL,
    at_us           INTEGER NOT NULL,
    expires_at_us   INTEGER NOT NULL,
    key_id          TEXT NOT NULL,
    request_state   TEXT NOT NULL,
    request_bytes   INTEGER NOT NULL,
    request         BLOB,
    answer_state    TEXT NOT NULL,
    answer_bytes    INTEGER NOT NULL,
    answer          BLOB,
    gone            TEXT,
    gone_at_us      INTEGER
) STRICT;

CREATE INDEX content_by_user ON content (organization, "user", record);
CREATE INDEX content_by_account ON content (organization, service_account, record);
CREATE INDEX content_by_expiry ON content (expires_at_us) WHERE gone IS NULL;
CREATE INDEX content_by_key ON content (key_id) WHERE gone IS NULL;

-- What must not go, whatever else says so, until it is released. An absent name is the empty text and means all of them.
CREATE TABLE content_holds (
    id             TEXT PRIMARY KEY,
    organization   TEXT NOT NULL,
    team           TEXT NOT NULL,
    "user"         TEXT NOT NULL,
    record         BLOB,
    from_us        INTEGER NOT NULL,
    to_us          INTEGER NOT NULL,
    reason         TEXT NOT NULL,
    created_at_us  INTEGER NOT NULL,
    created_by     TEXT NOT NULL,
    released_at_us INTEGER,
    released_by    TEXT,
    release_reason TEXT
) STRICT;
