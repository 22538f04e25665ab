-- What exchanges were charged to budgets, by quarter of an hour, so that any window can be added up from it: every time
-- zone is a whole number of quarters away from UTC. Written together with the records that it is the sum of.

-- `quarter` counts quarters of an hour since 1970 (UTC). `budget` is its name in the configuration, `scope` what a counter
-- of it stands for, as JSON. `unpriced` are exchanges whose cost is not known.
CREATE TABLE spending (
    quarter      INTEGER NOT NULL,
    budget       TEXT NOT NULL,
    scope        TEXT NOT NULL,
    requests     INTEGER NOT NULL,
    tokens       INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    unpriced     INTEGER NOT NULL,
    PRIMARY KEY (quarter, budget, scope)
) STRICT, WITHOUT ROWID;
