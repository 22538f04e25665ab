//! `narrows orgs`, `users`, `service-accounts`, `teams` and `projects`: the directory, in the store of this machine or behind
//! a running gateway.

use super::args::{DirectoryArguments, DirectoryCommand, EntryArguments, EntryUpdate};
use super::remote::Remote;
use super::table::{self, ABSENT, number};
use super::{Console, Outcome, store, time};
use crate::fetch::encode;
use anyhow::{Result, anyhow, bail};
use narrows_ledger::{
    ENTRY_PAGE_LIMIT, Entry, EntryChange, EntryFilter, EntryKind, EntryState, Ledger, LedgerError, NewEntry,
};
use serde_json::{Map, Value as Json, json};

/// Most entries one command shows.
const ENTRIES_MAX: usize = 1_000_000;

/// Runs the command that was given.
pub(crate) fn directory(
    kind: EntryKind,
    arguments: &DirectoryArguments,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    if kind == EntryKind::Organization && arguments.organization.is_some() {
        bail!("--organization is not for organizations; name the one that is meant");
    }
    let place = Place::of(kind, arguments)?;
    let as_json = arguments.store.json;
    let (entry, done) = match &arguments.command {
        DirectoryCommand::List { team, state, limit } => {
            let state = state.as_deref().map(state_of).transpose()?;
            let filter = EntryFilter {
                organization: arguments.organization.clone(),
                team: team.clone(),
                state,
                ..EntryFilter::all(kind)
            };
            list(console, kind, &place.list(&filter, *limit)?, as_json)?;
            return Ok(Outcome::Fine);
        }
        DirectoryCommand::Show { name } => {
            show(console, &place.find(name)?, as_json)?;
            return Ok(Outcome::Fine);
        }
        DirectoryCommand::Create(asked) => (place.create(asked)?, "created"),
        DirectoryCommand::Update(asked) => (place.change(&asked.name, &change(asked))?, "updated"),
        DirectoryCommand::Disable { name } => (place.change(name, &switch(true))?, "disabled"),
        DirectoryCommand::Enable { name } => (place.change(name, &switch(false))?, "enabled"),
        DirectoryCommand::Delete { name } => (place.delete(name)?, "deleted"),
    };
    if as_json {
        writeln!(console.out, "{}", serde_json::to_string(&entry)?)?;
    } else {
        let noun = capitalized(kind.noun());
        writeln!(console.out, "{noun} {} ({}) is {done}.", entry.name, entry.id)?;
    }
    Ok(Outcome::Fine)
}

fn state_of(word: &str) -> Result<EntryState> {
    EntryState::from_word(word)
        .ok_or_else(|| anyhow!("--state is `{word}`; it takes active, disabled or deleted"))
}

fn switch(disabled: bool) -> EntryChange {
    EntryChange { disabled: Some(disabled), ..EntryChange::default() }
}

/// What an empty text takes away.
fn value(text: &Option<String>) -> Option<Option<String>> {
    text.clone().map(|text| Some(text).filter(|text| !text.is_empty()))
}

fn change(asked: &EntryUpdate) -> EntryChange {
    EntryChange {
        display_name: value(&asked.display_name),
        email: value(&asked.email),
        external_id: value(&asked.external_id),
        team: value(&asked.team),
        disabled: None,
        add_members: asked.add_members.clone(),
        remove_members: asked.remove_members.clone(),
    }
}

/// Where the directory is, and what of it is meant.
struct Place {
    kind: EntryKind,
    /// The organization that was named.
    named: Option<String>,
    at: At,
}

enum At {
    Local {
        ledger: Box<Ledger>,
        /// The organization where none is named.
        organization: String,
    },
    Remote(Remote),
}

impl Place {
    fn of(kind: EntryKind, arguments: &DirectoryArguments) -> Result<Place> {
        let named = arguments.organization.clone();
        if let Some(remote) = store::remote(&arguments.store)? {
            return Ok(Place { kind, named, at: At::Remote(remote) });
        }
        let settings = store::locate(&arguments.store)?;
        let create = matches!(arguments.command, DirectoryCommand::Create(_));
        let ledger = Box::new(store::open(&settings, create)?);
        Ok(Place { kind, named, at: At::Local { ledger, organization: settings.organization.to_string() } })
    }

    fn path(&self) -> String {
        format!("/{}", self.kind.plural())
    }

    fn list(&self, filter: &EntryFilter, most: usize) -> Result<Vec<Entry>> {
        if most == 0 || most > ENTRIES_MAX {
            bail!("--limit must be from 1 to {ENTRIES_MAX}");
        }
        let (mut entries, mut cursor) = (Vec::new(), None);
        while entries.len() < most {
            let (more, next) = self.page(filter, (most - entries.len()).min(ENTRY_PAGE_LIMIT), cursor)?;
            entries.extend(more);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(entries)
    }

    fn page(
        &self,
        filter: &EntryFilter,
        limit: usize,
        cursor: Option<String>,
    ) -> Result<(Vec<Entry>, Option<String>)> {
        match &self.at {
            At::Local { ledger, .. } => {
                let after = cursor.map(|text| text.parse()).transpose()?;
                let page = ledger.list_entries(filter, limit, after)?;
                Ok((page.entries, page.next.map(|next| next.to_string())))
            }
            At::Remote(remote) => {
                let pairs = [
                    ("organization", filter.organization.clone()),
                    ("name", filter.name.clone()),
                    ("team", filter.team.clone()),
                    ("state", filter.state.map(|state| state.as_str().to_owned())),
                    ("limit", Some(limit.to_string())),
                    ("cursor", cursor),
                ];
                let given =
                    pairs.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encode(&value?))));
                let query = given.collect::<Vec<_>>().join("&");
                let mut answer: Map<String, Json> = remote.get(&format!("{}?{query}", self.path()))?;
                let mut take = |name: &str| answer.remove(name).unwrap_or_default();
                let entries = take(&self.kind.plural().replace('-', "_"));
                Ok((serde_json::from_value(entries)?, serde_json::from_value(take("next"))?))
            }
        }
    }

    /// The entry with this name or public id. Names are those of one organization.
    fn find(&self, name: &str) -> Result<Entry> {
        match &self.at {
            At::Local { ledger, organization } => {
                let organization = self.named.as_ref().unwrap_or(organization);
                match ledger.find_entry(self.kind, organization, name) {
                    // One that was deleted is still told of by its id.
                    Err(LedgerError::EntryNotFound { .. }) => Ok(ledger.show_entry(self.kind, name)?),
                    found => Ok(found?),
                }
            }
            At::Remote(remote) => {
                let filter = EntryFilter {
                    organization: self.named.clone(),
                    name: Some(name.to_owned()),
                    ..EntryFilter::all(self.kind)
                };
                let (found, _) = self.page(&filter, 2, None)?;
                let id = match found.as_slice() {
                    [] => name,
                    [entry] => &entry.id,
                    _ => bail!(
                        "several organizations have a {} called `{name}`; say which with --organization",
                        self.kind.noun()
                    ),
                };
                remote.get(&format!("{}/{}", self.path(), encode(id)))
            }
        }
    }

    fn create(&self, asked: &EntryArguments) -> Result<Entry> {
        match &self.at {
            At::Local { ledger, organization } => {
                let new = NewEntry {
                    display_name: asked.display_name.clone(),
                    email: asked.email.clone(),
                    external_id: asked.external_id.clone(),
                    team: asked.team.clone(),
                    members: asked.members.clone(),
                    ..NewEntry::new(self.kind, self.named.as_ref().unwrap_or(organization), &asked.name)
                };
                Ok(ledger.create_entry(&new, store::ACTOR)?)
            }
            At::Remote(remote) => {
                let mut body = json!({
                    "name": asked.name,
                    "display_name": asked.display_name,
                    "email": asked.email,
                    "external_id": asked.external_id,
                    "team": asked.team,
                    "members": asked.members,
                });
                if let (Some(organization), Json::Object(body)) = (&self.named, &mut body) {
                    body.insert("organization".to_owned(), json!(organization));
                }
                remote.post(&self.path(), Some(&body))
            }
        }
    }

    fn change(&self, name: &str, change: &EntryChange) -> Result<Entry> {
        let entry = self.find(name)?;
        match &self.at {
            At::Local { ledger, .. } => {
                Ok(ledger.change_entry(self.kind, &entry.id, change, None, store::ACTOR)?)
            }
            At::Remote(remote) => {
                remote.patch(&format!("{}/{}", self.path(), encode(&entry.id)), &patch(change))
            }
        }
    }

    fn delete(&self, name: &str) -> Result<Entry> {
        let entry = self.find(name)?;
        match &self.at {
            At::Local { ledger, .. } => Ok(ledger.delete_entry(self.kind, &entry.id, None, store::ACTOR)?),
            At::Remote(remote) => remote.delete(&format!("{}/{}", self.path(), encode(&entry.id))),
        }
    }
}

/// A change as the administration API takes it: what stays as it is is not there.
fn patch(change: &EntryChange) -> Json {
    let mut body = Map::new();
    for (name, value) in [
        ("display_name", &change.display_name),
        ("email", &change.email),
        ("external_id", &change.external_id),
        ("team", &change.team),
    ] {
        if let Some(value) = value {
            body.insert(name.to_owned(), json!(value));
        }
    }
    if let Some(disabled) = change.disabled {
        body.insert("state".to_owned(), json!(if disabled { "disabled" } else { "active" }));
    }
    for (name, list) in [("add_members", &change.add_members), ("remove_members", &change.remove_members)] {
        if !list.is_empty() {
            body.insert(name.to_owned(), json!(list));
        }
    }
    Json::Object(body)
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

fn list(console: &mut Console<'_>, kind: EntryKind, entries: &[Entry], as_json: bool) -> Result<()> {
    if as_json {
        for entry in entries {
            writeln!(console.out, "{}", serde_json::to_string(entry)?)?;
        }
        return Ok(());
    }
    if entries.is_empty() {
        let command = if kind == EntryKind::Organization { "orgs" } else { kind.plural() };
        writeln!(console.out, "None are known; add one: narrows {command} create --name NAME")?;
        return Ok(());
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| ABSENT.to_owned());
    let own = |entry: &Entry| match kind {
        EntryKind::User => Some(text(&entry.email)),
        EntryKind::Team => Some(entry.member_count.map_or(ABSENT.to_owned(), number)),
        EntryKind::Project => Some(text(&entry.team)),
        EntryKind::Organization | EntryKind::ServiceAccount => None,
    };
    let row = |entry: &Entry| {
        let first = [&entry.id, &entry.name, entry.state.as_str(), &entry.organization].map(str::to_owned);
        first.into_iter().chain(own(entry)).chain([text(&entry.display_name)]).collect()
    };
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    let mut titles = vec!["ID", "NAME", "STATE", "ORGANIZATION"];
    titles.extend(match kind {
        EntryKind::User => Some("EMAIL"),
        EntryKind::Team => Some("MEMBERS"),
        EntryKind::Project => Some("TEAM"),
        EntryKind::Organization | EntryKind::ServiceAccount => None,
    });
    titles.push("DISPLAY NAME");
    let figures: &[usize] = if kind == EntryKind::Team { &[4] } else { &[] };
    table::write(console.out, &titles, figures, &rows)?;
    Ok(())
}

fn show(console: &mut Console<'_>, entry: &Entry, as_json: bool) -> Result<()> {
    if as_json {
        writeln!(console.out, "{}", serde_json::to_string(entry)?)?;
        return Ok(());
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| ABSENT.to_owned());
    let at = |at_us: Option<i64>| at_us.map_or(ABSENT.to_owned(), time::show);
    let mut lines = vec![
        ("id", entry.id.clone()),
        ("name", entry.name.clone()),
        ("state", entry.state.as_str().to_owned()),
        ("organization", entry.organization.clone()),
        ("display name", text(&entry.display_name)),
        ("external id", text(&entry.external_id)),
    ];
    match entry.kind {
        EntryKind::User => lines.push(("email", text(&entry.email))),
        EntryKind::Project => lines.push(("team", text(&entry.team))),
        EntryKind::Team => {
            let members = entry.members.as_deref().unwrap_or_default();
            let members = if members.is_empty() { ABSENT.to_owned() } else { members.join(", ") };
            lines.push(("members", members));
        }
        EntryKind::Organization | EntryKind::ServiceAccount => {}
    }
    lines.push(("created", at(entry.created_at_us)));
    lines.push(("updated", at(entry.updated_at_us)));
    lines.push(("deleted", at(entry.deleted_at_us)));
    for (name, value) in lines {
        writeln!(console.out, "{name:<14} {value}")?;
    }
    Ok(())
}
