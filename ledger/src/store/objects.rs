//! Bindings of stored objects in the store.

use crate::db::{self, Connection, TransactionBehavior, params};
use crate::objects::{Change, Object, Owner, scope};
use std::sync::Arc;

/// Ended bindings that are removed at once; more wait for the next time.
const SWEEP_ROWS: i64 = 5_000;

/// Every object with this id, of whichever provider.
pub(crate) fn load(connection: &Connection, id: &str) -> db::Result<Vec<Object>> {
    let mut statement = connection.prepare_cached(
        "SELECT provider, kind, organization, scope, holder, created_at_us, expires_at_us
         FROM objects WHERE id = ?1",
    )?;
    let rows = statement.query_map([id], |row| {
        Ok(Object {
            id: id.into(),
            provider: Arc::from(row.get_ref(0)?.as_str()?),
            kind: row.get_ref(1)?.as_str()?.into(),
            owner: Owner {
                organization: row.get_ref(2)?.as_str()?.into(),
                scope: scope(row.get_ref(3)?.as_str()?),
                holder: row.get_ref(4)?.as_str()?.into(),
            },
            created_at_us: row.get(5)?,
            expires_at_us: row.get(6)?,
        })
    })?;
    rows.collect()
}

/// Writes all changes, or none. Returns those bindings that the store refutes: the id has another owner there.
pub(crate) fn write(
    connection: &mut Connection,
    changes: &[Change],
    now_us: i64,
) -> db::Result<Vec<Arc<Object>>> {
    let mut refuted = Vec::new();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Beside)?;
    for change in changes {
        match change {
            Change::Bind(object) => {
                if !bind(&transaction, object, now_us)? {
                    refuted.push(Arc::clone(object));
                }
            }
            Change::Unbind { id, provider } => {
                transaction
                    .prepare_cached("DELETE FROM objects WHERE id = ?1 AND provider = ?2")?
                    .execute(params![id, provider])?;
            }
        }
    }
    transaction.commit()?;
    Ok(refuted)
}

fn bind(connection: &Connection, object: &Object, now_us: i64) -> db::Result<bool> {
    let Object { id, provider, kind, owner, created_at_us, expires_at_us } = object;
    let changed = connection
        .prepare_cached(
            "INSERT INTO objects (id, provider, kind, organization, scope, holder, created_at_us, expires_at_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (id, provider) DO UPDATE SET kind = excluded.kind, organization = excluded.organization,
                scope = excluded.scope, holder = excluded.holder, created_at_us = excluded.created_at_us,
                expires_at_us = excluded.expires_at_us
             WHERE objects.expires_at_us <= ?9 OR (objects.organization, objects.scope, objects.holder)
                = (excluded.organization, excluded.scope, excluded.holder)",
        )?
        .execute(params![
            id,
            provider,
            kind,
            owner.organization,
            owner.scope.as_str(),
            owner.holder,
            created_at_us,
            expires_at_us,
            now_us
        ])?;
    Ok(changed > 0)
}

/// Removes bindings that have ended, so that the table does not grow for ever.
pub(crate) fn sweep(connection: &Connection, now_us: i64) -> db::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM objects WHERE (id, provider) IN
                (SELECT id, provider FROM objects WHERE expires_at_us <= ?1 LIMIT ?2)",
        )?
        .execute([now_us, SWEEP_ROWS])?;
    Ok(())
}
