//! What passes here, against what is known.

use super::{Dimension, Filter, Reader};
use crate::coverage::{
    COVERAGE_ROWS_MAX, CoverageQuestion, CoverageReport, SeenClient, SeenName, UnseenEntry, UnusedKey,
    by_class,
};
use crate::db::{self, Connection};
use crate::directory::{EntryKind, EntryState};
use crate::error::LedgerError;
use crate::rollup::HOUR_US;
use crate::store::migrate::WITH_REPORTS;
use crate::store::{classes, directory, keys};
use std::collections::{BTreeMap, HashMap};

/// What names of exchanges may be looked up in the directory, and by what sums they are split.
const KINDS: [(EntryKind, Dimension); 4] = [
    (EntryKind::Team, Dimension::Team),
    (EntryKind::User, Dimension::User),
    (EntryKind::ServiceAccount, Dimension::ServiceAccount),
    (EntryKind::Project, Dimension::Project),
];

/// Exchanges by what they name.
type Seen = BTreeMap<(EntryKind, String, String), u64>;

impl Reader {
    /// What passed here in a time, against what the directory and the keys say there is.
    ///
    /// # Errors
    /// [`LedgerError::BadQuery`] for a store that this version has not opened yet, or a failure of the store.
    pub fn coverage(&self, question: &CoverageQuestion, now_us: i64) -> Result<CoverageReport, LedgerError> {
        if self.version < WITH_REPORTS {
            return Err(LedgerError::BadQuery(
                "the store is of an older version; start the gateway once, or run `narrows keys list`, to bring it up",
            ));
        }
        let filter = Filter {
            from_us: Some(question.from_us),
            to_us: Some(question.to_us),
            organization: question.organization.clone(),
            ..Filter::default()
        };
        let (seen, without_key) = self.seen(&filter)?;
        let mut rows = Vec::new();
        let organization = question.organization.as_deref();
        let take = |row| rows.push(row);
        classes::read(&self.connection, question.from_us, question.to_us, organization, take)?;
        let since = classes::since_us(&self.connection)?;
        let states = directory::states(&self.connection, organization)?;
        let mut report = CoverageReport {
            from_us: Some(question.from_us),
            to_us: Some(question.to_us),
            classes_counted_since: since.filter(|since| *since > question.from_us),
            classes: by_class(rows),
            without_key,
            unseen: unseen(&states, &seen),
            seen: named(&states, seen),
            clients: self.clients(&filter)?,
            unused_keys: self.unused(question, now_us)?,
            left_out: 0,
        };
        let mut left_out = 0;
        let lists = [
            shorten(&mut report.seen),
            shorten(&mut report.unseen),
            shorten(&mut report.clients),
            shorten(&mut report.unused_keys),
        ];
        lists.into_iter().for_each(|more| left_out += more);
        report.left_out = left_out;
        Ok(report)
    }

    fn seen(&self, filter: &Filter) -> Result<(Seen, u64), LedgerError> {
        let by = [
            Dimension::Organization,
            Dimension::Team,
            Dimension::User,
            Dimension::ServiceAccount,
            Dimension::Project,
            Dimension::Key,
        ];
        let (mut seen, mut without_key) = (Seen::new(), 0_u64);
        for row in self.usage(filter, &by)? {
            let of = |wanted: Dimension| {
                row.group
                    .iter()
                    .find(|(dimension, _)| *dimension == wanted)
                    .and_then(|(_, name)| name.clone())
            };
            let requests = row.sums.requests;
            let organization = of(Dimension::Organization).unwrap_or_default();
            if of(Dimension::Key).is_none() {
                without_key = without_key.saturating_add(requests);
            }
            let mut add = |kind, name| {
                let sum = seen.entry((kind, organization.clone(), name)).or_default();
                *sum = sum.saturating_add(requests);
            };
            add(EntryKind::Organization, organization.clone());
            for (kind, dimension) in KINDS {
                if let Some(name) = of(dimension) {
                    add(kind, name);
                }
            }
        }
        Ok((seen, without_key))
    }

    fn clients(&self, filter: &Filter) -> Result<Vec<SeenClient>, LedgerError> {
        let rows = self.usage(filter, &[Dimension::Client])?;
        let mut clients: Vec<SeenClient> = rows
            .into_iter()
            .map(|row| SeenClient {
                client: row.group.into_iter().next().and_then(|(_, client)| client),
                exchanges: row.sums.requests,
            })
            .collect();
        clients.sort_by_key(|client| std::cmp::Reverse(client.exchanges));
        Ok(clients)
    }

    /// Keys that work and were made before the time, and not used since.
    fn unused(&self, question: &CoverageQuestion, now_us: i64) -> Result<Vec<UnusedKey>, LedgerError> {
        let last = last_used(&self.connection)?;
        let mut unused = Vec::new();
        for info in keys::list(&self.connection, false)? {
            let own = question.organization.as_ref().is_none_or(|own| *own == info.organization);
            let last_used_at_us = last.get(&info.id).copied();
            let used =
                last_used_at_us.is_some_and(|at| at.saturating_add(HOUR_US) > question.unused_since_us);
            let new = info.created_at_us >= question.unused_since_us;
            if !own || used || new || info.state(now_us) != "active" {
                continue;
            }
            unused.push(UnusedKey {
                owner: info.user.or(info.service_account).or(info.team),
                id: info.id,
                name: info.name,
                organization: info.organization,
                created_at_us: Some(info.created_at_us),
                last_used_at_us,
            });
        }
        Ok(unused)
    }
}

/// The beginning of the last hour in which each key had exchanges. Those of the last seconds may still be on their way.
fn last_used(connection: &Connection) -> db::Result<HashMap<String, i64>> {
    let mut statement = connection.prepare(
        "SELECT key_id, max((SELECT hour FROM rollups WHERE group_id = groups.id ORDER BY hour DESC LIMIT 1))
         FROM groups WHERE key_id <> '' GROUP BY key_id",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?)))?;
    let mut last = HashMap::new();
    for row in rows {
        if let (key, Some(hour)) = row? {
            last.insert(key, hour.saturating_mul(HOUR_US));
        }
    }
    Ok(last)
}

fn unseen(states: &directory::States, seen: &Seen) -> Vec<UnseenEntry> {
    let active = states.iter().filter(|(_, (state, _))| *state == EntryState::Active);
    let row =
        |((kind, organization, name), (_, id)): (&(EntryKind, String, String), &(EntryState, String))| {
            UnseenEntry {
                kind: *kind,
                organization: organization.clone(),
                name: name.clone(),
                id: id.clone(),
            }
        };
    active.filter(|(name, _)| !seen.contains_key(name)).map(row).collect()
}

fn named(states: &directory::States, seen: Seen) -> Vec<SeenName> {
    let row = |(key, exchanges): ((EntryKind, String, String), u64)| {
        let state = states.get(&key).map(|(state, _)| *state);
        let (kind, organization, name) = key;
        SeenName { kind, organization, name, known: state.is_some(), state, exchanges }
    };
    let mut rows: Vec<SeenName> = seen.into_iter().map(row).collect();
    rows.sort_by_key(|row| (row.known, std::cmp::Reverse(row.exchanges)));
    rows
}

/// Cuts a list to what there is room for; gives how many rows that were.
fn shorten<T>(rows: &mut Vec<T>) -> u64 {
    let more = rows.len().saturating_sub(COVERAGE_ROWS_MAX);
    rows.truncate(COVERAGE_ROWS_MAX);
    more as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_so_many_rows_and_no_more() {
        let mut rows: Vec<u32> = (0..10_000).collect();
        assert_eq!((shorten(&mut rows), rows.len()), (0, COVERAGE_ROWS_MAX));
        rows.push(0);
        assert_eq!((shorten(&mut rows), rows.len()), (1, COVERAGE_ROWS_MAX));
    }
}
