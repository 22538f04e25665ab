//! Many keys in one change: all of them or none.

use crate::db::Connection;
use crate::error::LedgerError;
use crate::key::{CreatedKey, KeyInfo, NewKey};
use crate::keystore::{KeyStore, key_event, leave};
use crate::store::{directory, keys};
use crate::token::{self, TokenKind};
use std::collections::{HashMap, HashSet};

/// Most keys that are created or switched off at once. All of them are one transaction, for which the writer of records
/// waits.
pub const KEYS_AT_ONCE_MAX: usize = 5_000;

impl KeyStore {
    pub(crate) fn create_many(&self, new: &[NewKey], actor: &str) -> Result<Vec<CreatedKey>, LedgerError> {
        at_most(new.len())?;
        let mut names = HashMap::new();
        for (index, key) in new.iter().enumerate() {
            key.validate().map_err(|invalid| LedgerError::from(invalid).of_many(index))?;
            if let Some(first) = names.insert((&key.organization, &key.name), index) {
                let twice = LedgerError::KeyNameTwice { first: first + 1, name: key.name.clone() };
                return Err(twice.of_many(index));
            }
        }
        // Secrets are drawn before the store is locked.
        let issued =
            new.iter().map(|_| token::issue(TokenKind::VirtualKey, None)).collect::<Result<Vec<_>, _>>()?;
        let infos = self.change(|transaction, now| {
            none_taken(transaction, &names)?;
            let mut infos = Vec::with_capacity(new.len());
            for (index, (key, issued)) in new.iter().zip(&issued).enumerate() {
                let key = directory::resolve_owners(transaction, key, self.owners_known())
                    .map_err(|error| error.of_many(index))?;
                keys::insert(transaction, &issued.id, &issued.hash, &key, now)?;
                let info = keys::get(transaction, &issued.id)?;
                leave(transaction, now, &key_event(actor, "key_created", &info, Some(info.name.clone())))?;
                infos.push(info);
            }
            Ok(infos)
        })?;
        let pair = infos.into_iter().zip(issued);
        Ok(pair.map(|(info, issued)| CreatedKey { info, key: issued.text }).collect())
    }

    pub(crate) fn disable_many(&self, ids: &[String], actor: &str) -> Result<Vec<KeyInfo>, LedgerError> {
        at_most(ids.len())?;
        let mut seen = HashSet::new();
        self.change(|transaction, now| {
            let mut infos = Vec::with_capacity(ids.len());
            for (index, id) in ids.iter().enumerate().filter(|(_, id)| seen.insert(id.as_str())) {
                let info = keys::get_own(transaction, id).map_err(|error| error.of_many(index))?;
                keys::set_disabled(transaction, id, true)?;
                leave(transaction, now, &key_event(actor, "key_disabled", &info, None))?;
                infos.push(KeyInfo { disabled: true, ..info });
            }
            Ok(infos)
        })
    }
}

/// Refuses names that keys of the store have; of several, the one that stands first in the list.
fn none_taken(
    connection: &Connection,
    wanted: &HashMap<(&String, &String), usize>,
) -> Result<(), LedgerError> {
    let mut taken: Option<(usize, LedgerError)> = None;
    keys::names(connection, |organization, name, id| {
        if let Some(index) = wanted.get(&(&organization, &name))
            && taken.as_ref().is_none_or(|(first, _)| index < first)
        {
            taken = Some((*index, LedgerError::KeyNameTaken { organization, name, id }));
        }
    })?;
    taken.map_or(Ok(()), |(index, error)| Err(error.of_many(index)))
}

fn at_most(count: usize) -> Result<(), LedgerError> {
    if count > KEYS_AT_ONCE_MAX { Err(LedgerError::TooManyKeys { limit: KEYS_AT_ONCE_MAX }) } else { Ok(()) }
}

#[cfg(test)]
#[path = "bulk_tests.rs"]
mod tests;
