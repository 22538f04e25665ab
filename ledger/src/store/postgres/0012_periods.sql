-- Sums by day and by month, and segments that were made of others.

-- The rows of `rollups` added up: `day` counts days since 1970, `month` months since January 1970 (UTC). They change in the same
-- transaction as `rollups`. Those before `days_from` and `months_from` (in meta; without it there are none) are not added up yet:
-- the writer does that one after the other, the newest first.

CREATE TABLE rollups_by_day (
    day             BIGINT NOT NULL,
    group_id        BIGINT NOT NULL,
    overflow        BIGINT NOT NULL,
    requests        BIGINT NOT NULL,
    input           BIGINT NOT NULL,
    input_unknown   BIGINT NOT NULL,
    cache_read      BIGINT NOT NULL,
    cache_write     BIGINT NOT NULL,
    output          BIGINT NOT NULL,
    output_unknown  BIGINT NOT NULL,
    reasoning       BIGINT NOT NULL,
    cost_nanousd    BIGINT NOT NULL,
    cost_unknown    BIGINT NOT NULL,
    request_bytes   BIGINT NOT NULL,
    response_bytes  BIGINT NOT NULL,
    PRIMARY KEY (day, group_id, overflow)
);

CREATE TABLE rollups_by_month (
    month           BIGINT NOT NULL,
    group_id        BIGINT NOT NULL,
    overflow        BIGINT NOT NULL,
    requests        BIGINT NOT NULL,
    input           BIGINT NOT NULL,
    input_unknown   BIGINT NOT NULL,
    cache_read      BIGINT NOT NULL,
    cache_write     BIGINT NOT NULL,
    output          BIGINT NOT NULL,
    output_unknown  BIGINT NOT NULL,
    reasoning       BIGINT NOT NULL,
    cost_nanousd    BIGINT NOT NULL,
    cost_unknown    BIGINT NOT NULL,
    request_bytes   BIGINT NOT NULL,
    response_bytes  BIGINT NOT NULL,
    PRIMARY KEY (month, group_id, overflow)
);

INSERT INTO meta SELECT 'days_from', 9223372036854775807 WHERE EXISTS (SELECT 1 FROM rollups);
INSERT INTO meta SELECT 'months_from', 9223372036854775807 WHERE EXISTS (SELECT 1 FROM rollups);

-- A segment may hold the records of several, in the order of their ids; it has the id of the last. `parts` says of each its id
-- and how many records it had, as integers in base 128: the first id, its records, then the distance to the next id, and so on.
-- Without it the segment is as it was written. Segments of a writer up to its `joined_up_to` stay as they are.
ALTER TABLE segments ADD COLUMN parts BYTEA;
ALTER TABLE writers ADD COLUMN joined_up_to BIGINT NOT NULL DEFAULT 0;
