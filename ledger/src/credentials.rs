//! Sealed credentials of providers. The ledger keeps bytes that it cannot open.

use crate::audit::AuditEntry;
use crate::db::{self, Connection, OptionalExtension, Row, Transaction, params};
use crate::error::LedgerError;
use crate::json;
use crate::keystore::KeyStore;
use crate::store::audit;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// A credential as it is stored. Its JSON form leaves out the sealed bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedCredential {
    /// The organization it belongs to.
    pub organization: String,
    /// Its name there.
    pub name: String,
    /// The mark of the master key that wraps its key.
    pub master: String,
    /// Its own key, wrapped.
    pub wrapped_key: Vec<u8>,
    /// The value, sealed with its own key.
    pub sealed: Vec<u8>,
    /// When it was set last, UTC microseconds since the epoch.
    pub changed_at_us: i64,
}

impl std::fmt::Debug for SealedCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedCredential")
            .field("organization", &self.organization)
            .field("name", &self.name)
            .field("master", &self.master)
            .finish_non_exhaustive()
    }
}

impl Serialize for SealedCredential {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Credential", 4)?;
        out.serialize_field("name", &self.name)?;
        out.serialize_field("organization", &self.organization)?;
        out.serialize_field("master_key", &self.master)?;
        out.serialize_field("changed_at", &json::time(self.changed_at_us))?;
        out.end()
    }
}

const COLUMNS: &str = "organization, name, master, wrapped_key, sealed, changed_at_us";

impl KeyStore {
    pub(crate) fn put_credential(&self, sealed: &SealedCredential, actor: &str) -> Result<(), LedgerError> {
        self.change(|transaction, now| {
            put(transaction, sealed, now)?;
            leave(transaction, now, sealed, actor, "credential_set")
        })
    }

    pub(crate) fn credentials(&self) -> Result<Vec<SealedCredential>, LedgerError> {
        let sql = format!("SELECT {COLUMNS} FROM credentials ORDER BY organization, name");
        Ok(self.lock().prepare(&sql)?.query_map([], sealed_of)?.collect::<db::Result<_>>()?)
    }

    pub(crate) fn credential(
        &self,
        organization: &str,
        name: &str,
    ) -> Result<Option<SealedCredential>, LedgerError> {
        Ok(get(&self.lock(), organization, name)?)
    }

    pub(crate) fn delete_credential(
        &self,
        organization: &str,
        name: &str,
        actor: &str,
    ) -> Result<bool, LedgerError> {
        self.change(|transaction, now| {
            let Some(sealed) = get(transaction, organization, name)? else { return Ok(false) };
            let sql = "DELETE FROM credentials WHERE organization = ?1 AND name = ?2";
            transaction.execute(sql, [organization, name])?;
            leave(transaction, now, &sealed, actor, "credential_deleted")?;
            Ok(true)
        })
    }

    /// Replaces all of them at once; `work` gives each its new form or refuses the whole.
    pub(crate) fn rewrap_credentials<E: From<LedgerError>>(
        &self,
        actor: &str,
        work: impl Fn(&SealedCredential) -> Result<SealedCredential, E>,
    ) -> Result<usize, E> {
        // The ledger's error carries the caller's out of the transaction.
        let mut refused = None;
        let done = self.change(|transaction, now| {
            let sql = format!("SELECT {COLUMNS} FROM credentials");
            let all = transaction.prepare(&sql)?.query_map([], sealed_of)?.collect::<db::Result<Vec<_>>>()?;
            for before in &all {
                match work(before) {
                    Ok(after) => {
                        put(transaction, &after, before.changed_at_us)?;
                        leave(transaction, now, &after, actor, "credential_rewrapped")?;
                    }
                    Err(error) => {
                        refused = Some(error);
                        return Err(LedgerError::BadQuery("a credential could not be rewrapped"));
                    }
                }
            }
            Ok(all.len())
        });
        match refused {
            Some(error) => Err(error),
            None => Ok(done?),
        }
    }
}

fn put(transaction: &Transaction<'_>, sealed: &SealedCredential, at_us: i64) -> db::Result<()> {
    let sql = format!(
        "INSERT INTO credentials ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (organization, name) DO UPDATE SET master = excluded.master, wrapped_key = excluded.wrapped_key,
            sealed = excluded.sealed, changed_at_us = excluded.changed_at_us"
    );
    let SealedCredential { organization, name, master, wrapped_key, sealed, .. } = sealed;
    transaction.execute(&sql, params![organization, name, master, wrapped_key, sealed, at_us]).map(drop)
}

fn leave(
    transaction: &Transaction<'_>,
    at_us: i64,
    sealed: &SealedCredential,
    actor: &str,
    action: &str,
) -> Result<(), LedgerError> {
    let target = &sealed.name;
    let organization = Some(sealed.organization.as_str());
    let entry = AuditEntry { actor, action, target, organization, detail: None, rows: None };
    Ok(audit::insert(transaction, at_us, &entry)?)
}

fn get(connection: &Connection, organization: &str, name: &str) -> db::Result<Option<SealedCredential>> {
    let sql = format!("SELECT {COLUMNS} FROM credentials WHERE organization = ?1 AND name = ?2");
    connection.query_row(&sql, [organization, name], sealed_of).optional()
}

fn sealed_of(row: &Row<'_>) -> db::Result<SealedCredential> {
    Ok(SealedCredential {
        organization: row.get(0)?,
        name: row.get(1)?,
        master: row.get(2)?,
        wrapped_key: row.get(3)?,
        sealed: row.get(4)?,
        changed_at_us: row.get(5)?,
    })
}
