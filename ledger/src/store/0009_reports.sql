-- What administration asks for often, and requests that are done once.

-- Requests to the administration API that are done once however often they are sent, by the token that sent them and the
-- name they came with. What they were answered is not here: it may hold a secret.
CREATE TABLE begun_once (
    actor       TEXT NOT NULL,
    name        TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    at_us       INTEGER NOT NULL,
    PRIMARY KEY (actor, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX begun_once_by_time ON begun_once (at_us);

-- Where a group has exchanges, and when those of a segment began, without reading any segment.
CREATE INDEX rollups_by_group ON rollups (group_id, hour);
CREATE INDEX segments_by_time ON segments (id, first_at_us, last_at_us);

-- By day (days since 1970, UTC): exchanges by what governs them. `capabilities` are bits: 1 cost, 2 guardrails, 4 access,
-- 8 audit. Exchanges that left no record are in it.
CREATE TABLE class_sums (
    day          INTEGER NOT NULL,
    organization TEXT NOT NULL,
    class        TEXT NOT NULL,
    surface      TEXT NOT NULL,
    capabilities INTEGER NOT NULL,
    exchanges    INTEGER NOT NULL,
    PRIMARY KEY (day, organization, class, surface, capabilities)
) STRICT, WITHOUT ROWID;

INSERT INTO meta VALUES ('class_sums_from_us', CAST(strftime('%s', 'now') AS INTEGER) * 1000000);
