//! The directory: organizations, users, service accounts, teams and projects that are known.
//!
//! Keys and records say who they are about by name, within an organization. So a name never changes, and what was
//! deleted stays as a tombstone. A name that keys use needs no entry; one that has an entry works only while the entry
//! is active.

use crate::json::{self, times};
use crate::key::{InvalidKey, TEXT_MAX, at_most};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

/// Most entries on one page.
pub const ENTRY_PAGE_LIMIT: usize = 1_000;
/// Most members of one team.
pub const MEMBERS_MAX: usize = 5_000;
/// Most members that one change adds, and that it removes.
pub const MEMBERS_AT_ONCE_MAX: usize = 1_000;
/// Longest address of electronic mail, in bytes (RFC 5321 §4.5.3.1.3 allows 254 characters between the brackets).
pub const EMAIL_MAX: usize = 254;

/// What an entry of the directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// An organization.
    Organization,
    /// A person.
    User,
    /// A program.
    ServiceAccount,
    /// A team.
    Team,
    /// A project.
    Project,
}

impl EntryKind {
    /// Every kind.
    pub const ALL: [EntryKind; 5] = [
        EntryKind::Organization,
        EntryKind::User,
        EntryKind::ServiceAccount,
        EntryKind::Team,
        EntryKind::Project,
    ];

    /// The stable word, which is also the name of the member of keys and records that names such a thing.
    pub fn as_str(self) -> &'static str {
        match self {
            EntryKind::Organization => "organization",
            EntryKind::User => "user",
            EntryKind::ServiceAccount => "service_account",
            EntryKind::Team => "team",
            EntryKind::Project => "project",
        }
    }

    /// The kind with this word.
    pub fn from_word(word: &str) -> Option<EntryKind> {
        EntryKind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// For sentences.
    pub fn noun(self) -> &'static str {
        match self {
            EntryKind::ServiceAccount => "service account",
            other => other.as_str(),
        }
    }

    /// Several of them, as the administration API and the command line call them.
    pub fn plural(self) -> &'static str {
        match self {
            EntryKind::Organization => "organizations",
            EntryKind::User => "users",
            EntryKind::ServiceAccount => "service-accounts",
            EntryKind::Team => "teams",
            EntryKind::Project => "projects",
        }
    }
}

/// An entry to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// What it is.
    pub kind: EntryKind,
    /// The organization it belongs to; that of an organization is itself, whatever stands here.
    pub organization: String,
    /// Its name, which keys use. Once in its organization, among those of its kind that were not deleted.
    pub name: String,
    /// A name for people to read.
    pub display_name: Option<String>,
    /// Address of electronic mail; users only, and once in an organization.
    pub email: Option<String>,
    /// What another directory calls it (the `externalId` of RFC 7643 §3.1); once among its kind in an organization.
    pub external_id: Option<String>,
    /// The team of a project, by name or id.
    pub team: Option<String>,
    /// The members of a team: users, by name or id.
    pub members: Vec<String>,
}

impl NewEntry {
    /// An entry with nothing but what it must have.
    pub fn new(kind: EntryKind, organization: &str, name: &str) -> NewEntry {
        NewEntry {
            kind,
            organization: organization.to_owned(),
            name: name.to_owned(),
            display_name: None,
            email: None,
            external_id: None,
            team: None,
            members: Vec::new(),
        }
    }

    /// Checks every limit.
    ///
    /// # Errors
    /// The first [`InvalidEntry`] found.
    pub fn validate(&self) -> Result<(), InvalidEntry> {
        text("name", Some(&self.name))?;
        if self.kind != EntryKind::Organization {
            text("organization", Some(&self.organization))?;
        }
        let change = EntryChange {
            display_name: Some(self.display_name.clone()),
            email: self.email.clone().map(Some),
            external_id: Some(self.external_id.clone()),
            team: self.team.clone().map(Some),
            add_members: self.members.clone(),
            ..EntryChange::default()
        };
        change.validate(self.kind)
    }
}

/// What is to become of an entry. What is `None` or empty stays as it is; `Some(None)` takes a value away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryChange {
    /// A name for people to read.
    pub display_name: Option<Option<String>>,
    /// Address of electronic mail.
    pub email: Option<Option<String>>,
    /// What another directory calls it.
    pub external_id: Option<Option<String>>,
    /// The team of a project, by name or id.
    pub team: Option<Option<String>>,
    /// Whether it is switched off.
    pub disabled: Option<bool>,
    /// Users who become members of a team, by name or id. Who is one already stays one.
    pub add_members: Vec<String>,
    /// Users who are members no longer, by name or id.
    pub remove_members: Vec<String>,
}

impl EntryChange {
    /// Checks every limit, and whether what is asked for belongs to `kind`.
    ///
    /// # Errors
    /// The first [`InvalidEntry`] found.
    pub fn validate(&self, kind: EntryKind) -> Result<(), InvalidEntry> {
        let flat = |value: &'_ Option<Option<String>>| value.clone().flatten();
        text("display name", flat(&self.display_name).as_ref())?;
        text("external id", flat(&self.external_id).as_ref())?;
        text("team", flat(&self.team).as_ref())?;
        if let Some(email) = flat(&self.email) {
            at_most("email", email.len(), EMAIL_MAX, "bytes")?;
            if !is_email(&email) {
                return Err(InvalidEntry::Email { email });
            }
        }
        let members = !self.add_members.is_empty() || !self.remove_members.is_empty();
        for (given, belongs, field) in [
            (self.email.is_some(), EntryKind::User, "email"),
            (self.team.is_some(), EntryKind::Project, "team"),
            (members, EntryKind::Team, "members"),
        ] {
            if given && kind != belongs {
                return Err(InvalidEntry::NotOfKind { field, kind: kind.noun() });
            }
        }
        for list in [&self.add_members, &self.remove_members] {
            at_most("members", list.len(), MEMBERS_AT_ONCE_MAX, "entries at once")?;
            list.iter().try_for_each(|member| text("member", Some(member)))?;
        }
        Ok(())
    }
}

fn text(field: &'static str, text: Option<&String>) -> Result<(), InvalidEntry> {
    let Some(text) = text else { return Ok(()) };
    if text.is_empty() {
        return Err(InvalidKey::Empty { field }.into());
    }
    Ok(at_most(field, text.len(), TEXT_MAX, "bytes")?)
}

/// Something before an `@` and something after the last one, without blanks. Whether mail arrives is nothing that a look at
/// the text could tell.
fn is_email(text: &str) -> bool {
    let parts = text.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    parts && !text.chars().any(|character| character.is_whitespace() || character.is_control())
}

/// Why an entry cannot be as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntry {
    /// A text is empty, or something is too long.
    #[error(transparent)]
    Limit(#[from] InvalidKey),
    /// No address of electronic mail.
    #[error("`{email}` is no address of electronic mail")]
    Email {
        /// As given.
        email: String,
    },
    /// Something that only another kind has.
    #[error("a {kind} has no {field}")]
    NotOfKind {
        /// What was given.
        field: &'static str,
        /// The kind of the entry.
        kind: &'static str,
    },
}

/// Whether an entry's keys work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryState {
    /// They do.
    Active,
    /// They do not, until it is enabled again.
    Disabled,
    /// It is gone; its name stays in old records.
    Deleted,
}

impl EntryState {
    /// Every state.
    pub const ALL: [EntryState; 3] = [EntryState::Active, EntryState::Disabled, EntryState::Deleted];

    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            EntryState::Active => "active",
            EntryState::Disabled => "disabled",
            EntryState::Deleted => "deleted",
        }
    }

    /// The state with this word.
    pub fn from_word(word: &str) -> Option<EntryState> {
        EntryState::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What the directory knows of one of its entries.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// Public id.
    pub id: String,
    /// What it is.
    pub kind: EntryKind,
    /// The organization it belongs to.
    pub organization: String,
    /// Its name, which keys and records use.
    pub name: String,
    /// Whether its keys work.
    pub state: EntryState,
    /// A name for people to read.
    pub display_name: Option<String>,
    /// Address of electronic mail of a user.
    #[serde(default)]
    pub email: Option<String>,
    /// What another directory calls it.
    pub external_id: Option<String>,
    /// The team of a project, by name.
    #[serde(default)]
    pub team: Option<String>,
    /// How many users a team has.
    #[serde(default)]
    pub member_count: Option<u64>,
    /// The users of a team, by name in alphabetical order; only where one entry is told of.
    #[serde(default)]
    pub members: Option<Vec<String>>,
    /// Grows by one with every change.
    pub version: u64,
    /// When it was created, UTC microseconds since the epoch.
    #[serde(rename = "created_at", with = "times")]
    pub created_at_us: Option<i64>,
    /// When it was changed last.
    #[serde(rename = "updated_at", with = "times")]
    pub updated_at_us: Option<i64>,
    /// When it was deleted.
    #[serde(rename = "deleted_at", with = "times")]
    pub deleted_at_us: Option<i64>,
}

impl Serialize for Entry {
    /// What a kind does not have is not there.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        out.serialize_entry("id", &self.id)?;
        out.serialize_entry("kind", &self.kind)?;
        out.serialize_entry("organization", &self.organization)?;
        out.serialize_entry("name", &self.name)?;
        out.serialize_entry("state", &self.state)?;
        out.serialize_entry("display_name", &self.display_name)?;
        if self.kind == EntryKind::User {
            out.serialize_entry("email", &self.email)?;
        }
        out.serialize_entry("external_id", &self.external_id)?;
        if self.kind == EntryKind::Project {
            out.serialize_entry("team", &self.team)?;
        }
        if let Some(count) = self.member_count {
            out.serialize_entry("member_count", &count)?;
        }
        if let Some(members) = &self.members {
            out.serialize_entry("members", members)?;
        }
        out.serialize_entry("version", &self.version)?;
        for (name, at_us) in [
            ("created_at", self.created_at_us),
            ("updated_at", self.updated_at_us),
            ("deleted_at", self.deleted_at_us),
        ] {
            out.serialize_entry(name, &at_us.and_then(json::time))?;
        }
        out.end()
    }
}

/// Which entries are wanted. An absent field matches everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryFilter {
    /// What they are.
    pub kind: EntryKind,
    /// Of this organization.
    pub organization: Option<String>,
    /// With this name.
    pub name: Option<String>,
    /// With this address of electronic mail, in whatever case.
    pub email: Option<String>,
    /// Called so by another directory.
    pub external_id: Option<String>,
    /// Projects of this team, and users who are members of it, by its name.
    pub team: Option<String>,
    /// In this state; without it, all that were not deleted.
    pub state: Option<EntryState>,
}

impl EntryFilter {
    /// All of a kind that were not deleted.
    pub fn all(kind: EntryKind) -> EntryFilter {
        EntryFilter {
            kind,
            organization: None,
            name: None,
            email: None,
            external_id: None,
            team: None,
            state: None,
        }
    }
}

/// A part of the directory, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPage {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Where to go on; `None` at the end.
    pub next: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(new: &NewEntry) -> bool {
        new.validate().is_ok()
    }

    #[test]
    fn texts_have_limits() {
        let longest = "x".repeat(TEXT_MAX);
        let entry = |name: &str| NewEntry::new(EntryKind::User, "acme", name);
        assert!(valid(&entry(&longest)) && !valid(&entry(&format!("{longest}x"))) && !valid(&entry("")));
        let shown = |text: &str| NewEntry { display_name: Some(text.to_owned()), ..entry("ada") };
        assert!(valid(&shown(&longest)) && !valid(&shown(&format!("{longest}x"))) && !valid(&shown("")));
        let mail = |local: usize| NewEntry {
            email: Some(format!("{}@example.com", "x".repeat(local))),
            ..entry("ada")
        };
        let room = EMAIL_MAX - "@example.com".len();
        assert!(valid(&mail(room)) && !valid(&mail(room + 1)));
        let team = |members: usize| NewEntry {
            members: vec!["ada".to_owned(); members],
            ..NewEntry::new(EntryKind::Team, "acme", "red")
        };
        assert!(valid(&team(MEMBERS_AT_ONCE_MAX)) && !valid(&team(MEMBERS_AT_ONCE_MAX + 1)));
    }

    #[test]
    fn each_kind_has_its_own() {
        for kind in EntryKind::ALL {
            let plain = NewEntry::new(kind, "acme", "x");
            assert!(valid(&plain));
            let mail = NewEntry { email: Some("ada@example.com".into()), ..plain.clone() };
            let team = NewEntry { team: Some("red".into()), ..plain.clone() };
            let members = NewEntry { members: vec!["ada".into()], ..plain };
            let allowed = [EntryKind::User, EntryKind::Project, EntryKind::Team].map(|owner| owner == kind);
            assert_eq!([valid(&mail), valid(&team), valid(&members)], allowed, "{kind:?}");
            assert_eq!(EntryKind::from_word(kind.as_str()), Some(kind));
        }
        let without = NewEntry::new(EntryKind::Team, "", "x");
        assert!(!valid(&without) && valid(&NewEntry { kind: EntryKind::Organization, ..without }));
    }

    #[test]
    fn addresses_are_told_from_other_texts() {
        for good in ["ada@example.com", "ada+ai@sub.example.com", "\"a@b\"@example.com", "ädä@exämple.com"]
        {
            assert!(is_email(good), "{good}");
        }
        for bad in ["ada", "@example.com", "ada@", "a da@example.com", "ada@example.com\n", ""] {
            assert!(!is_email(bad), "{bad:?}");
        }
    }

    #[test]
    fn an_entry_reads_back_as_it_was_written() {
        for kind in EntryKind::ALL {
            let team = kind == EntryKind::Team;
            let entry = Entry {
                id: "4kX0bYw2mQ7d".into(),
                kind,
                organization: "acme".into(),
                name: "ada".into(),
                state: EntryState::Disabled,
                display_name: Some("Ada".into()),
                email: (kind == EntryKind::User).then(|| "ada@example.com".into()),
                external_id: None,
                team: (kind == EntryKind::Project).then(|| "red".into()),
                member_count: team.then_some(1),
                members: team.then(|| vec!["ada".into()]),
                version: 3,
                created_at_us: Some(1_770_000_000_000_001),
                updated_at_us: Some(1_770_000_000_000_002),
                deleted_at_us: None,
            };
            let text = serde_json::to_string(&entry).unwrap();
            assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
            assert_eq!(text.contains("email"), kind == EntryKind::User, "{text}");
        }
    }
}
