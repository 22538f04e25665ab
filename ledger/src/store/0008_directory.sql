-- The directory: organizations, users, service accounts, teams and projects that are known.

-- `kind` is organization, user, service_account, team or project; an organization belongs to itself. Keys and records say
-- who they are about by `name`, so a name never changes, and what was deleted stays. `team` is the name of a project's team.
CREATE TABLE directory (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL UNIQUE,
    kind          TEXT NOT NULL,
    organization  TEXT NOT NULL,
    name          TEXT NOT NULL,
    display_name  TEXT,
    email         TEXT COLLATE NOCASE,
    external_id   TEXT,
    team          TEXT,
    disabled      INTEGER NOT NULL DEFAULT 0,
    version       INTEGER NOT NULL DEFAULT 1,
    created_at_us INTEGER NOT NULL,
    updated_at_us INTEGER NOT NULL,
    deleted_at_us INTEGER
) STRICT;

CREATE UNIQUE INDEX directory_names ON directory (kind, organization, name) WHERE deleted_at_us IS NULL;
CREATE UNIQUE INDEX directory_emails ON directory (organization, email)
    WHERE email IS NOT NULL AND deleted_at_us IS NULL;
CREATE UNIQUE INDEX directory_external_ids ON directory (kind, organization, external_id)
    WHERE external_id IS NOT NULL AND deleted_at_us IS NULL;
-- Those whose keys do not work.
CREATE INDEX directory_blocked ON directory (kind, organization, name)
    WHERE disabled = 1 OR deleted_at_us IS NOT NULL;

-- Users in teams, both by `directory.seq`.
CREATE TABLE team_members (
    team   INTEGER NOT NULL,
    member INTEGER NOT NULL,
    PRIMARY KEY (team, member)
) STRICT, WITHOUT ROWID;

CREATE INDEX team_members_by_member ON team_members (member);
