//! Sums by group, and whether they are right.

use super::hours::Hours;
use super::{Dimension, Filter, PriceUse, Reader, Search, UsageRow};
use crate::db::Connection;
use crate::error::LedgerError;
use crate::json;
use crate::rollup::{HOUR_US, Sums, hour_of};
use crate::segment::cut;
use crate::store::groups::{GROUP_COLUMNS, names_of};
use crate::store::migrate::{WITH_PERIODS, WITH_RECORDS};
use crate::store::periods::{self, Period};
use crate::store::records::unrolled;
use narrows_policy::Reason;
use std::collections::{BTreeMap, HashMap};

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
        let finest = finest(group_by);
        // Keys by place: most groups share one, and most rows have one that was seen before.
        let (mut keys, mut places) = (Vec::new(), HashMap::new());
        let mut place_of = |key: Key| {
            *places.entry(key).or_insert_with_key(|key| {
                keys.push(key.clone());
                keys.len() - 1
            })
        };
        let groups = groups(&view, filter, group_by)?;
        let groups: HashMap<i64, usize> =
            groups.into_iter().map(|(group, key)| (group, place_of(key))).collect();
        let mut sums: HashMap<(i64, usize), Sums> = HashMap::new();
        let mut add = |hour: i64, place: usize, more: &Sums| {
            let time = finest.map_or(0, |period| period.of(hour));
            sums.entry((time, place)).or_default().add(more);
        };
        let [from, to] = hours(filter);
        for (period, range) in periods::cover(from, to, &self.coarse(finest)?) {
            periods::each(&view, period, range, |row| {
                if let Some(place) = groups.get(&row.group) {
                    add(period.first_hour(row.period), *place, &row.sums);
                }
            })?;
        }
        for ((hour, group), sums) in &unrolled(&view)? {
            let names = names_of(group);
            if (from..to).contains(hour) && selects(filter, &names) {
                add(*hour, place_of(key_of(group_by, &names)), sums);
            }
        }
        let mut rows: BTreeMap<Key, Sums> = BTreeMap::new();
        for ((time, place), sums) in sums {
            let key = keys.get(place).cloned().unwrap_or_default();
            let hour = finest.map_or(0, |period| period.first_hour(time));
            rows.entry(in_time(key, group_by, hour)).or_default().add(&sums);
        }
        let name = |key: Key| group_by.iter().copied().zip(key).collect();
        Ok(rows.into_iter().map(|(key, sums)| UsageRow { group: name(key), sums }).collect())
    }

    /// The sums that may stand for hours, the coarsest first, each with the period from which it is complete: none that is
    /// coarser than what is asked for.
    fn coarse(&self, finest: Option<Period>) -> Result<Vec<(Period, i64)>, LedgerError> {
        let mut kinds = Vec::new();
        for period in Period::COARSE.into_iter().rev() {
            if self.version >= WITH_PERIODS && finest.is_none_or(|finest| period <= finest) {
                kinds.push((period, periods::complete_from(&self.connection, period)?));
            }
        }
        Ok(kinds)
    }

    /// The hours in which groups that a search may find have sums; `None` where it does not name what sums are kept by.
    pub(super) fn hours_of(&self, search: &Search) -> Result<Option<Hours>, LedgerError> {
        let filter = &search.filter;
        if !names_groups(filter) && search.outcome.is_none() {
            return Ok(None);
        }
        let mut wanted = Vec::new();
        for (group, key) in groups(&self.connection, filter, &[Dimension::Reason])? {
            let reason = key.first().and_then(Option::as_deref).and_then(Reason::from_word);
            let ends = |outcome| reason.is_none_or(|reason| reason.blame() == outcome);
            if search.outcome.is_none_or(ends) {
                wanted.push(group);
            }
        }
        wanted.sort_unstable();
        Ok(Some(Hours::new(&self.connection, wanted, hours(filter))?))
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

/// The hours a filter touches, as a half-open range.
fn hours(filter: &Filter) -> [i64; 2] {
    let from = filter.from_us.unwrap_or(i64::MIN);
    let to = filter.to_us.unwrap_or(i64::MAX);
    [hour_of(from), hour_of(to.saturating_sub(1)).saturating_add(1)]
}

/// The period in which a report tells sums apart, if it is by time.
fn finest(group_by: &[Dimension]) -> Option<Period> {
    let period = |dimension: &Dimension| match dimension {
        Dimension::Hour => Some(Period::Hour),
        Dimension::Day => Some(Period::Day),
        _ => None,
    };
    group_by.iter().filter_map(period).min()
}

fn in_time(mut key: Key, group_by: &[Dimension], hour: i64) -> Key {
    if finest(group_by).is_none() {
        return key;
    }
    let text = json::time(hour.saturating_mul(HOUR_US)).unwrap_or_default();
    let part = |length| text.get(..length).map(str::to_owned);
    for (value, dimension) in key.iter_mut().zip(group_by) {
        match dimension {
            Dimension::Hour => *value = part(13).map(|hour| hour + ":00:00Z"),
            Dimension::Day => *value = part(10),
            _ => {}
        }
    }
    key
}
