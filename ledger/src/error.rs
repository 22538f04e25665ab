//! What can go wrong with a store, said so that an operator knows what to do.

use crate::db::Error as DatabaseError;
use crate::directory::{EntryKind, EntryState, InvalidEntry};
use crate::key::InvalidKey;
use crate::limits::LimitKind;
use crate::place::Place;
use std::path::{Path, PathBuf};

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file or its folder cannot be written.
    #[error(
        "cannot write the store {path}: {source}; the folder must exist and belong to the user who runs this, \
         because SQLite keeps two more files (-wal, -shm) beside it"
    )]
    NotWritable {
        /// The store's file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// There is no store to read.
    #[error("there is no store at {path}; start the gateway once, or name its file")]
    Missing {
        /// Where it would be.
        path: Place,
    },
    /// Another process keeps the store locked.
    #[error(
        "the store {path} is locked by another process for longer than {waited_ms} ms; \
         close any shell or tool that holds a transaction on it"
    )]
    Locked {
        /// The store's file.
        path: PathBuf,
        /// How long was waited, in milliseconds.
        waited_ms: u128,
    },
    /// A newer Narrows wrote the store.
    #[error("the store {path} has schema {found} and this program knows up to {known}; run a newer Narrows")]
    SchemaNewer {
        /// The store.
        path: Place,
        /// The schema of the store.
        found: u32,
        /// The newest schema this program knows.
        known: u32,
    },
    /// PostgreSQL does not let the store be opened.
    #[error("the store {place} cannot be opened")]
    NotOpened {
        /// The store.
        place: Place,
        /// Why.
        source: DatabaseError,
    },
    /// The file is something else.
    #[error("{path} is not a Narrows store; name another file, or move this one away")]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// No key has this id.
    #[error("no key has the id `{id}`; `narrows keys list` shows all")]
    KeyNotFound {
        /// The id that was asked for.
        id: String,
    },
    /// No admin token has this id.
    #[error("no admin token has the id `{id}`; `narrows tokens list` shows all")]
    AdminTokenNotFound {
        /// The id that was asked for.
        id: String,
    },
    /// No alert has this id.
    #[error("no alert has the id `{id}`; `narrows alerts list` shows the newest")]
    AlertNotFound {
        /// The id that was asked for.
        id: String,
    },
    /// The key was deleted and cannot be changed any more.
    #[error("the key `{id}` was deleted; create a new one")]
    KeyDeleted {
        /// The key's id.
        id: String,
    },
    /// A file declares the key.
    #[error("the key `{id}` is declared in {file}; change it there, and the gateway takes it over")]
    KeyDeclared {
        /// The key's id.
        id: String,
        /// The file.
        file: String,
    },
    /// A key that is made together with others wants the name of a living one.
    #[error("the organization `{organization}` has a key called `{name}` already ({id})")]
    KeyNameTaken {
        /// The organization.
        organization: String,
        /// The name.
        name: String,
        /// Public id of the key that has it.
        id: String,
    },
    /// Two keys that are to be made together have one name.
    #[error("key {first} of the list is called `{name}` as well, in the same organization")]
    KeyNameTwice {
        /// Position of the other one, from 1.
        first: usize,
        /// The name.
        name: String,
    },
    /// One of many; nothing was done for any of them.
    #[error("key {position} of the list: {cause}")]
    OneOfMany {
        /// Its position, from 1.
        position: usize,
        /// What is wrong with it.
        cause: Box<LedgerError>,
    },
    /// More keys at once than may be.
    #[error("at most {limit} keys are changed at once; split the list")]
    TooManyKeys {
        /// The most there may be.
        limit: usize,
    },
    /// The key cannot be created as asked.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// An entry of the directory cannot be as asked.
    #[error(transparent)]
    InvalidEntry(#[from] InvalidEntry),
    /// The store has no such budget or rate limit.
    #[error("the store has no {} `{name}`; those of a configuration file are changed there", kind.noun())]
    LimitNotFound {
        /// What was looked for.
        kind: LimitKind,
        /// Its name.
        name: String,
    },
    /// A budget or rate limit is not in the version that a change was meant for.
    #[error("the {} `{name}` {}", kind.noun(), version.map_or("is not there".to_owned(), |version| format!("is in version {version}")))]
    LimitChanged {
        /// What was to be changed.
        kind: LimitKind,
        /// Its name.
        name: String,
        /// The version it is in, if it is there.
        version: Option<u64>,
    },
    /// A store holds so many and no more.
    #[error("the store holds {limit} {}s already; `per` gives each team or user a counter of its own", kind.noun())]
    TooManyLimits {
        /// Of what.
        kind: LimitKind,
        /// Most that it holds.
        limit: usize,
    },
    /// A document that is longer than one may be.
    #[error("a budget or rate limit is at most {limit} bytes long")]
    LimitTooLong {
        /// In bytes.
        limit: usize,
    },
    /// No entry of the directory has this id.
    #[error("no {} has the id `{id}`; `narrows {} list` shows all", kind.noun(), kind.plural())]
    EntryNotFound {
        /// What was looked for.
        kind: EntryKind,
        /// The id, or the name.
        id: String,
    },
    /// Another entry has the name.
    #[error("there is a {} called `{name}` already ({id})", kind.noun())]
    EntryNameTaken {
        /// What it is.
        kind: EntryKind,
        /// The name.
        name: String,
        /// Public id of the entry that has it.
        id: String,
    },
    /// Another entry has a value that only one may have.
    #[error("another {} of the organization has this {field} ({id})", kind.noun())]
    EntryValueTaken {
        /// What it is.
        kind: EntryKind,
        /// `email` or `external_id`.
        field: &'static str,
        /// Public id of the entry that has it.
        id: String,
    },
    /// The entry was deleted and cannot be changed any more.
    #[error("the {} `{name}` was deleted; create it anew", kind.noun())]
    EntryDeleted {
        /// What it was.
        kind: EntryKind,
        /// Its name.
        name: String,
    },
    /// Somebody else was faster.
    #[error("the {} was changed since version {seen}, it is at {found} now; look at it again", kind.noun())]
    EntryChanged {
        /// What it is.
        kind: EntryKind,
        /// The version that the caller saw.
        seen: u64,
        /// The version that it has.
        found: u64,
    },
    /// Others belong to the entry.
    #[error("{count} other entries of the directory belong to the {} `{name}`; delete or move them first", kind.noun())]
    EntryInUse {
        /// What it is.
        kind: EntryKind,
        /// Its name.
        name: String,
        /// How many.
        count: u64,
    },
    /// A team would have more members than it may.
    #[error("a team has at most {limit} members")]
    TooManyMembers {
        /// The most there may be.
        limit: usize,
    },
    /// More requests that are done once are remembered than may be.
    #[error(
        "{limit} requests with an idempotency key are remembered, the most there may be; they are forgotten after a day"
    )]
    TooManyOnce {
        /// The most there may be.
        limit: usize,
    },
    /// The directory does not know what is named.
    #[error("the directory knows no {} `{name}` in the organization `{organization}`", kind.noun())]
    OwnerUnknown {
        /// What was named.
        kind: EntryKind,
        /// The organization.
        organization: String,
        /// The name, or the id.
        name: String,
    },
    /// What is named is switched off or gone.
    #[error("the {} `{name}` {}", kind.noun(), if *state == EntryState::Deleted { "was deleted" } else { "is disabled" })]
    OwnerBlocked {
        /// What was named.
        kind: EntryKind,
        /// Its name.
        name: String,
        /// Disabled or deleted.
        state: EntryState,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// The file for JSON lines cannot be opened.
    #[error("cannot append records to {path}: {source}")]
    JsonLines {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start the {name} thread: {source}")]
    Thread {
        /// What the thread is for.
        name: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The ledger was closed, or its writer could not write before the time was over.
    #[error("the records were not written in time: {cause}")]
    NotFlushed {
        /// Why.
        cause: String,
    },
    /// A stored record cannot be read.
    #[error("stored records {segment} are damaged: {cause}")]
    Damaged {
        /// The segment's id.
        segment: i64,
        /// What does not fit.
        cause: &'static str,
    },
    /// Content cannot be sealed or opened.
    #[error("{0}")]
    ContentKey(String),
    /// What is to be erased is held.
    #[error(
        "nothing was erased: it is under the legal hold {}; release that first, and ask again",
        holds.join(", ")
    )]
    ContentHeld {
        /// Public ids of the holds.
        holds: Vec<String>,
    },
    /// There was never content of whoever is to be erased.
    #[error(
        "no content of the {kind} `{name}` was ever kept in the organization `{organization}`, so there is nothing to erase"
    )]
    NothingKept {
        /// The organization that was looked in.
        organization: String,
        /// What kind of subject it is.
        kind: &'static str,
        /// Which.
        name: String,
    },
    /// No hold has this id.
    #[error("no hold has the id `{id}`; `narrows content holds` shows all")]
    HoldNotFound {
        /// The id that was asked for.
        id: String,
    },
    /// The hold was released before.
    #[error("the hold `{id}` was released before")]
    HoldReleased {
        /// The hold's id.
        id: String,
    },
    /// There are more holds than may be.
    #[error("there are {limit} holds, the most there may be; release some")]
    TooManyHolds {
        /// The most there may be.
        limit: usize,
    },
    /// A cursor or filter makes no sense.
    #[error("{0}")]
    BadQuery(&'static str),
    /// Any other failure of the database.
    #[error("the store failed: {0}")]
    Database(#[from] DatabaseError),
}

impl LedgerError {
    /// Says which of many it was about; `index` counts from 0.
    pub fn of_many(self, index: usize) -> LedgerError {
        LedgerError::OneOfMany { position: index + 1, cause: Box::new(self) }
    }

    /// Gives a failure of SQLite at opening its name.
    pub(crate) fn at_open(path: &Path, waited_ms: u128, source: DatabaseError) -> LedgerError {
        use rusqlite::ErrorCode as Code;
        let DatabaseError::Sqlite(source) = source else { return LedgerError::Database(source) };
        let path = path.to_path_buf();
        match source.sqlite_error_code() {
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => LedgerError::Locked { path, waited_ms },
            Some(Code::NotADatabase) => LedgerError::NotAStore { path },
            Some(Code::CannotOpen | Code::ReadOnly | Code::PermissionDenied | Code::SystemIoFailure) => {
                LedgerError::NotWritable { path, source }
            }
            _ => LedgerError::Database(source.into()),
        }
    }
}
