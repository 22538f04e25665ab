//! Alerts in the store.

use crate::alert::{
    AlertBacklog, AlertFilter, AlertInfo, AlertPage, AlertState, Delivery, DeliveryInfo, DueAlert, NewAlert,
    Severity, Told, overall,
};
use crate::db::{self, Connection, OptionalExtension, Row, TransactionBehavior, params};
use crate::inspection::{FINDINGS_MAX, RULES_MAX};
use crate::segment::cut;
use narrows_policy::{Action, Stage};
use uuid::Uuid;

/// Alerts that are removed at once; more wait for the next time.
const PRUNE_ROWS: i64 = 5_000;

/// The columns that [`info_of`] reads.
const COLUMNS: &str = "id, organization, at_us, last_at_us, count, severity_rank, stage, action, enforceable, enforced, \
    rules, entity, explanation, conversation, exchange, team, \"user\", service_account, project, key_id, surface, \
    provider, model, policy_version, evidence, acknowledged_at_us, acknowledged_by, note";

/// Writes all alerts, or none. Gives how many are new and how many are repeats.
pub(crate) fn write(connection: &mut Connection, alerts: &[NewAlert]) -> db::Result<(u64, u64)> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (mut stored, mut repeated) = (0, 0);
    for alert in alerts {
        if is_known(&transaction, alert)? {
            // Stored before, by an attempt that seemed to fail.
            stored += 1;
        } else if repeat(&transaction, alert)? {
            repeated += 1;
        } else {
            insert(&transaction, alert)?;
            stored += 1;
        }
    }
    transaction.commit()?;
    Ok((stored, repeated))
}

fn is_known(connection: &Connection, alert: &NewAlert) -> db::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM alerts WHERE id = ?1)")?
        .query_row([Uuid::from_u128(alert.id).to_string()], |row| row.get(0))
}

/// What repeats have in common: the conversation, or without one the key, or without one the person or program.
fn thread(alert: &NewAlert) -> String {
    let caller = &*alert.caller;
    let named = [
        ("conversation", alert.conversation.as_deref()),
        ("key", caller.key_id.as_deref()),
        ("user", caller.user.as_deref()),
        ("service_account", caller.service_account.as_deref()),
    ];
    let found = named.into_iter().find_map(|(kind, name)| Some(format!("{kind}:{}", cut(name?))));
    found.unwrap_or_else(|| "nobody".to_owned())
}

fn rank(severity: Severity) -> i64 {
    severity as i64
}

/// Counts the alert onto an open one that is a window old at most; false when there is none. What was acknowledged is
/// over: what comes after it is an alert of its own. Who is to be told of this one and was not of that is told, and everybody
/// again where it is more severe than all before.
fn repeat(connection: &Connection, alert: &NewAlert) -> db::Result<bool> {
    let since = alert.at_us.saturating_sub(alert.window_us);
    let rule = alert.rules.first().map_or("", |rule| cut(rule));
    let known: Option<(String, String, i64)> = connection
        .prepare_cached(
            "SELECT id, action, severity_rank FROM alerts WHERE organization = ?1 AND rule = ?2 AND thread = ?3
                AND acknowledged_at_us IS NULL AND at_us > ?4 ORDER BY id DESC LIMIT 1",
        )?
        .query_row(params![alert.caller.organization, rule, thread(alert), since], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((id, action, before)) = known else { return Ok(false) };
    let strictest = Action::from_word(&action).map_or(alert.action, |before| before.max(alert.action));
    connection
        .prepare_cached(
            "UPDATE alerts SET count = count + 1, action = ?3, enforced = enforced * ?5,
                last_at_us = CASE WHEN last_at_us < ?2 THEN ?2 ELSE last_at_us END,
                severity_rank = CASE WHEN severity_rank < ?4 THEN ?4 ELSE severity_rank END WHERE id = ?1",
        )?
        .execute(params![id, alert.at_us, strictest.as_str(), rank(alert.severity), alert.enforced])?;
    tell(connection, &id, alert, rank(alert.severity) > before)?;
    Ok(true)
}

/// Notes who is to be told; with `again` also those who were told before, or could not be.
fn tell(connection: &Connection, id: &str, alert: &NewAlert, again: bool) -> db::Result<()> {
    let known = match again {
        true => {
            "(alert, sink) DO UPDATE SET state = 'pending', attempts = 0, next_try_us = ?3, last_error = NULL, \
             changed_at_us = ?3"
        }
        false => "DO NOTHING",
    };
    let mut delivery = connection.prepare_cached(&format!(
        "INSERT INTO alert_deliveries (alert, sink, state, attempts, next_try_us, changed_at_us)
         VALUES (?1, ?2, 'pending', 0, ?3, ?3) ON CONFLICT {known}"
    ))?;
    for sink in &alert.sinks {
        delivery.execute(params![id, sink, alert.at_us])?;
    }
    Ok(())
}

fn insert(connection: &Connection, alert: &NewAlert) -> db::Result<()> {
    let id = Uuid::from_u128(alert.id).to_string();
    let caller = &*alert.caller;
    let rules: Vec<&str> = alert.rules.iter().take(RULES_MAX).map(|rule| cut(rule)).collect();
    let findings = alert.findings.get(..FINDINGS_MAX).unwrap_or(&alert.findings);
    // Texts and numbers only: there is nothing that could fail.
    let json = |value: serde_json::Result<String>| value.unwrap_or_else(|_impossible| "[]".to_owned());
    connection
        .prepare_cached(&format!(
            "INSERT INTO alerts ({COLUMNS}, rule, thread)
             VALUES (?1, ?2, ?3, ?3, 1, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
                     ?22, ?23, NULL, NULL, NULL, ?24, ?25)
             ON CONFLICT DO NOTHING"
        ))?
        .execute(params![
            id,
            caller.organization,
            alert.at_us,
            rank(alert.severity),
            alert.stage.as_str(),
            alert.action.as_str(),
            alert.enforceable,
            alert.enforced,
            json(serde_json::to_string(&rules)),
            findings.first().map(|finding| cut(&finding.entity)),
            cut(&alert.explanation),
            alert.conversation.as_deref().map(cut),
            Uuid::from_u128(alert.exchange).to_string(),
            caller.team,
            caller.user,
            caller.service_account,
            caller.project,
            caller.key_id,
            alert.surface.as_str(),
            alert.provider,
            alert.model.as_deref().map(cut),
            format!("{:016x}", alert.policy_version),
            json(serde_json::to_string(findings)),
            rules.first().copied().unwrap_or_default(),
            thread(alert),
        ])?;
    tell(connection, &id, alert, false)
}

/// A word of a closed list in a column.
fn word<T>(row: &Row<'_>, place: usize, read: impl Fn(&str) -> Option<T>) -> db::Result<T> {
    let text: String = row.get(place)?;
    read(&text)
        .ok_or_else(|| db::Error::conversion(place, format!("`{text}`, which this program does not know")))
}

/// JSON in a column. What cannot be read is as good as empty: the rest of the alert is still worth showing.
fn list<T: serde::de::DeserializeOwned>(row: &Row<'_>, place: usize) -> db::Result<Vec<T>> {
    Ok(serde_json::from_str(row.get_ref(place)?.as_str()?).unwrap_or_default())
}

fn info_of(row: &Row<'_>) -> db::Result<AlertInfo> {
    let rank = usize::try_from(row.get::<_, i64>(5)?).unwrap_or(usize::MAX);
    let acknowledged_at_us: Option<i64> = row.get(25)?;
    Ok(AlertInfo {
        id: row.get(0)?,
        organization: row.get(1)?,
        at_us: row.get(2)?,
        last_at_us: row.get(3)?,
        count: row.get::<_, i64>(4)?.unsigned_abs(),
        severity: Severity::ALL.get(rank).copied().unwrap_or(Severity::Critical),
        stage: word(row, 6, Stage::from_word)?,
        action: word(row, 7, Action::from_word)?,
        enforceable: row.get(8)?,
        enforced: row.get(9)?,
        rules: list(row, 10)?,
        entity: row.get(11)?,
        explanation: row.get(12)?,
        conversation: row.get(13)?,
        exchange: row.get(14)?,
        team: row.get(15)?,
        user: row.get(16)?,
        service_account: row.get(17)?,
        project: row.get(18)?,
        key_id: row.get(19)?,
        surface: row.get(20)?,
        provider: row.get(21)?,
        model: row.get(22)?,
        policy_version: row.get(23)?,
        evidence: list(row, 24)?,
        state: if acknowledged_at_us.is_some() { AlertState::Acknowledged } else { AlertState::Open },
        acknowledged_at_us,
        acknowledged_by: row.get(26)?,
        note: row.get(27)?,
        delivery: Delivery::None,
        deliveries: Vec::new(),
    })
}

/// The alert with what is known of its deliveries.
fn with_deliveries(connection: &Connection, mut alert: AlertInfo) -> db::Result<AlertInfo> {
    let mut statement = connection.prepare_cached(
        "SELECT sink, state, attempts, next_try_us, last_error FROM alert_deliveries WHERE alert = ?1 ORDER BY sink",
    )?;
    let rows = statement.query_map([&alert.id], |row| {
        Ok(DeliveryInfo {
            sink: row.get(0)?,
            state: word(row, 1, Delivery::from_word)?,
            attempts: row.get(2)?,
            next_try_us: row.get(3)?,
            last_error: row.get(4)?,
        })
    })?;
    alert.deliveries = rows.collect::<db::Result<_>>()?;
    alert.delivery = overall(&alert.deliveries);
    Ok(alert)
}

/// The alert with this id.
pub(crate) fn get(connection: &Connection, id: &str) -> db::Result<Option<AlertInfo>> {
    let found = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM alerts WHERE id = ?1"))?
        .query_row([id], info_of)
        .optional()?;
    found.map(|alert| with_deliveries(connection, alert)).transpose()
}

/// The newest alerts that match and come before `before`.
pub(crate) fn page(
    connection: &Connection,
    filter: &AlertFilter,
    limit: usize,
    before: Option<&str>,
) -> db::Result<AlertPage> {
    // In the order of `overall`: the first state that one of the deliveries has.
    let mut statement = connection.prepare(&format!(
        "SELECT {COLUMNS} FROM alerts
         WHERE (id < ?1 OR ?1 IS NULL) AND last_at_us >= ?2 AND at_us < ?3 AND (organization = ?4 OR ?4 IS NULL)
           AND (rule = ?5 OR ?5 IS NULL) AND (stage = ?6 OR ?6 IS NULL) AND severity_rank >= ?7
           AND (conversation = ?8 OR ?8 IS NULL) AND ((acknowledged_at_us IS NOT NULL) = ?9 OR ?9 IS NULL)
           AND (CAST(?10 AS TEXT) IS NULL OR ?10 = coalesce(
                (SELECT state FROM alert_deliveries WHERE alert = alerts.id
                 ORDER BY CASE state WHEN 'failed' THEN 0 WHEN 'pending' THEN 1 ELSE 2 END LIMIT 1), 'none'))
           AND (entity = ?11 OR ?11 IS NULL)
         ORDER BY id DESC LIMIT ?12"
    ))?;
    // One more than asked tells whether there is another page.
    let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let rows = statement.query_map(
        params![
            before,
            filter.from_us.unwrap_or(i64::MIN),
            filter.to_us.unwrap_or(i64::MAX),
            filter.organization,
            filter.rule,
            filter.stage.map(Stage::as_str),
            filter.severity.map_or(0, rank),
            filter.conversation,
            filter.state.map(|state| state == AlertState::Acknowledged),
            filter.delivery.map(Delivery::as_str),
            filter.entity,
            wanted,
        ],
        info_of,
    )?;
    let mut alerts = rows.collect::<db::Result<Vec<_>>>()?;
    let more = alerts.len() > limit;
    alerts.truncate(limit);
    let alerts = alerts.into_iter().map(|alert| with_deliveries(connection, alert));
    let alerts = alerts.collect::<db::Result<Vec<_>>>()?;
    let next = alerts.last().map(|alert| alert.id.clone()).filter(|_| more);
    Ok(AlertPage { alerts, next })
}

/// Says that somebody has looked at the alert; false when somebody had before.
pub(crate) fn acknowledge(
    connection: &Connection,
    id: &str,
    by: &str,
    note: Option<&str>,
    now_us: i64,
) -> db::Result<bool> {
    let changed = connection
        .prepare_cached(
            "UPDATE alerts SET acknowledged_at_us = ?2, acknowledged_by = ?3, note = ?4
             WHERE id = ?1 AND acknowledged_at_us IS NULL",
        )?
        .execute(params![id, now_us, by, note])?;
    Ok(changed > 0)
}

/// What `sink` is to be told by now, the longest due first.
pub(crate) fn due(
    connection: &Connection,
    sink: &str,
    now_us: i64,
    limit: usize,
) -> db::Result<Vec<DueAlert>> {
    let mut statement = connection.prepare_cached(
        "SELECT alert, attempts FROM alert_deliveries WHERE state = 'pending' AND next_try_us <= ?1 AND sink = ?2
         ORDER BY next_try_us, alert LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement
        .query_map(params![now_us, sink, limit], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    let mut due = Vec::new();
    for row in rows {
        let (id, attempts) = row?;
        if let Some(alert) = get(connection, &id)? {
            due.push(DueAlert { alert, attempts });
        }
    }
    Ok(due)
}

/// Gives up on all that was to be told to sinks that are not among `known`. Gives how many that were.
pub(crate) fn abandon(connection: &Connection, known: &[&str], why: &str, now_us: i64) -> db::Result<usize> {
    let waiting = connection
        .prepare_cached("SELECT DISTINCT sink FROM alert_deliveries WHERE state = 'pending'")?
        .query_map([], |row| row.get::<_, String>(0))?
        .collect::<db::Result<Vec<_>>>()?;
    let mut given_up = 0;
    for sink in waiting.iter().filter(|sink| !known.contains(&sink.as_str())) {
        given_up += connection
            .prepare_cached(
                "UPDATE alert_deliveries SET state = 'failed', next_try_us = NULL, last_error = ?2, changed_at_us = ?3
                 WHERE state = 'pending' AND sink = ?1",
            )?
            .execute(params![sink, cut(why), now_us])?;
    }
    Ok(given_up)
}

/// Writes down what became of a try to tell the alert as it was with this severity. One that has grown more severe since then
/// was not told yet.
pub(crate) fn told(
    connection: &Connection,
    id: &str,
    sink: &str,
    severity: Severity,
    told: &Told,
    now_us: i64,
) -> db::Result<()> {
    let (state, next, error) = match told {
        Told::Delivered => (Delivery::Delivered, None, None),
        Told::Later(error, next) => (Delivery::Pending, Some(*next), Some(cut(error))),
        Told::Failed(error) => (Delivery::Failed, None, Some(cut(error))),
        Told::Deferred(next) => {
            return connection
                .prepare_cached(
                    "UPDATE alert_deliveries SET next_try_us = ?3 WHERE alert = ?1 AND sink = ?2",
                )?
                .execute(params![id, sink, next])
                .map(drop);
        }
    };
    connection
        .prepare_cached(
            "UPDATE alert_deliveries SET state = ?3, attempts = attempts + 1, next_try_us = ?4, last_error = ?5,
                changed_at_us = ?6 WHERE alert = ?1 AND sink = ?2
                AND NOT EXISTS (SELECT 1 FROM alerts WHERE id = ?1 AND severity_rank > ?7)",
        )?
        .execute(params![id, sink, state.as_str(), next, error, now_us, rank(severity)])
        .map(drop)
}

/// How many wait for what.
pub(crate) fn backlog(connection: &Connection) -> db::Result<AlertBacklog> {
    let count = |sql: &str| -> db::Result<u64> {
        connection.prepare_cached(sql)?.query_row([], |row| Ok(row.get::<_, i64>(0)?.unsigned_abs()))
    };
    let (oldest_us, next_try_us) = connection
        .prepare_cached(
            "SELECT min(at_us), min(next_try_us) FROM alert_deliveries JOIN alerts ON alerts.id = alert
             WHERE state = 'pending'",
        )?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(AlertBacklog {
        open: count("SELECT count(*) FROM alerts WHERE acknowledged_at_us IS NULL")?,
        pending: count("SELECT count(*) FROM alert_deliveries WHERE state = 'pending'")?,
        failed: count("SELECT count(*) FROM alert_deliveries WHERE state = 'failed'")?,
        oldest_us,
        next_try_us,
    })
}

/// Removes alerts that last happened before `before_us`, and the oldest beyond `keep`. Gives how many were removed.
pub(crate) fn prune(connection: &mut Connection, keep: usize, before_us: i64) -> db::Result<usize> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    let ids = {
        let mut statement = transaction.prepare_cached(
            "SELECT id FROM (SELECT id FROM alerts WHERE last_at_us < ?1 LIMIT ?3) AS old
             UNION SELECT id FROM (SELECT id FROM alerts ORDER BY id DESC LIMIT ?3 OFFSET ?2) AS many",
        )?;
        let rows =
            statement.query_map(params![before_us, keep, PRUNE_ROWS], |row| row.get::<_, String>(0))?;
        rows.collect::<db::Result<Vec<_>>>()?
    };
    for id in &ids {
        transaction.prepare_cached("DELETE FROM alert_deliveries WHERE alert = ?1")?.execute([id])?;
        transaction.prepare_cached("DELETE FROM alerts WHERE id = ?1")?.execute([id])?;
    }
    transaction.commit()?;
    Ok(ids.len())
}
