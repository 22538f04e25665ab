-- Alerts, how far each is on its way to those who want to know, and sums of what policies decided.

-- `thread` is the conversation, or without one the key: what repeats of an alert have in common. `rules` and `evidence`
-- are JSON; no value that was found is in them. `severity_rank` orders `low`, `medium`, `high` and `critical`.
CREATE TABLE alerts (
    id                 TEXT PRIMARY KEY,
    organization       TEXT NOT NULL,
    at_us              INTEGER NOT NULL,
    last_at_us         INTEGER NOT NULL,
    count              INTEGER NOT NULL,
    severity_rank      INTEGER NOT NULL,
    stage              TEXT NOT NULL,
    action             TEXT NOT NULL,
    enforceable        INTEGER NOT NULL,
    enforced           INTEGER NOT NULL,
    rule               TEXT NOT NULL,
    rules              TEXT NOT NULL,
    entity             TEXT,
    explanation        TEXT NOT NULL,
    thread             TEXT NOT NULL,
    conversation       TEXT,
    exchange           TEXT NOT NULL,
    team               TEXT,
    user               TEXT,
    service_account    TEXT,
    project            TEXT,
    key_id             TEXT,
    surface            TEXT NOT NULL,
    provider           TEXT,
    model              TEXT,
    policy_version     TEXT NOT NULL,
    evidence           TEXT NOT NULL,
    acknowledged_at_us INTEGER,
    acknowledged_by    TEXT,
    note               TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX alerts_open ON alerts (organization, rule, thread, id) WHERE acknowledged_at_us IS NULL;
CREATE INDEX alerts_by_organization ON alerts (organization, id);

-- `state` is pending, delivered or failed; `sink` the name of a webhook in the configuration.
CREATE TABLE alert_deliveries (
    alert         TEXT NOT NULL,
    sink          TEXT NOT NULL,
    state         TEXT NOT NULL,
    attempts      INTEGER NOT NULL,
    next_try_us   INTEGER,
    last_error    TEXT,
    changed_at_us INTEGER NOT NULL,
    PRIMARY KEY (alert, sink)
) STRICT, WITHOUT ROWID;

CREATE INDEX alert_deliveries_due ON alert_deliveries (next_try_us) WHERE state = 'pending';

-- By hour: exchanges in which a policy's rule decided (`kind` = policy) or a detector's rule found something
-- (`kind` = detector), with the strictest action of the stage. Exchanges that left no record are in it.
CREATE TABLE decision_sums (
    hour         INTEGER NOT NULL,
    organization TEXT NOT NULL,
    kind         TEXT NOT NULL,
    rule         TEXT NOT NULL,
    entity       TEXT NOT NULL,
    stage        TEXT NOT NULL,
    action       TEXT NOT NULL,
    enforced     INTEGER NOT NULL,
    exchanges    INTEGER NOT NULL,
    findings     INTEGER NOT NULL,
    PRIMARY KEY (hour, organization, kind, rule, entity, stage, action, enforced)
) STRICT, WITHOUT ROWID;
