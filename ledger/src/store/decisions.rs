//! Sums of what policies decided, in the store.

use crate::alert::{DecisionDimension, DecisionFilter, DecisionRow};
use crate::db::{self, Connection, ValueRef, params};
use crate::decisions::Decisions;
use crate::json;
use crate::rollup::{HOUR_US, hour_of};
use std::collections::BTreeMap;

/// Adds sums to those that are stored. Part of the transaction that stores the records they are about.
pub(crate) fn add(connection: &Connection, decisions: &Decisions) -> db::Result<()> {
    // Sums stop before SQLite would turn them into floats.
    let mut statement = connection.prepare_cached(
        "INSERT INTO decision_sums (hour, organization, kind, rule, entity, stage, action, enforced, exchanges, findings)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (hour, organization, kind, rule, entity, stage, action, enforced) DO UPDATE SET
            exchanges = CASE WHEN decision_sums.exchanges > 9223372036854775807 - excluded.exchanges THEN 9223372036854775807
                ELSE decision_sums.exchanges + excluded.exchanges END,
            findings = CASE WHEN decision_sums.findings > 9223372036854775807 - excluded.findings THEN 9223372036854775807
                ELSE decision_sums.findings + excluded.findings END",
    )?;
    let figure = |figure: u64| ValueRef::Integer(i64::try_from(figure).unwrap_or(i64::MAX));
    let mut rows: Vec<Vec<ValueRef<'_>>> = Vec::new();
    for (key, (exchanges, findings)) in decisions.iter() {
        rows.push(vec![
            ValueRef::Integer(key.hour),
            ValueRef::Text(&key.organization),
            ValueRef::Text(key.kind),
            ValueRef::Text(&key.rule),
            ValueRef::Text(&key.entity),
            ValueRef::Text(key.stage.as_str()),
            ValueRef::Text(key.action),
            ValueRef::Integer(key.enforced.into()),
            figure(*exchanges),
            figure(*findings),
        ]);
    }
    // In one order for all writers, so that none waits for one that waits for it.
    rows.sort_unstable();
    statement.execute_each(&rows)
}

/// The sums that match, split as asked and sorted by group.
pub(crate) fn read(
    connection: &Connection,
    filter: &DecisionFilter,
    by: &[DecisionDimension],
) -> db::Result<Vec<DecisionRow>> {
    let mut statement = connection.prepare(
        "SELECT hour, organization, kind, rule, entity, stage, action, enforced, exchanges, findings FROM decision_sums
         WHERE hour >= ?1 AND hour < ?2 AND kind = ?3 AND (organization = ?4 OR ?4 IS NULL)
           AND (rule = ?5 OR ?5 IS NULL) AND (stage = ?6 OR ?6 IS NULL) AND (action = ?7 OR ?7 IS NULL)",
    )?;
    let mut rows = statement.query(params![
        filter.from_us.map_or(i64::MIN, hour_of),
        filter.to_us.map_or(i64::MAX, |to| hour_of(to.saturating_sub(1)).saturating_add(1)),
        filter.kind.as_deref().unwrap_or("policy"),
        filter.organization,
        filter.rule,
        filter.stage.map(narrows_policy::Stage::as_str),
        filter.action,
    ])?;
    // Added up here: SQLite's sums fail on overflow instead of stopping.
    let mut groups: BTreeMap<Vec<String>, (u64, u64)> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let time = json::time(row.get::<_, i64>(0)?.saturating_mul(HOUR_US)).unwrap_or_default();
        let part = |length: usize| time.get(..length).unwrap_or_default().to_owned();
        let group = by.iter().map(|dimension| {
            Ok(match dimension {
                DecisionDimension::Hour => part(13) + ":00:00Z",
                DecisionDimension::Day => part(10),
                DecisionDimension::Organization => row.get(1)?,
                DecisionDimension::Kind => row.get(2)?,
                DecisionDimension::Rule => row.get(3)?,
                DecisionDimension::Entity => row.get(4)?,
                DecisionDimension::Stage => row.get(5)?,
                DecisionDimension::Action => row.get(6)?,
                DecisionDimension::Enforced => row.get::<_, bool>(7)?.to_string(),
            })
        });
        let sums = groups.entry(group.collect::<db::Result<Vec<_>>>()?).or_default();
        let figure = |place| row.get::<_, i64>(place).map(|figure| u64::try_from(figure).unwrap_or(0));
        *sums = (sums.0.saturating_add(figure(8)?), sums.1.saturating_add(figure(9)?));
    }
    let row = |(group, (exchanges, findings)): (Vec<String>, (u64, u64))| DecisionRow {
        group: by.iter().copied().zip(group).collect(),
        exchanges,
        findings,
    };
    Ok(groups.into_iter().map(row).collect())
}
