-- Records, packed by batch, and their sums by hour.

-- One row per written batch. `body` holds the records (read them with `narrows records`), `prints` the low
-- 32 bits of every record's id, four bytes each, so that one record is found without unpacking the others.
CREATE TABLE segments (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    first_at_us  INTEGER NOT NULL,
    last_at_us   INTEGER NOT NULL,
    records      INTEGER NOT NULL,
    prints       BLOB NOT NULL,
    body         BLOB NOT NULL
) STRICT;

-- The combinations of names that sums are kept for. An absent name is the empty text.
CREATE TABLE groups (
    id              INTEGER PRIMARY KEY,
    organization    TEXT NOT NULL,
    team            TEXT NOT NULL,
    user            TEXT NOT NULL,
    service_account TEXT NOT NULL,
    project         TEXT NOT NULL,
    key_id          TEXT NOT NULL,
    provider        TEXT NOT NULL,
    model           TEXT NOT NULL,
    dialect         TEXT NOT NULL,
    client          TEXT NOT NULL,
    reason          TEXT NOT NULL,
    origin          TEXT NOT NULL,
    UNIQUE (organization, team, user, service_account, project, key_id,
            provider, model, dialect, client, reason, origin)
) STRICT;

-- The sums of all segments up to `rolled_up_to` (in meta); they follow within seconds of the segments.
-- `hour` counts hours since 1970 (UTC). Rows with `overflow` = 1 are exchanges that
-- left these sums and no record, because the queue was full.
CREATE TABLE rollups (
    hour            INTEGER NOT NULL,
    group_id        INTEGER NOT NULL,
    overflow        INTEGER NOT NULL,
    requests        INTEGER NOT NULL,
    input           INTEGER NOT NULL,
    input_unknown   INTEGER NOT NULL,
    cache_read      INTEGER NOT NULL,
    cache_write     INTEGER NOT NULL,
    output          INTEGER NOT NULL,
    output_unknown  INTEGER NOT NULL,
    reasoning       INTEGER NOT NULL,
    cost_nanousd    INTEGER NOT NULL,
    cost_unknown    INTEGER NOT NULL,
    request_bytes   INTEGER NOT NULL,
    response_bytes  INTEGER NOT NULL,
    PRIMARY KEY (hour, group_id, overflow)
) STRICT, WITHOUT ROWID;

-- For people: SELECT * FROM usage_by_hour ORDER BY hour DESC LIMIT 20;
CREATE VIEW usage_by_hour AS
SELECT strftime('%Y-%m-%dT%H:00:00Z', hour * 3600, 'unixepoch') AS hour,
       organization, team, user, service_account, project, key_id, provider, model, dialect, client, reason, origin,
       requests, overflow, input, input_unknown, cache_read, cache_write, output, output_unknown, reasoning,
       cost_nanousd / 1e9 AS cost_usd, cost_unknown, request_bytes, response_bytes
FROM rollups JOIN groups ON groups.id = rollups.group_id;
