//! The trail of administration in the store.

use crate::audit::{AuditEntry, AuditEvent, AuditFilter, AuditPage};
use crate::db::{self, Connection, Row, params};

/// Writes an entry. Part of the change it tells of, where it tells of one.
pub(crate) fn insert(connection: &Connection, at_us: i64, entry: &AuditEntry<'_>) -> db::Result<()> {
    let rows = entry.rows.map(|rows| i64::try_from(rows).unwrap_or(i64::MAX));
    connection
        .prepare_cached(
            "INSERT INTO admin_events (at_us, actor, action, target, detail, organization, rows)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            at_us,
            entry.actor,
            entry.action,
            entry.target,
            entry.detail,
            entry.organization,
            rows
        ])
        .map(drop)
}

/// The newest events that match and come before `before`.
pub(crate) fn page(
    connection: &Connection,
    filter: &AuditFilter,
    limit: usize,
    before: Option<i64>,
) -> db::Result<AuditPage> {
    let mut statement = connection.prepare(
        "SELECT admin_events.id, at_us, actor, admin_tokens.name, action, target, admin_events.organization, detail, rows
         FROM admin_events LEFT JOIN admin_tokens ON admin_tokens.id = actor
         WHERE admin_events.id < ?1 AND at_us >= ?2 AND at_us < ?3
           AND (admin_events.organization = ?4 OR ?4 IS NULL) AND (actor = ?5 OR ?5 IS NULL)
           AND (action = ?6 OR ?6 IS NULL) AND (target = ?7 OR ?7 IS NULL)
         ORDER BY admin_events.id DESC LIMIT ?8",
    )?;
    // One more than asked tells whether there is another page.
    let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let rows = statement.query_map(
        params![
            before.unwrap_or(i64::MAX),
            filter.from_us.unwrap_or(i64::MIN),
            filter.to_us.unwrap_or(i64::MAX),
            filter.organization,
            filter.actor,
            filter.action,
            filter.target,
            wanted,
        ],
        event_of,
    )?;
    let mut events = rows.collect::<db::Result<Vec<_>>>()?;
    let more = events.len() > limit;
    events.truncate(limit);
    let next = events.last().map(|event| event.id).filter(|_| more);
    Ok(AuditPage { events, next })
}

fn event_of(row: &Row<'_>) -> db::Result<AuditEvent> {
    let rows: Option<i64> = row.get(8)?;
    Ok(AuditEvent {
        id: row.get(0)?,
        at_us: row.get(1)?,
        actor: row.get(2)?,
        actor_name: row.get(3)?,
        action: row.get(4)?,
        target: row.get(5)?,
        organization: row.get(6)?,
        detail: row.get(7)?,
        rows: rows.and_then(|rows| u64::try_from(rows).ok()),
    })
}
