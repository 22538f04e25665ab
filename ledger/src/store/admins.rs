//! Admin tokens in the store.

use crate::admin::{AdminEntry, AdminInfo, NewAdminToken, Role};
use crate::db::{self, Connection, OptionalExtension, Row, Transaction, params};
use crate::error::LedgerError;
use crate::key::KeyRing;
use crate::token::{IssuedToken, PublicId};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

const COLUMNS: &str =
    "id, name, organization, role, created_at_us, expires_at_us, revoked_at_us, last_used_at_us, secret_hash";

pub(crate) fn insert(
    transaction: &Transaction<'_>,
    issued: &IssuedToken,
    new: &NewAdminToken,
    now_us: i64,
) -> db::Result<()> {
    transaction
        .execute(
            "INSERT INTO admin_tokens (id, secret_hash, created_at_us, name, organization, role, expires_at_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                issued.id,
                issued.hash,
                now_us,
                new.name,
                new.organization,
                new.role.as_str(),
                new.expires_at_us
            ],
        )
        .map(drop)
}

/// Whether there ever was one.
pub(crate) fn any(connection: &Connection) -> db::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM admin_tokens)", [], |row| row.get(0))
}

/// The token with this id.
pub(crate) fn get(connection: &Connection, id: &str) -> Result<AdminInfo, LedgerError> {
    let sql = format!("SELECT {COLUMNS} FROM admin_tokens WHERE id = ?1");
    connection
        .query_row(&sql, [id], info_of)
        .optional()?
        .ok_or_else(|| LedgerError::AdminTokenNotFound { id: id.to_owned() })
}

/// All tokens, oldest first.
pub(crate) fn list(connection: &Connection) -> db::Result<Vec<AdminInfo>> {
    let sql = format!("SELECT {COLUMNS} FROM admin_tokens ORDER BY created_at_us, id");
    connection.prepare(&sql)?.query_map([], info_of)?.collect()
}

pub(crate) fn revoke(transaction: &Transaction<'_>, id: &str, now_us: i64) -> db::Result<()> {
    let sql = "UPDATE admin_tokens SET revoked_at_us = coalesce(revoked_at_us, ?2) WHERE id = ?1";
    transaction.execute(sql, params![id, now_us]).map(drop)
}

/// Notes a use. No change to what anybody may do, so nobody has to read the tokens again.
pub(crate) fn used(connection: &Connection, id: &str, now_us: i64) -> db::Result<()> {
    let sql = "UPDATE admin_tokens SET last_used_at_us = ?2
               WHERE id = ?1 AND coalesce(last_used_at_us, 0) < ?2";
    connection.execute(sql, params![id, now_us]).map(drop)
}

/// Puts every token into the ring; notes of use in memory are kept from `before`.
pub(crate) fn load(transaction: &Transaction<'_>, ring: &mut KeyRing, before: &KeyRing) -> db::Result<()> {
    let mut statement = transaction.prepare(&format!("SELECT {COLUMNS} FROM admin_tokens"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let info = info_of(&row)?;
        let Some(id) = PublicId::from_text(&info.id) else { continue };
        let noted = before.admins.get(&id).map(|entry| entry.noted_us.load(Ordering::Relaxed));
        let entry = AdminEntry {
            id: info.id.into(),
            name: info.name.into(),
            organization: info.organization.map(Arc::from),
            role: info.role,
            hash: row.get(8)?,
            expires_at_us: info.expires_at_us,
            revoked: info.revoked_at_us.is_some(),
            noted_us: AtomicI64::new(noted.unwrap_or(0).max(info.last_used_at_us.unwrap_or(0))),
        };
        ring.admins.insert(id, Arc::new(entry));
    }
    Ok(())
}

fn info_of(row: &Row<'_>) -> db::Result<AdminInfo> {
    let role: String = row.get(3)?;
    Ok(AdminInfo {
        id: row.get(0)?,
        name: row.get(1)?,
        organization: row.get(2)?,
        // A word that a newer program wrote allows the least.
        role: Role::from_word(&role).unwrap_or(Role::Read),
        created_at_us: row.get(4)?,
        expires_at_us: row.get(5)?,
        revoked_at_us: row.get(6)?,
        last_used_at_us: row.get(7)?,
    })
}
