//! Stored objects: which id at which provider belongs to whom.
//!
//! Files, batches, stored responses and the like live at the provider, in one account that several teams share. What an
//! answer names is bound here to the team whose key asked. A binding is known in this process at once and in the
//! store when the writer has written it; what memory does not hold is looked up in the store, off the requests' path.

mod held;

use crate::db::{self, Connection};
use crate::error::LedgerError;
use crate::place::Place;
use crate::queue::Queue;
use crate::{now_us, store};
use held::Held;
use narrows_policy::Caller;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most bytes of an id; a longer one is no id that a provider gives.
pub const OBJECT_ID_BYTES_MAX: usize = 512;
/// Most bindings that wait for the writer; beyond it they are known to this process only.
pub const OBJECTS_PENDING_MAX: usize = 65_536;

/// What an owner is within its organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A team.
    Team,
    /// A person without a team.
    User,
    /// A program without a team.
    ServiceAccount,
    /// The organization: its keys name neither team nor person nor program.
    Organization,
}

impl Scope {
    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Team => "team",
            Scope::User => "user",
            Scope::ServiceAccount => "service_account",
            Scope::Organization => "organization",
        }
    }

    fn from_word(word: &str) -> Scope {
        match word {
            "team" => Scope::Team,
            "user" => Scope::User,
            "service_account" => Scope::ServiceAccount,
            // An owner that a newer version wrote is met by nobody: no caller's holder is a word like that.
            _ => Scope::Organization,
        }
    }
}

/// Whose an object is: the team of the key, else its user or service account, else the organization.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The organization.
    pub organization: Box<str>,
    /// What `holder` names.
    pub scope: Scope,
    /// The name; empty for the organization.
    pub holder: Box<str>,
}

impl Owner {
    /// The owner of what this caller makes.
    pub fn of(caller: &Caller) -> Owner {
        let (scope, holder) = holder(caller);
        Owner { organization: caller.organization.as_str().into(), scope, holder: holder.into() }
    }

    /// Whether what belongs to this owner is the caller's too. Allocates nothing.
    pub fn is(&self, caller: &Caller) -> bool {
        (self.scope, &*self.holder) == holder(caller) && *self.organization == *caller.organization
    }
}

fn holder(caller: &Caller) -> (Scope, &str) {
    match (&caller.team, &caller.user, &caller.service_account) {
        (Some(team), _, _) => (Scope::Team, team),
        (None, Some(user), _) => (Scope::User, user),
        (None, None, Some(account)) => (Scope::ServiceAccount, account),
        (None, None, None) => (Scope::Organization, ""),
    }
}

/// A stored object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its id, as the provider writes it (`file-…`, `resp_…`, `files/…`).
    pub id: Box<str>,
    /// The provider that keeps it, by its name in the configuration.
    pub provider: Arc<str>,
    /// What it is: `file`, `batch`, `response`, …
    pub kind: Box<str>,
    /// Whose it is.
    pub owner: Owner,
    /// When it was bound, UTC microseconds since the epoch.
    pub created_at_us: i64,
    /// When the binding ends; `None` when only a deletion ends it.
    pub expires_at_us: Option<i64>,
}

impl Object {
    fn lives(&self, now_us: i64) -> bool {
        self.expires_at_us.is_none_or(|end| end > now_us)
    }
}

/// What the writer is to do.
#[derive(Debug)]
pub(crate) enum Change {
    Bind(Arc<Object>),
    Unbind { id: Box<str>, provider: Arc<str> },
}

/// How the registry is doing, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectStats {
    /// Objects bound since the ledger was opened.
    pub bound: u64,
    /// Bindings that are known to this process only, because too many waited for the writer.
    pub unwritten: u64,
    /// Objects held in memory.
    pub held: usize,
}

/// The registry of stored objects of one store.
pub struct Objects {
    place: Place,
    busy_timeout: Duration,
    queue: Arc<Queue>,
    held: Mutex<Held>,
    /// For what memory does not hold; opened when it is first needed.
    reader: Mutex<Option<Connection>>,
    bound: AtomicU64,
    unwritten: AtomicU64,
}

impl Objects {
    pub(crate) fn new(place: &Place, busy_timeout: Duration, queue: Arc<Queue>) -> Objects {
        Objects {
            place: place.clone(),
            busy_timeout,
            queue,
            held: Mutex::default(),
            reader: Mutex::new(None),
            bound: AtomicU64::new(0),
            unwritten: AtomicU64::new(0),
        }
    }

    /// Binds an object to its owner. Never waits for the disk. An id that is bound already keeps its owner, however it
    /// got the second one: some servers let a client choose ids. False then, and for what is no id.
    pub fn bind(&self, object: Object) -> bool {
        if object.id.is_empty() || object.id.len() > OBJECT_ID_BYTES_MAX {
            return false;
        }
        let object = Arc::new(object);
        if !lock(&self.held).insert(&object, now_us()) {
            return false;
        }
        self.bound.fetch_add(1, Ordering::Relaxed);
        self.write(Change::Bind(object));
        true
    }

    /// Forgets an object that was deleted at its provider.
    pub fn unbind(&self, provider: &Arc<str>, id: &str) {
        let gone = Object {
            id: id.into(),
            provider: Arc::clone(provider),
            kind: Box::default(),
            owner: Owner { organization: Box::default(), scope: Scope::Organization, holder: Box::default() },
            created_at_us: 0,
            expires_at_us: Some(0),
        };
        lock(&self.held).bury(&Arc::new(gone));
        self.write(Change::Unbind { id: id.into(), provider: Arc::clone(provider) });
    }

    fn write(&self, change: Change) {
        if !self.queue.submit_change(change, OBJECTS_PENDING_MAX) {
            self.unwritten.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The object with this id, if memory holds it; one of `provider`, if that is given. Never waits. `None` says
    /// nothing: see [`owner`](Self::owner).
    pub fn held(&self, id: &str, provider: Option<&str>) -> Option<Arc<Object>> {
        lock(&self.held).get(id, provider, now_us())
    }

    /// The object with this id, at `provider` if that is given; `None` when nobody here made it, or its binding ended.
    /// May read the store: not for a thread that serves requests.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn owner(&self, id: &str, provider: Option<&str>) -> Result<Option<Arc<Object>>, LedgerError> {
        if let Some(found) = self.held(id, provider) {
            return Ok(Some(found));
        }
        if id.is_empty() || id.len() > OBJECT_ID_BYTES_MAX {
            return Ok(None);
        }
        let rows = self.read(|connection| store::objects::load(connection, id))?;
        let now = now_us();
        let mut held = lock(&self.held);
        for object in rows {
            if object.lives(now) {
                held.learn(&Arc::new(object));
            }
        }
        Ok(held.get(id, provider, now))
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> db::Result<T>) -> Result<T, LedgerError> {
        let mut reader = lock(&self.reader);
        let connection = match reader.take() {
            Some(connection) => connection,
            None => store::connect(&self.place, self.busy_timeout)?,
        };
        // Kept only if it worked: what is wrong with a connection ends with it.
        let result = read(&connection)?;
        *reader = Some(connection);
        Ok(result)
    }

    /// The writer found another owner in the store: that one counts.
    pub(crate) fn refuted(&self, object: &Object) {
        lock(&self.held).remove(&object.provider, &object.id);
    }

    /// How the registry is doing.
    pub fn stats(&self) -> ObjectStats {
        ObjectStats {
            bound: self.bound.load(Ordering::Relaxed),
            unwritten: self.unwritten.load(Ordering::Relaxed),
            held: lock(&self.held).len(),
        }
    }
}

/// Nothing panics while these are held, and nothing is half done if it did.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The scope with this word, for the store.
pub(crate) fn scope(word: &str) -> Scope {
    Scope::from_word(word)
}

#[cfg(test)]
#[path = "objects/tests.rs"]
mod tests;
