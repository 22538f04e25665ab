//! The combinations of names that sums are kept for.

use crate::db::{self, Connection, OptionalExtension, ValueRef};
use crate::rollup::GroupKey;
use crate::segment::cut;
use sha2::{Digest, Sha256};

/// Columns that make a group.
pub(crate) const GROUP_COLUMNS: usize = 12;

/// The names of a group, in the order of the columns of `groups`; an absent one is empty.
pub(crate) fn names_of(group: &GroupKey) -> [&str; GROUP_COLUMNS] {
    let caller = &group.caller;
    [
        &caller.organization,
        caller.team.as_deref().unwrap_or_default(),
        caller.user.as_deref().unwrap_or_default(),
        caller.service_account.as_deref().unwrap_or_default(),
        caller.project.as_deref().unwrap_or_default(),
        caller.key_id.as_deref().unwrap_or_default(),
        group.provider.as_deref().unwrap_or_default(),
        group.model.as_deref().unwrap_or_default(),
        group.dialect.unwrap_or_default(),
        group.client.unwrap_or_default(),
        group.reason.as_str(),
        group.origin.as_str(),
    ]
    .map(cut)
}

/// The id of a group, which gets one if it has none.
pub(crate) fn id(connection: &Connection, group: &GroupKey) -> db::Result<i64> {
    let names = names_of(group);
    match connection {
        Connection::Sqlite(_) => id_by_names(connection, names),
        Connection::Postgres(_) => id_by_hash(connection, names),
    }
}

fn id_by_names(connection: &Connection, names: [&str; GROUP_COLUMNS]) -> db::Result<i64> {
    let names = names.map(ValueRef::Text);
    let known = connection
        .prepare_cached(
            "SELECT id FROM groups WHERE organization = ?1 AND team = ?2 AND \"user\" = ?3 AND service_account = ?4
                AND project = ?5 AND key_id = ?6 AND provider = ?7 AND model = ?8 AND dialect = ?9 AND client = ?10
                AND reason = ?11 AND origin = ?12",
        )?
        .query_row(names.as_slice(), |row| row.get(0))
        .optional()?;
    match known {
        Some(id) => Ok(id),
        None => connection
            .prepare_cached(
                "INSERT INTO groups (organization, team, \"user\", service_account, project, key_id, provider, model,
                                     dialect, client, reason, origin)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) RETURNING id",
            )?
            .query_row(names.as_slice(), |row| row.get(0)),
    }
}

/// Others may be about to store the same group: whoever comes second takes the id that the first one made.
fn id_by_hash(connection: &Connection, names: [&str; GROUP_COLUMNS]) -> db::Result<i64> {
    let hash = hash(&names);
    let find = |connection: &Connection| {
        connection
            .prepare_cached("SELECT id FROM groups WHERE names = ?1")?
            .query_row([hash], |row| row.get(0))
            .optional()
    };
    if let Some(id) = find(connection)? {
        return Ok(id);
    }
    let mut values = vec![ValueRef::Blob(&hash)];
    values.extend(names.map(ValueRef::Text));
    let made = connection
        .prepare_cached(
            "INSERT INTO groups (names, organization, team, \"user\", service_account, project, key_id, provider, model,
                                 dialect, client, reason, origin)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT (names) DO NOTHING RETURNING id",
        )?
        .query_row(values.as_slice(), |row| row.get(0))
        .optional()?;
    match made {
        Some(id) => Ok(id),
        None => find(connection)?.ok_or(db::Error::NoRows),
    }
}

/// Each name with its length before it, so that no two groups are hashed alike.
fn hash(names: &[&str; GROUP_COLUMNS]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for name in names {
        hash.update(u64::try_from(name.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(name);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_run_together_alike_are_hashed_apart() {
        let mut names = [""; GROUP_COLUMNS];
        (names[0], names[1]) = ("ab", "c");
        let one = hash(&names);
        (names[0], names[1]) = ("a", "bc");
        assert_ne!(one, hash(&names));
    }
}
