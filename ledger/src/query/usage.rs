//! Sums by group, and whether they are right.

use super::{
    DIFFERENCES_MAX, Differing, Dimension, Filter, PriceUse, Reader, Search, UsageRow, Verification,
};
use crate::db::{self, Connection, Row};
use crate::error::LedgerError;
use crate::json;
use crate::rollup::{GroupKey, HOUR_US, SUMS, Sums, hour_of};
use crate::segment::cut;
use crate::segment::unpack::unpack;
use crate::store::groups::{GROUP_COLUMNS, names_of};
use crate::store::migrate::WITH_RECORDS;
use crate::store::records::unrolled;
use narrows_policy::Reason;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Names a group is made of, in the order of the columns of `groups`.
const NAMES: [(Dimension, &str); GROUP_COLUMNS] = [
    (Dimension::Organization, "organization"),
    (Dimension::Team, "team"),
    (Dimension::User, "\"user\""),
    (Dimension::ServiceAccount, "service_account"),
    (Dimension::Project, "project"),
    (Dimension::Key, "key_id"),
    (Dimension::Provider, "provider"),
    (Dimension::Model, "model"),
    (Dimension::Dialect, "dialect"),
    (Dimension::Client, "client"),
    (Dimension::Reason, "reason"),
    (Dimension::Origin, "origin"),
];

/// The value of every dimension asked for.
type Key = Vec<Option<String>>;

impl Reader {
    /// The sums of all exchanges that match, split by `group_by` (nothing: one row in all), sorted by group. Exchanges
    /// that left no record are in them, counted in [`Sums::overflowed`]. Added up here and not by SQLite, whose sums
    /// fail on overflow instead of stopping at the largest number.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn usage(&self, filter: &Filter, group_by: &[Dimension]) -> Result<Vec<UsageRow>, LedgerError> {
        if self.version < WITH_RECORDS {
            return Ok(Vec::new());
        }
        let view = self.connection.unchecked_transaction()?;
        let by_hour = group_by.iter().any(|dimension| matches!(dimension, Dimension::Hour | Dimension::Day));
        let [from, to] = hours(filter);
        let mut rows: BTreeMap<Key, Sums> = BTreeMap::new();
        let mut add = |key: &Key, hour: i64, sums: &Sums| match (by_hour, rows.get_mut(key)) {
            // Most reports are not by time; they need no copy of the key per row.
            (true, _) => rows.entry(in_time(key, group_by, hour)).or_default().add(sums),
            (false, Some(total)) => total.add(sums),
            (false, None) => drop(rows.insert(key.clone(), *sums)),
        };
        let groups = groups(&view, filter, group_by)?;
        let sql = format!(
            "SELECT hour, group_id, overflow, {} FROM rollups WHERE hour >= ?1 AND hour < ?2",
            Sums::COLUMNS.join(", ")
        );
        let mut statement = view.prepare(&sql)?;
        let mut stored = statement.stream([from, to])?;
        while let Some(row) = stored.next()? {
            if let Some(key) = groups.get(&row.get::<_, i64>(1)?) {
                add(key, row.get(0)?, &sums_of(&row)?);
            }
        }
        for ((hour, group), sums) in &unrolled(&view)? {
            let names = names_of(group);
            if (from..to).contains(hour) && selects(filter, &names) {
                add(&key_of(group_by, &names), *hour, sums);
            }
        }
        let name = |key: Key| group_by.iter().copied().zip(key).collect();
        Ok(rows.into_iter().map(|(key, sums)| UsageRow { group: name(key), sums }).collect())
    }

    /// The hours in which groups that a search may find have sums; `None` where it does not name what sums are kept by.
    pub(super) fn hours_of(&self, search: &Search) -> Result<Option<BTreeSet<i64>>, LedgerError> {
        let filter = &search.filter;
        if !names_groups(filter) && search.outcome.is_none() {
            return Ok(None);
        }
        let [from, to] = hours(filter);
        let mut found = BTreeSet::new();
        let mut statement = self.connection.prepare(
            "SELECT hour FROM rollups INDEXED BY rollups_by_group WHERE group_id = ?1 AND hour >= ?2 AND hour < ?3",
        )?;
        for (group, key) in groups(&self.connection, filter, &[Dimension::Reason])? {
            let reason = key.first().and_then(Option::as_deref).and_then(Reason::from_word);
            let ends = |outcome| reason.is_none_or(|reason| reason.blame() == outcome);
            if !search.outcome.is_none_or(ends) {
                continue;
            }
            let mut rows = statement.query([group, from, to])?;
            while let Some(row) = rows.next()? {
                found.insert(row.get(0)?);
            }
        }
        Ok(Some(found))
    }

    /// With which versions of prices the costs of what matches were computed, the one that was used first coming first. Reads
    /// every record of the time asked for.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`], or a failure of the store.
    pub fn price_uses(&self, filter: &Filter) -> Result<Vec<PriceUse>, LedgerError> {
        let mut uses: BTreeMap<u64, PriceUse> = BTreeMap::new();
        self.each(filter, &mut |record| {
            let (version, at_us) = (record.prices, record.started_at_us);
            let one = uses.entry(version).or_insert(PriceUse {
                version,
                requests: 0,
                cost_nanousd: 0,
                cost_unknown: 0,
                first_at_us: at_us,
                last_at_us: at_us,
            });
            one.requests += 1;
            one.cost_nanousd = one.cost_nanousd.saturating_add(record.known_cost());
            one.cost_unknown += u64::from(record.total_cost().nano_usd().is_none());
            one.first_at_us = one.first_at_us.min(at_us);
            one.last_at_us = one.last_at_us.max(at_us);
        })?;
        let mut uses: Vec<PriceUse> = uses.into_values().collect();
        uses.sort_by_key(|one| (one.first_at_us, one.version));
        Ok(uses)
    }

    /// Adds up every stored record anew and compares with the sums kept by hour. Reads the whole store, in one
    /// consistent view.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] for a segment that cannot be read, or a failure of the store.
    pub fn verify(&self) -> Result<Verification, LedgerError> {
        let mut found = [Sums::default(); 3];
        let mut places: BTreeMap<Place, [Sums; 2]> = BTreeMap::new();
        if self.version >= WITH_RECORDS {
            let view = self.connection.unchecked_transaction()?;
            let mut add = |kind: usize, hour: i64, names: [&str; 2], sums: &Sums| {
                if let Some(total) = found.get_mut(kind) {
                    total.add(sums);
                }
                if kind < 2 && !sums.is_nothing() {
                    let place = (hour, names.map(str::to_owned));
                    if let Some(total) = places.entry(place).or_default().get_mut(kind) {
                        total.add(sums);
                    }
                }
            };
            let mut statement = view.prepare("SELECT id, records, body FROM segments")?;
            let mut rows = statement.stream([])?;
            while let Some(row) = rows.next()? {
                let segment = row.get(0)?;
                let body = row.get_ref(2)?.as_blob()?;
                let records =
                    unpack(body, row.get(1)?).map_err(|cause| LedgerError::Damaged { segment, cause })?;
                for record in &records {
                    let hour = hour_of(record.started_at_us);
                    Sums::split(record).for_each(|(group, sums)| add(0, hour, place_of(&group), &sums));
                }
            }
            for ((hour, group), sums) in &unrolled(&view)? {
                add(1, *hour, place_of(group), sums);
            }
            let sql = format!(
                "SELECT hour, group_id, overflow, {}, provider, model FROM rollups JOIN groups ON groups.id = group_id",
                Sums::COLUMNS.join(", ")
            );
            let mut statement = view.prepare(&sql)?;
            let mut rows = statement.stream([])?;
            while let Some(row) = rows.next()? {
                let is_overflow: bool = row.get(2)?;
                let names = [3 + SUMS, 4 + SUMS].map(|column| row.get::<_, String>(column));
                let [provider, model] = names;
                let (provider, model) = (provider?, model?);
                add(if is_overflow { 2 } else { 1 }, row.get(0)?, [&provider, &model], &sums_of(&row)?);
            }
        }
        let [records, rollups, overflow] = found;
        let differing: Vec<Differing> = places
            .into_iter()
            .filter(|(_, [records, rollups])| records != rollups)
            .take(DIFFERENCES_MAX)
            .map(|((hour, [provider, model]), [records, rollups])| {
                let hour = json::time(hour.saturating_mul(HOUR_US)).unwrap_or_default();
                let hour = hour.replace(".000000", "");
                Differing { hour, provider, model, records, rollups }
            })
            .collect();
        let consistent = records == rollups && differing.is_empty();
        Ok(Verification { records, rollups, overflow, consistent, differing })
    }
}

/// Where sums are compared: hour, provider and model.
type Place = (i64, [String; 2]);

fn place_of(group: &GroupKey) -> [&str; 2] {
    [group.provider.as_deref(), group.model.as_deref()].map(|name| cut(name.unwrap_or_default()))
}

/// The groups that match, each with the value of every dimension but time.
fn groups(
    connection: &Connection,
    filter: &Filter,
    group_by: &[Dimension],
) -> Result<HashMap<i64, Key>, LedgerError> {
    let mut groups = HashMap::new();
    let columns = NAMES.map(|(_, column)| column).join(", ");
    let mut statement = connection.prepare(&format!("SELECT id, {columns} FROM groups"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut names = [""; GROUP_COLUMNS];
        for (place, name) in (1..).zip(&mut names) {
            *name = row.get_ref(place)?.as_str()?;
        }
        if selects(filter, &names) {
            groups.insert(row.get(0)?, key_of(group_by, &names));
        }
    }
    Ok(groups)
}

/// Whether the filter lets a group with these names through.
fn selects(filter: &Filter, names: &[&str; GROUP_COLUMNS]) -> bool {
    let [
        organization,
        team,
        user,
        service_account,
        project,
        key,
        provider,
        model,
        dialect,
        client,
        reason,
        _,
    ] = names;
    let reasons = filter.reason.is_none_or(|wanted| wanted.as_str() == *reason);
    let mut names = [
        (&filter.organization, organization),
        (&filter.team, team),
        (&filter.user, user),
        (&filter.service_account, service_account),
        (&filter.project, project),
        (&filter.key, key),
        (&filter.provider, provider),
        (&filter.model, model),
        (&filter.dialect, dialect),
        (&filter.client, client),
    ]
    .into_iter();
    reasons && names.all(|(wanted, name)| wanted.as_deref().is_none_or(|wanted| cut(wanted) == *name))
}

/// Whether a filter names anything that sums are kept by, beside time.
fn names_groups(filter: &Filter) -> bool {
    let texts = [
        &filter.organization,
        &filter.team,
        &filter.user,
        &filter.service_account,
        &filter.project,
        &filter.key,
        &filter.provider,
        &filter.model,
        &filter.dialect,
        &filter.client,
    ];
    filter.reason.is_some() || texts.into_iter().any(Option::is_some)
}

fn key_of(group_by: &[Dimension], names: &[&str; GROUP_COLUMNS]) -> Key {
    let value = |dimension: &Dimension| {
        let named = NAMES.iter().zip(names).find(|((name, _), _)| name == dimension);
        named.map(|(_, name)| (*name).to_owned()).filter(|name| !name.is_empty())
    };
    group_by.iter().map(value).collect()
}

/// The sums in a row of `hour, group_id, overflow, figures…`.
fn sums_of(row: &Row<'_>) -> db::Result<Sums> {
    let mut figures = [0; SUMS];
    for (place, figure) in (3..).zip(&mut figures) {
        *figure = u64::try_from(row.get::<_, i64>(place)?).unwrap_or(0);
    }
    let sums = Sums::from_array(figures);
    let overflowed = if row.get(2)? { sums.requests } else { 0 };
    Ok(Sums { overflowed, ..sums })
}

/// The hours a filter touches, as a half-open range.
fn hours(filter: &Filter) -> [i64; 2] {
    let from = filter.from_us.map_or(i64::MIN, hour_of);
    let to = filter.to_us.map_or(i64::MAX, |to| hour_of(to.saturating_sub(1)).saturating_add(1));
    [from, to]
}

fn in_time(key: &Key, group_by: &[Dimension], hour: i64) -> Key {
    let text = json::time(hour.saturating_mul(HOUR_US)).unwrap_or_default();
    let part = |length| text.get(..length).map(str::to_owned);
    let mut key = key.clone();
    for (value, dimension) in key.iter_mut().zip(group_by) {
        match dimension {
            Dimension::Hour => *value = part(13).map(|hour| hour + ":00:00Z"),
            Dimension::Day => *value = part(10),
            _ => {}
        }
    }
    key
}
