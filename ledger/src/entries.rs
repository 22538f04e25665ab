//! The directory at work: changes, and what they mean for keys.

use crate::audit::AuditEntry;
use crate::db::Connection;
use crate::directory::{
    ENTRY_PAGE_LIMIT, Entry, EntryChange, EntryFilter, EntryKind, EntryPage, EntryState, MEMBERS_MAX,
    NewEntry,
};
use crate::error::LedgerError;
use crate::keystore::{KeyStore, key_event, leave};
use crate::store::directory::{self, Stored};
use crate::store::keys;
use crate::token;

impl KeyStore {
    pub(crate) fn create_entry(&self, new: &NewEntry, actor: &str) -> Result<Entry, LedgerError> {
        new.validate()?;
        let id = token::public_id()?;
        self.change(|transaction, now| {
            let mut new = new.clone();
            if new.kind == EntryKind::Organization {
                new.organization.clone_from(&new.name);
            } else {
                new.organization = home(transaction, &new.organization, self.owners_known())?;
            }
            if let Some(id) =
                directory::taken(transaction, new.kind, &new.organization, "name", &new.name, 0)?
            {
                return Err(LedgerError::EntryNameTaken { kind: new.kind, name: new.name, id });
            }
            let unique = [("email", &new.email), ("external_id", &new.external_id)];
            all_free(transaction, new.kind, &new.organization, unique, 0)?;
            if let Some(team) = &mut new.team {
                *team = active(transaction, EntryKind::Team, &new.organization, team)?.entry.name;
            }
            directory::insert(transaction, &id, &new, now)?;
            let stored = directory::get(transaction, new.kind, &id)?;
            let members = all_active(transaction, &new.organization, &new.members)?;
            directory::add_members(transaction, stored.seq, &members)?;
            leave(transaction, now, &entry_event(actor, "created", &stored.entry, Some(new.name)))?;
            whole(transaction, new.kind, &id)
        })
    }

    pub(crate) fn list_entries(
        &self,
        filter: &EntryFilter,
        limit: usize,
        after: Option<i64>,
    ) -> Result<EntryPage, LedgerError> {
        if limit == 0 || limit > ENTRY_PAGE_LIMIT {
            return Err(LedgerError::BadQuery("a page has 1 to 1000 entries"));
        }
        Ok(directory::page(&self.lock(), filter, limit, after)?)
    }

    pub(crate) fn show_entry(&self, kind: EntryKind, id: &str) -> Result<Entry, LedgerError> {
        whole(&self.lock(), kind, id)
    }

    pub(crate) fn find_entry(
        &self,
        kind: EntryKind,
        organization: &str,
        name_or_id: &str,
    ) -> Result<Entry, LedgerError> {
        let connection = self.lock();
        let found = directory::find(&connection, kind, organization, name_or_id)?;
        let found = found.ok_or_else(|| LedgerError::EntryNotFound { kind, id: name_or_id.to_owned() })?;
        whole(&connection, kind, &found.entry.id)
    }

    pub(crate) fn change_entry(
        &self,
        kind: EntryKind,
        id: &str,
        change: &EntryChange,
        version: Option<u64>,
        actor: &str,
    ) -> Result<Entry, LedgerError> {
        change.validate(kind)?;
        self.change(|transaction, now| {
            let mut stored = living(transaction, kind, id, version)?;
            let organization = stored.entry.organization.clone();
            let said = apply(&mut stored.entry, change);
            let unique = [("email", &stored.entry.email), ("external_id", &stored.entry.external_id)];
            all_free(transaction, kind, &organization, unique, stored.seq)?;
            if let Some(Some(team)) = &change.team {
                stored.entry.team =
                    Some(active(transaction, EntryKind::Team, &organization, team)?.entry.name);
            }
            directory::update(transaction, &stored, now)?;
            let gone = all_living(transaction, &organization, &change.remove_members)?;
            directory::remove_members(transaction, stored.seq, &gone)?;
            let new = all_active(transaction, &organization, &change.add_members)?;
            directory::add_members(transaction, stored.seq, &new)?;
            let entry = whole(transaction, kind, id)?;
            if entry.member_count.is_some_and(|count| count > MEMBERS_MAX as u64) {
                return Err(LedgerError::TooManyMembers { limit: MEMBERS_MAX });
            }
            let verb = match change.disabled {
                Some(true) => "disabled",
                Some(false) => "enabled",
                None => "updated",
            };
            leave(transaction, now, &entry_event(actor, verb, &entry, Some(said)))?;
            Ok(entry)
        })
    }

    pub(crate) fn delete_entry(
        &self,
        kind: EntryKind,
        id: &str,
        version: Option<u64>,
        actor: &str,
    ) -> Result<Entry, LedgerError> {
        self.change(|transaction, now| {
            let stored = living(transaction, kind, id, version)?;
            let below = directory::count_below(transaction, &stored.entry)?;
            if below > 0 {
                let name = stored.entry.name;
                return Err(LedgerError::EntryInUse { kind, name, count: below });
            }
            let name = stored.entry.name.clone();
            leave(transaction, now, &entry_event(actor, "deleted", &stored.entry, Some(name)))?;
            // A name may be given again, and must not come with the keys of whoever had it before.
            for info in keys::of_owner(transaction, &stored.entry)? {
                keys::set_disabled(transaction, &info.id, true)?;
                let cause = format!("the {} {} was deleted", kind.noun(), stored.entry.name);
                leave(transaction, now, &key_event(actor, "key_disabled", &info, Some(cause)))?;
            }
            directory::delete(transaction, stored.seq, now)?;
            whole(transaction, kind, id)
        })
    }
}

/// Takes over what changes, and says what that is, without values that are about a person.
fn apply(entry: &mut Entry, change: &EntryChange) -> String {
    let mut said = vec![entry.name.clone()];
    for (field, value, place) in [
        ("display_name", &change.display_name, &mut entry.display_name),
        ("email", &change.email, &mut entry.email),
        ("external_id", &change.external_id, &mut entry.external_id),
        ("team", &change.team, &mut entry.team),
    ] {
        if let Some(value) = value {
            place.clone_from(value);
            said.push(field.to_owned());
        }
    }
    if let Some(disabled) = change.disabled {
        entry.state = if disabled { EntryState::Disabled } else { EntryState::Active };
    }
    for (list, sign) in [(&change.add_members, '+'), (&change.remove_members, '-')] {
        if !list.is_empty() {
            said.push(format!("members {sign}{}", list.len()));
        }
    }
    said.join(", ")
}

/// The organization of a new entry, by name.
fn home(connection: &Connection, name: &str, known: bool) -> Result<String, LedgerError> {
    let kind = EntryKind::Organization;
    match directory::find(connection, kind, name, name)? {
        Some(stored) => Ok(stored.entry.name),
        None if known => {
            let organization = name.to_owned();
            Err(LedgerError::OwnerUnknown { kind, organization: organization.clone(), name: organization })
        }
        None => Ok(name.to_owned()),
    }
}

/// The entry, with the members of a team.
fn whole(connection: &Connection, kind: EntryKind, id: &str) -> Result<Entry, LedgerError> {
    let Stored { seq, mut entry } = directory::get(connection, kind, id)?;
    if kind == EntryKind::Team {
        entry.members = Some(directory::members(connection, seq)?);
    }
    Ok(entry)
}

/// The entry, if it may still be changed and is what the caller has seen.
fn living(
    connection: &Connection,
    kind: EntryKind,
    id: &str,
    version: Option<u64>,
) -> Result<Stored, LedgerError> {
    let stored = directory::get(connection, kind, id)?;
    if stored.entry.state == EntryState::Deleted {
        return Err(LedgerError::EntryDeleted { kind, name: stored.entry.name });
    }
    match version {
        Some(seen) if seen != stored.entry.version => {
            Err(LedgerError::EntryChanged { kind, seen, found: stored.entry.version })
        }
        _ => Ok(stored),
    }
}

fn all_free(
    connection: &Connection,
    kind: EntryKind,
    organization: &str,
    unique: [(&'static str, &Option<String>); 2],
    but: i64,
) -> Result<(), LedgerError> {
    for (field, value) in unique {
        if let Some(value) = value
            && let Some(id) = directory::taken(connection, kind, organization, field, value, but)?
        {
            return Err(LedgerError::EntryValueTaken { kind, field, id });
        }
    }
    Ok(())
}

/// Another entry that one refers to.
fn referred(
    connection: &Connection,
    kind: EntryKind,
    organization: &str,
    name_or_id: &str,
) -> Result<Stored, LedgerError> {
    let found = directory::find(connection, kind, organization, name_or_id)?;
    found.ok_or_else(|| LedgerError::OwnerUnknown {
        kind,
        organization: organization.to_owned(),
        name: name_or_id.to_owned(),
    })
}

/// Another entry that one refers to, if it is not switched off.
fn active(
    connection: &Connection,
    kind: EntryKind,
    organization: &str,
    name_or_id: &str,
) -> Result<Stored, LedgerError> {
    let stored = referred(connection, kind, organization, name_or_id)?;
    if stored.entry.state == EntryState::Disabled {
        let (name, state) = (stored.entry.name, EntryState::Disabled);
        return Err(LedgerError::OwnerBlocked { kind, name, state });
    }
    Ok(stored)
}

fn all_active(
    connection: &Connection,
    organization: &str,
    users: &[String],
) -> Result<Vec<i64>, LedgerError> {
    users.iter().map(|user| Ok(active(connection, EntryKind::User, organization, user)?.seq)).collect()
}

fn all_living(
    connection: &Connection,
    organization: &str,
    users: &[String],
) -> Result<Vec<i64>, LedgerError> {
    users.iter().map(|user| Ok(referred(connection, EntryKind::User, organization, user)?.seq)).collect()
}

fn entry_event<'a>(actor: &'a str, verb: &str, entry: &'a Entry, detail: Option<String>) -> AuditEntry<'a> {
    AuditEntry {
        actor,
        action: action(entry.kind, verb),
        target: &entry.id,
        organization: Some(&entry.organization),
        detail,
        rows: None,
    }
}

/// The word in the trail.
fn action(kind: EntryKind, verb: &str) -> &'static str {
    macro_rules! words {
        ($($kind:ident $word:literal)+) => {
            match (kind, verb) {
                $(
                    (EntryKind::$kind, "created") => concat!($word, "_created"),
                    (EntryKind::$kind, "disabled") => concat!($word, "_disabled"),
                    (EntryKind::$kind, "enabled") => concat!($word, "_enabled"),
                    (EntryKind::$kind, "deleted") => concat!($word, "_deleted"),
                    (EntryKind::$kind, _) => concat!($word, "_updated"),
                )+
            }
        };
    }
    words! {
        Organization "organization"
        User "user"
        ServiceAccount "service_account"
        Team "team"
        Project "project"
    }
}
