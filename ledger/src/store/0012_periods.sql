-- Sums by day and by month, and segments that were made of others.

-- The rows of `rollups` added up: `day` counts days since 1970, `month` months since January 1970 (UTC). They change in the same
-- transaction as `rollups`. Those before `days_from` and `months_from` (in meta; without it there are none) are not added up yet:
-- the writer does that one after the other, the newest first.

CREATE TABLE rollups_by_day (
    day             INTEGER NOT NULL,
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
    PRIMARY KEY (day, group_id, overflow)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollups_by_month (
    month           INTEGER NOT NULL,
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
    PRIMARY KEY (month, group_id, overflow)
) STRICT, WITHOUT ROWID;

INSERT INTO meta SELECT 'days_from', 9223372036854775807 WHERE EXISTS (SELECT 1 FROM rollups);
INSERT INTO meta SELECT 'months_from', 9223372036854775807 WHERE EXISTS (SELECT 1 FROM rollups);

-- A segment may hold the records of several, in the order of their ids; it has the id of the last. `parts` says of each its id
-- and how many records it had, as integers in base 128: the first id, its records, then the distance to the next id, and so on.
-- Without it the segment is as it was written. Segments up to `joined_up_to` (in meta) stay as they are.
ALTER TABLE segments ADD COLUMN parts BLOB;
