//! The directory in the store.

use crate::db::{self, Connection, OptionalExtension, Row, Transaction, params};
use crate::directory::{Entry, EntryFilter, EntryKind, EntryPage, EntryState, NewEntry};
use crate::error::LedgerError;
use crate::key::NewKey;
use std::collections::{BTreeMap, HashMap};

const COLUMNS: &str = "seq, id, kind, organization, name, display_name, email, external_id, team, disabled, version, \
    created_at_us, updated_at_us, deleted_at_us, \
    (SELECT count(*) FROM team_members WHERE team_members.team = directory.seq)";

/// An entry and its row.
pub(crate) struct Stored {
    pub(crate) seq: i64,
    pub(crate) entry: Entry,
}

pub(crate) fn insert(transaction: &Transaction<'_>, id: &str, new: &NewEntry, now_us: i64) -> db::Result<()> {
    let organization = if new.kind == EntryKind::Organization { &new.name } else { &new.organization };
    transaction
        .prepare_cached(
            "INSERT INTO directory (id, kind, organization, name, display_name, email, external_id, team,
                                    created_at_us, updated_at_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)",
        )?
        .execute(params![
            id,
            new.kind.as_str(),
            organization,
            new.name,
            new.display_name,
            new.email,
            new.external_id,
            new.team,
            now_us,
        ])
        .map(drop)
}

/// The entry of a kind with this public id, deleted or not.
pub(crate) fn get(connection: &Connection, kind: EntryKind, id: &str) -> Result<Stored, LedgerError> {
    let sql = format!("SELECT {COLUMNS} FROM directory WHERE id = ?1 AND kind = ?2");
    let found =
        connection.prepare_cached(&sql)?.query_row(params![id, kind.as_str()], stored_of).optional()?;
    found.ok_or_else(|| LedgerError::EntryNotFound { kind, id: id.to_owned() })
}

/// The entry that was not deleted with this name or, where nothing has that name, with this public id.
pub(crate) fn find(
    connection: &Connection,
    kind: EntryKind,
    organization: &str,
    name_or_id: &str,
) -> db::Result<Option<Stored>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM directory
         WHERE kind = ?1 AND organization = ?2 AND name = ?3 AND deleted_at_us IS NULL"
    );
    let within = if kind == EntryKind::Organization { name_or_id } else { organization };
    let named = connection
        .prepare_cached(&sql)?
        .query_row(params![kind.as_str(), within, name_or_id], stored_of)
        .optional()?;
    if named.is_some() {
        return Ok(named);
    }
    let sql =
        format!("SELECT {COLUMNS} FROM directory WHERE id = ?1 AND kind = ?2 AND deleted_at_us IS NULL");
    let found = connection
        .prepare_cached(&sql)?
        .query_row(params![name_or_id, kind.as_str()], stored_of)
        .optional()?;
    let own = |stored: &Stored| kind == EntryKind::Organization || stored.entry.organization == organization;
    Ok(found.filter(own))
}

/// The public id of an entry that was not deleted and has this in a column that only one may have.
pub(crate) fn taken(
    connection: &Connection,
    kind: EntryKind,
    organization: &str,
    column: &str,
    value: &str,
    but: i64,
) -> db::Result<Option<String>> {
    let same = match column {
        "email" => connection.is_caseless(column, "?3"),
        _ => format!("{column} = ?3"),
    };
    let sql = format!(
        "SELECT id FROM directory
         WHERE kind = ?1 AND organization = ?2 AND {same} AND seq <> ?4 AND deleted_at_us IS NULL"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_row(params![kind.as_str(), organization, value, but], |row| row.get(0)).optional()
}

/// Writes what may change of an entry, as its next version.
pub(crate) fn update(transaction: &Transaction<'_>, stored: &Stored, now_us: i64) -> db::Result<()> {
    let entry = &stored.entry;
    transaction
        .prepare_cached(
            "UPDATE directory SET display_name = ?2, email = ?3, external_id = ?4, team = ?5, disabled = ?6,
                                  version = version + 1, updated_at_us = ?7
             WHERE seq = ?1",
        )?
        .execute(params![
            stored.seq,
            entry.display_name,
            entry.email,
            entry.external_id,
            entry.team,
            entry.state == EntryState::Disabled,
            now_us,
        ])
        .map(drop)
}

/// Leaves a tombstone. Nobody is a member of it any more, nor it of anything.
pub(crate) fn delete(transaction: &Transaction<'_>, seq: i64, now_us: i64) -> db::Result<()> {
    transaction.execute("DELETE FROM team_members WHERE team = ?1 OR member = ?1", [seq])?;
    transaction
        .execute(
            "UPDATE directory SET deleted_at_us = ?2, updated_at_us = ?2, version = version + 1 WHERE seq = ?1",
            params![seq, now_us],
        )
        .map(drop)
}

/// Makes users members of a team.
pub(crate) fn add_members(transaction: &Transaction<'_>, team: i64, members: &[i64]) -> db::Result<()> {
    let mut statement =
        transaction.prepare_cached("INSERT INTO team_members VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    members.iter().try_for_each(|member| statement.execute([team, *member]).map(drop))
}

/// Ends their being members.
pub(crate) fn remove_members(transaction: &Transaction<'_>, team: i64, members: &[i64]) -> db::Result<()> {
    let mut statement =
        transaction.prepare_cached("DELETE FROM team_members WHERE team = ?1 AND member = ?2")?;
    members.iter().try_for_each(|member| statement.execute([team, *member]).map(drop))
}

/// The names of a team's members, in alphabetical order.
pub(crate) fn members(connection: &Connection, team: i64) -> db::Result<Vec<String>> {
    connection
        .prepare_cached(
            "SELECT name FROM team_members JOIN directory ON directory.seq = member WHERE team_members.team = ?1
             ORDER BY name",
        )?
        .query_map([team], |row| row.get(0))?
        .collect()
}

/// How many entries that were not deleted belong to it: those of an organization, the projects of a team.
pub(crate) fn count_below(connection: &Connection, entry: &Entry) -> db::Result<u64> {
    let count: i64 = match entry.kind {
        EntryKind::Organization => connection.query_row(
            "SELECT count(*) FROM directory
             WHERE organization = ?1 AND kind <> 'organization' AND deleted_at_us IS NULL",
            [&entry.name],
            |row| row.get(0),
        )?,
        EntryKind::Team => connection.query_row(
            "SELECT count(*) FROM directory
             WHERE organization = ?1 AND kind = 'project' AND team = ?2 AND deleted_at_us IS NULL",
            [&entry.organization, &entry.name],
            |row| row.get(0),
        )?,
        EntryKind::User | EntryKind::ServiceAccount | EntryKind::Project => 0,
    };
    Ok(count.unsigned_abs())
}

/// Entries that match and come after `after`, the oldest first.
pub(crate) fn page(
    connection: &Connection,
    filter: &EntryFilter,
    limit: usize,
    after: Option<i64>,
) -> db::Result<EntryPage> {
    let email = connection.is_caseless("email", "?5");
    let sql = format!(
        "SELECT {COLUMNS} FROM directory
         WHERE seq > ?1 AND kind = ?2 AND (organization = ?3 OR ?3 IS NULL) AND (name = ?4 OR ?4 IS NULL)
           AND ({email} OR ?5 IS NULL) AND (external_id = ?6 OR ?6 IS NULL)
           AND (team = ?7 OR ?7 IS NULL OR EXISTS (
                SELECT 1 FROM team_members JOIN directory AS holder ON holder.seq = team_members.team
                WHERE member = directory.seq AND holder.name = ?7))
           AND CASE ?8 WHEN 'active' THEN disabled = 0 AND deleted_at_us IS NULL
                       WHEN 'disabled' THEN disabled = 1 AND deleted_at_us IS NULL
                       WHEN 'deleted' THEN deleted_at_us IS NOT NULL
                       ELSE deleted_at_us IS NULL END
         ORDER BY seq LIMIT ?9"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    // One more than asked tells whether there is another page.
    let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let rows = statement.query_map(
        params![
            after.unwrap_or(0),
            filter.kind.as_str(),
            filter.organization,
            filter.name,
            filter.email,
            filter.external_id,
            filter.team,
            filter.state.map(EntryState::as_str),
            wanted,
        ],
        stored_of,
    )?;
    let mut found = rows.collect::<db::Result<Vec<Stored>>>()?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| last.seq);
    Ok(EntryPage { entries: found.into_iter().map(|stored| stored.entry).collect(), next })
}

/// The state and public id of the newest entry of each name.
pub(crate) type States = BTreeMap<(EntryKind, String, String), (EntryState, String)>;

/// All of them, of one organization or of every one.
pub(crate) fn states(connection: &Connection, organization: Option<&str>) -> db::Result<States> {
    let sql = format!("SELECT {COLUMNS} FROM directory WHERE organization = ?1 OR ?1 IS NULL ORDER BY seq");
    let mut statement = connection.prepare(&sql)?;
    let mut states = States::new();
    for stored in statement.query_map([organization], stored_of)? {
        let entry = stored?.entry;
        states.insert((entry.kind, entry.organization, entry.name), (entry.state, entry.id));
    }
    Ok(states)
}

/// Names whose keys do not work: those of entries that are disabled, or were deleted and not made anew.
#[derive(Debug, Default)]
pub(crate) struct Blocked(HashMap<(String, String), Vec<EntryKind>>);

impl Blocked {
    /// Reads all of them.
    pub(crate) fn read(connection: &Connection) -> db::Result<Blocked> {
        let mut names: HashMap<(String, String), Vec<EntryKind>> = HashMap::new();
        let mut statement = connection.prepare_cached(
            "SELECT kind, organization, name FROM directory AS gone
             WHERE (disabled = 1 OR deleted_at_us IS NOT NULL) AND NOT EXISTS (
                SELECT 1 FROM directory WHERE kind = gone.kind AND organization = gone.organization
                    AND name = gone.name AND deleted_at_us IS NULL AND disabled = 0)",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            names.entry((row.get(1)?, row.get(2)?)).or_default().push(kind_of(&row, 0)?);
        }
        Ok(Blocked(names))
    }

    /// What keeps keys of these owners from working, if anything does.
    pub(crate) fn by(&self, organization: &str, owners: [(EntryKind, Option<&str>); 4]) -> Option<EntryKind> {
        if self.0.is_empty() {
            return None;
        }
        let own = (EntryKind::Organization, Some(organization));
        std::iter::once(own).chain(owners).find_map(|(kind, name)| {
            let kinds = self.0.get(&(organization.to_owned(), name?.to_owned()))?;
            kinds.contains(&kind).then_some(kind)
        })
    }
}

/// Says the owners of a new key by name, where they were told by id, and refuses those that are disabled or deleted and,
/// if `known` is asked for, those that the directory does not know.
pub(crate) fn resolve_owners(
    connection: &Connection,
    new: &NewKey,
    known: bool,
) -> Result<NewKey, LedgerError> {
    let mut new = new.clone();
    let mut organization = Some(std::mem::take(&mut new.organization));
    resolve(connection, EntryKind::Organization, "", &mut organization, known)?;
    new.organization = organization.unwrap_or_default();
    for (kind, owner) in [
        (EntryKind::Team, &mut new.team),
        (EntryKind::User, &mut new.user),
        (EntryKind::ServiceAccount, &mut new.service_account),
        (EntryKind::Project, &mut new.project),
    ] {
        resolve(connection, kind, &new.organization, owner, known)?;
    }
    Ok(new)
}

fn resolve(
    connection: &Connection,
    kind: EntryKind,
    organization: &str,
    owner: &mut Option<String>,
    known: bool,
) -> Result<(), LedgerError> {
    let Some(name) = owner else { return Ok(()) };
    let within = if kind == EntryKind::Organization { name.as_str() } else { organization };
    if let Some(found) = find(connection, kind, within, name)? {
        if found.entry.state == EntryState::Disabled {
            let (name, state) = (found.entry.name, EntryState::Disabled);
            return Err(LedgerError::OwnerBlocked { kind, name, state });
        }
        *name = found.entry.name;
        return Ok(());
    }
    let gone: bool = connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM directory WHERE kind = ?1 AND organization = ?2 AND name = ?3)",
        )?
        .query_row(params![kind.as_str(), within, name.as_str()], |row| row.get(0))?;
    if gone {
        return Err(LedgerError::OwnerBlocked { kind, name: name.clone(), state: EntryState::Deleted });
    }
    if known {
        let (organization, name) = (within.to_owned(), name.clone());
        return Err(LedgerError::OwnerUnknown { kind, organization, name });
    }
    Ok(())
}

fn kind_of(row: &Row<'_>, column: usize) -> db::Result<EntryKind> {
    let word: String = row.get(column)?;
    EntryKind::from_word(&word)
        .ok_or_else(|| db::Error::conversion(column, format!("an unknown kind, `{word}`")))
}

fn stored_of(row: &Row<'_>) -> db::Result<Stored> {
    let kind = kind_of(row, 2)?;
    let (disabled, deleted_at_us): (bool, Option<i64>) = (row.get(9)?, row.get(13)?);
    let state = match (deleted_at_us, disabled) {
        (Some(_), _) => EntryState::Deleted,
        (None, true) => EntryState::Disabled,
        (None, false) => EntryState::Active,
    };
    let members: i64 = row.get(14)?;
    let entry = Entry {
        id: row.get(1)?,
        kind,
        organization: row.get(3)?,
        name: row.get(4)?,
        state,
        display_name: row.get(5)?,
        email: row.get(6)?,
        external_id: row.get(7)?,
        team: row.get(8)?,
        member_count: (kind == EntryKind::Team).then_some(members.unsigned_abs()),
        members: None,
        version: row.get::<_, i64>(10)?.unsigned_abs(),
        created_at_us: row.get(11)?,
        updated_at_us: row.get(12)?,
        deleted_at_us,
    };
    Ok(Stored { seq: row.get(0)?, entry })
}
