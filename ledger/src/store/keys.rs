//! Keys in the store. Every change bumps `keys_version`.

use crate::db::{self, Connection, OptionalExtension, Row, Transaction, params};
use crate::directory::{Entry, EntryKind};
use crate::error::LedgerError;
use crate::key::{KeyEntry, KeyInfo, KeyRing, NewKey};
use crate::store::admins;
use crate::store::directory::Blocked;
use crate::token::{PublicId, SecretHash};
use narrows_policy::{Caller, CallerKind};
use std::sync::Arc;

const COLUMNS: &str = "id, name, organization, team, \"user\", service_account, project, metadata, models, \
    created_at_us, expires_at_us, disabled, previous_until_us, deleted_at_us, secret_hash, previous_hash, declared_in";

/// Makes every process read the keys again.
pub(crate) fn touch(transaction: &Transaction<'_>) -> db::Result<()> {
    transaction.execute("UPDATE meta SET value = value + 1 WHERE name = 'keys_version'", []).map(drop)
}

pub(crate) fn insert(
    transaction: &Transaction<'_>,
    id: &str,
    hash: &SecretHash,
    new: &NewKey,
    now_us: i64,
) -> db::Result<()> {
    let models = new.models.as_ref().map(|models| serde_json::json!(models).to_string());
    transaction.execute(
        "INSERT INTO keys (id, secret_hash, name, organization, team, \"user\", service_account, project, metadata,
                           models, created_at_us, expires_at_us)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            id,
            hash,
            new.name,
            new.organization,
            new.team,
            new.user,
            new.service_account,
            new.project,
            serde_json::json!(new.metadata).to_string(),
            models,
            now_us,
            new.expires_at_us,
        ],
    )?;
    Ok(())
}

/// The key with this id.
pub(crate) fn get(connection: &Connection, id: &str) -> Result<KeyInfo, LedgerError> {
    let sql = format!("SELECT {COLUMNS} FROM keys WHERE id = ?1");
    let found = connection.prepare_cached(&sql)?.query_row([id], info_of).optional()?;
    let mut info = found.ok_or_else(|| LedgerError::KeyNotFound { id: id.to_owned() })?;
    info.blocked_by = blocked_by(&Blocked::read(connection)?, &info);
    Ok(info)
}

/// What of the directory keeps a key from working, if anything does.
fn blocked_by(blocked: &Blocked, info: &KeyInfo) -> Option<EntryKind> {
    let owners = [
        (EntryKind::Team, info.team.as_deref()),
        (EntryKind::User, info.user.as_deref()),
        (EntryKind::ServiceAccount, info.service_account.as_deref()),
        (EntryKind::Project, info.project.as_deref()),
    ];
    blocked.by(&info.organization, owners)
}

/// The keys of an owner that work or would, but for those that a file declares: what works of these is the file's to say.
pub(crate) fn of_owner(connection: &Connection, owner: &Entry) -> db::Result<Vec<KeyInfo>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM keys
         WHERE organization = ?1 AND \"{}\" = ?2 AND disabled = 0 AND deleted_at_us IS NULL AND declared_in IS NULL
         ORDER BY created_at_us, id",
        owner.kind.as_str()
    );
    connection.prepare(&sql)?.query_map([&owner.organization, &owner.name], info_of)?.collect()
}

/// The key with this id and the hash of its secret, if there is one.
pub(crate) fn find(connection: &Connection, id: &str) -> db::Result<Option<(KeyInfo, SecretHash)>> {
    let sql = format!("SELECT {COLUMNS} FROM keys WHERE id = ?1");
    connection.prepare_cached(&sql)?.query_row([id], |row| Ok((info_of(row)?, row.get(14)?))).optional()
}

/// Calls `seen` with organization, name and public id of every key that was not deleted. Names have no index: one look
/// at all of them serves many questions.
pub(crate) fn names(connection: &Connection, mut seen: impl FnMut(String, String, String)) -> db::Result<()> {
    let mut statement = connection
        .prepare("SELECT organization, name, id FROM keys WHERE deleted_at_us IS NULL ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        seen(row.get(0)?, row.get(1)?, row.get(2)?);
    }
    Ok(())
}

/// Every key that a file declares now.
pub(crate) fn managed(connection: &Connection) -> db::Result<Vec<KeyInfo>> {
    let sql = format!("SELECT {COLUMNS} FROM keys WHERE managed IS NOT NULL ORDER BY created_at_us, id");
    connection.prepare(&sql)?.query_map([], info_of)?.collect()
}

/// The key with this id, if commands may still change it.
pub(crate) fn get_own(connection: &Connection, id: &str) -> Result<KeyInfo, LedgerError> {
    let info = get_living(connection, id)?;
    match &info.declared_in {
        None => Ok(info),
        Some(file) => Err(LedgerError::KeyDeclared { id: id.to_owned(), file: file.clone() }),
    }
}

/// The key with this id, if it may be deleted: one that a file declares now may not, one that left it may.
pub(crate) fn get_deletable(connection: &Connection, id: &str) -> Result<KeyInfo, LedgerError> {
    let info = get_living(connection, id)?;
    // Nothing but leaving the file disables a declared key.
    if info.declared_in.is_some() && info.disabled { Ok(info) } else { get_own(connection, id) }
}

fn get_living(connection: &Connection, id: &str) -> Result<KeyInfo, LedgerError> {
    let info = get(connection, id)?;
    if info.deleted_at_us.is_some() {
        return Err(LedgerError::KeyDeleted { id: id.to_owned() });
    }
    Ok(info)
}

/// Makes the key what the file says. It works then, whatever it was.
pub(crate) fn declare(
    transaction: &Transaction<'_>,
    id: &str,
    hash: &SecretHash,
    new: &NewKey,
    file: &str,
) -> db::Result<()> {
    let models = new.models.as_ref().map(|models| serde_json::json!(models).to_string());
    transaction
        .execute(
            "UPDATE keys SET secret_hash = ?2, name = ?3, managed = ?3, team = ?4, \"user\" = ?5, service_account = ?6,
                project = ?7, metadata = ?8, models = ?9, expires_at_us = ?10, declared_in = ?11, disabled = 0,
                previous_hash = NULL, previous_until_us = NULL
             WHERE id = ?1",
            params![
                id,
                hash,
                new.name,
                new.team,
                new.user,
                new.service_account,
                new.project,
                serde_json::json!(new.metadata).to_string(),
                models,
                new.expires_at_us,
                file,
            ],
        )
        .map(drop)
}

/// Frees the name that the key has in the file.
pub(crate) fn release(transaction: &Transaction<'_>, id: &str) -> db::Result<()> {
    transaction.execute("UPDATE keys SET managed = NULL WHERE id = ?1", [id]).map(drop)
}

/// All keys, oldest first; deleted ones only if asked for.
pub(crate) fn list(connection: &Connection, with_deleted: bool) -> db::Result<Vec<KeyInfo>> {
    let sql =
        format!("SELECT {COLUMNS} FROM keys WHERE ?1 OR deleted_at_us IS NULL ORDER BY created_at_us, id");
    let mut statement = connection.prepare(&sql)?;
    let keys = statement.query_map([with_deleted], info_of)?.collect::<db::Result<Vec<KeyInfo>>>()?;
    let blocked = Blocked::read(connection)?;
    Ok(keys.into_iter().map(|info| KeyInfo { blocked_by: blocked_by(&blocked, &info), ..info }).collect())
}

pub(crate) fn set_disabled(transaction: &Transaction<'_>, id: &str, disabled: bool) -> db::Result<()> {
    transaction.execute("UPDATE keys SET disabled = ?2 WHERE id = ?1", params![id, disabled]).map(drop)
}

/// Gives the key a new secret; the one before works until `previous_until_us`.
pub(crate) fn rotate(
    transaction: &Transaction<'_>,
    id: &str,
    hash: &SecretHash,
    previous_until_us: i64,
) -> db::Result<()> {
    transaction
        .execute(
            "UPDATE keys SET previous_hash = secret_hash, previous_until_us = ?3, secret_hash = ?2 WHERE id = ?1",
            params![id, hash, previous_until_us],
        )
        .map(drop)
}

/// Leaves a tombstone: the id keeps naming the owner of old records, the key itself is refused for good.
pub(crate) fn delete(transaction: &Transaction<'_>, id: &str, now_us: i64) -> db::Result<()> {
    transaction
        .execute(
            "UPDATE keys SET deleted_at_us = ?2, disabled = 1, previous_hash = NULL, previous_until_us = NULL
             WHERE id = ?1",
            params![id, now_us],
        )
        .map(drop)
}

/// The store's count of changes to keys.
pub(crate) fn version(connection: &Connection) -> db::Result<i64> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE name = 'keys_version'")?
        .query_row([], |row| row.get(0))
}

/// Reads the whole ring in one consistent view. Callers that did not change are taken from `before`, so that
/// their records keep sharing one allocation.
pub(crate) fn load_ring(connection: &mut Connection, before: &KeyRing) -> db::Result<KeyRing> {
    let transaction = connection.transaction()?;
    let mut ring = KeyRing { version: version(&transaction)?, ..KeyRing::default() };
    let blocked = Blocked::read(&transaction)?;
    let mut statement = transaction.prepare(&format!("SELECT {COLUMNS} FROM keys"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let info = info_of(&row)?;
        let Some(id) = PublicId::from_text(&info.id) else { continue };
        let previous: Option<SecretHash> = row.get(15)?;
        let caller = before.keys.get(&id).map(|entry| &entry.caller);
        let entry = KeyEntry {
            hash: row.get(14)?,
            previous: previous.zip(info.previous_secret_until_us),
            expires_at_us: info.expires_at_us,
            disabled: info.disabled || info.deleted_at_us.is_some() || blocked_by(&blocked, &info).is_some(),
            models: info.models.clone(),
            caller: shared_caller(info, caller),
        };
        ring.keys.insert(id, Arc::new(entry));
    }
    admins::load(&transaction, &mut ring, before)?;
    Ok(ring)
}

fn shared_caller(info: KeyInfo, before: Option<&Arc<Caller>>) -> Arc<Caller> {
    let caller = Caller {
        kind: CallerKind::VirtualKey,
        organization: info.organization,
        team: info.team,
        user: info.user,
        service_account: info.service_account,
        project: info.project,
        key_id: Some(info.id),
        metadata: info.metadata,
    };
    match before {
        Some(before) if **before == caller => Arc::clone(before),
        _ => Arc::new(caller),
    }
}

fn info_of(row: &Row<'_>) -> db::Result<KeyInfo> {
    Ok(KeyInfo {
        id: row.get(0)?,
        name: row.get(1)?,
        organization: row.get(2)?,
        team: row.get(3)?,
        user: row.get(4)?,
        service_account: row.get(5)?,
        project: row.get(6)?,
        metadata: from_json(row, 7)?.unwrap_or_default(),
        models: from_json(row, 8)?,
        created_at_us: row.get(9)?,
        expires_at_us: row.get(10)?,
        disabled: row.get(11)?,
        previous_secret_until_us: row.get(12)?,
        deleted_at_us: row.get(13)?,
        declared_in: row.get(16)?,
        // Told by the directory.
        blocked_by: None,
    })
}

fn from_json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> db::Result<Option<T>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|error| db::Error::conversion(column, error.to_string()))
}
