-- Administration: several admin tokens, what was done and read, keys that a file declares, sealed credentials.

-- A token of every organization has none. Revoked ones stay, because the trail names them.
ALTER TABLE admin_tokens ADD COLUMN name TEXT NOT NULL DEFAULT 'first';
ALTER TABLE admin_tokens ADD COLUMN organization TEXT;
ALTER TABLE admin_tokens ADD COLUMN role TEXT NOT NULL DEFAULT 'write';
ALTER TABLE admin_tokens ADD COLUMN expires_at_us INTEGER;
ALTER TABLE admin_tokens ADD COLUMN revoked_at_us INTEGER;
ALTER TABLE admin_tokens ADD COLUMN last_used_at_us INTEGER;

-- The organization an event is about; none for what concerns the whole gateway. `rows` is what was read.
ALTER TABLE admin_events ADD COLUMN organization TEXT;
ALTER TABLE admin_events ADD COLUMN rows INTEGER;

-- The name a key has in the file that declares it; such a key is changed there only.
ALTER TABLE keys ADD COLUMN managed TEXT;
CREATE UNIQUE INDEX keys_managed ON keys (organization, managed) WHERE managed IS NOT NULL;

-- Credentials of providers, each sealed with a key of its own, which is wrapped by the master key with this mark.
CREATE TABLE credentials (
    organization  TEXT NOT NULL,
    name          TEXT NOT NULL,
    master        TEXT NOT NULL,
    wrapped_key   BLOB NOT NULL,
    sealed        BLOB NOT NULL,
    changed_at_us INTEGER NOT NULL,
    PRIMARY KEY (organization, name)
) STRICT, WITHOUT ROWID;
