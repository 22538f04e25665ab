//! Prompts and answers, where an operator wants them kept: sealed, for a time, and gone when somebody's are to go.
//!
//! What is kept of an exchange comes to a bounded queue of its own ([`Ledger::submit_content`](crate::Ledger)), and a thread
//! of its own prepares, seals and stores it, so that neither a request nor a record waits for it. Each person's content of a
//! day has a key of its own, wrapped by a key that the ledger never sees ([`KeyWrap`]); erasing somebody's content destroys
//! those keys too, so that no copy of the file elsewhere gives it back to whoever has no older copy of the keys.

mod hold;
mod keeper;
pub(crate) mod seal;

#[cfg(test)]
mod tests;

pub use hold::{Erasure, HOLD_TEXT_MAX, Hold, NewHold};
pub use keeper::{CONTENT_QUEUE_BYTES_MAX, CONTENT_QUEUE_MAX, ContentStats, Pending};
pub(crate) use keeper::{Keeper, sweep_step};
pub use seal::{KeyWrap, SIDE_BYTES_MAX};

use narrows_policy::Caller;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Most exchanges looked at in one [scan](crate::Ledger::scan_content).
pub const SCAN_RECORDS_MAX: usize = 10_000;
/// Most bytes of content that one scan opens: 256 MiB.
pub const SCAN_BYTES_MAX: usize = 256 << 20;

/// What became of one side of an exchange's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentState {
    /// It was not to be kept, or there was none.
    #[default]
    None,
    /// It is kept whole.
    Stored,
    /// Its beginning is kept; the rest was beyond a limit, or the client left.
    Cut,
    /// It was to be kept and there was no room for it.
    Dropped,
    /// It was erased.
    Erased,
    /// Its time was over.
    Expired,
}

impl ContentState {
    /// Every state.
    pub const ALL: [ContentState; 6] = [
        ContentState::None,
        ContentState::Stored,
        ContentState::Cut,
        ContentState::Dropped,
        ContentState::Erased,
        ContentState::Expired,
    ];

    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            ContentState::None => "none",
            ContentState::Stored => "stored",
            ContentState::Cut => "cut",
            ContentState::Dropped => "dropped",
            ContentState::Erased => "erased",
            ContentState::Expired => "expired",
        }
    }

    /// The state with this word.
    pub fn from_word(word: &str) -> Option<ContentState> {
        ContentState::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// As it stands in a segment; [`ALL`](ContentState::ALL) is in this order.
    fn number(self) -> u8 {
        self as u8
    }

    fn from_number(number: u8) -> Option<ContentState> {
        ContentState::ALL.get(usize::from(number)).copied()
    }

    /// Whether there is something to read.
    pub fn is_kept(self) -> bool {
        matches!(self, ContentState::Stored | ContentState::Cut)
    }
}

/// What became of an exchange's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct ContentStates {
    /// What went to the provider.
    pub request: ContentState,
    /// What came back.
    pub answer: ContentState,
}

impl ContentStates {
    /// Whether nothing was to be kept.
    pub fn is_none(self) -> bool {
        self == ContentStates::default()
    }

    /// Whether any side can be read.
    pub fn is_kept(self) -> bool {
        self.request.is_kept() || self.answer.is_kept()
    }

    /// Both in one byte.
    pub(crate) fn to_byte(self) -> u8 {
        self.request.number() << 4 | self.answer.number()
    }

    pub(crate) fn from_byte(byte: u8) -> Option<ContentStates> {
        let (request, answer) =
            (ContentState::from_number(byte >> 4)?, ContentState::from_number(byte & 0x0f)?);
        Some(ContentStates { request, answer })
    }

    /// The same after it went.
    #[must_use]
    pub fn gone(self, how: ContentState) -> ContentStates {
        let of = |state: ContentState| if state.is_kept() { how } else { state };
        ContentStates { request: of(self.request), answer: of(self.answer) }
    }
}

/// One side of what is to be kept.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct NewSide {
    /// What is kept of it.
    pub state: ContentState,
    /// Its bytes before anything was cut.
    pub whole_bytes: u64,
    /// What is kept; at most [`SIDE_BYTES_MAX`], more is cut.
    pub bytes: Vec<u8>,
}

/// Says nothing of what is in it.
impl std::fmt::Debug for NewSide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSide").field("state", &self.state).field("whole_bytes", &self.whole_bytes).finish()
    }
}

/// The content of one exchange, to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewContent {
    /// The id of the exchange and its record.
    pub record: u128,
    /// Who called.
    pub caller: Arc<Caller>,
    /// When the exchange began, UTC microseconds since the epoch.
    pub at_us: i64,
    /// How long it is kept, from then on.
    pub retention: Duration,
    /// What went to the provider.
    pub request: NewSide,
    /// What came back.
    pub answer: NewSide,
}

/// One side of what was kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Side {
    /// What there is of it.
    pub state: ContentState,
    /// Its bytes before anything was cut.
    pub whole_bytes: u64,
    /// What was kept; absent where nothing is.
    pub bytes: Option<Vec<u8>>,
}

impl std::fmt::Debug for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Side").field("state", &self.state).field("whole_bytes", &self.whole_bytes).finish()
    }
}

/// The content of one exchange, opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The id of the exchange and its record.
    pub record: u128,
    /// Organization.
    pub organization: String,
    /// Team.
    pub team: Option<String>,
    /// User.
    pub user: Option<String>,
    /// Service account.
    pub service_account: Option<String>,
    /// When the exchange began, UTC microseconds since the epoch.
    pub at_us: i64,
    /// When it goes, if nothing holds it.
    pub expires_at_us: i64,
    /// When it went.
    pub gone_at_us: Option<i64>,
    /// What went to the provider.
    pub request: Side,
    /// What came back.
    pub answer: Side,
    /// Why it could not be opened: then what is kept is told without its bytes.
    pub unopened: Option<String>,
}

impl Content {
    /// What there is of it.
    pub fn states(&self) -> ContentStates {
        ContentStates { request: self.request.state, answer: self.answer.state }
    }

    /// Bytes that were opened.
    pub fn opened_bytes(&self) -> usize {
        [&self.request, &self.answer].into_iter().filter_map(|side| side.bytes.as_ref()).map(Vec::len).sum()
    }
}

/// Whose content is wanted. An absent field matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContentFilter {
    /// Organization.
    pub organization: Option<String>,
    /// Team.
    pub team: Option<String>,
    /// User.
    pub user: Option<String>,
    /// Service account.
    pub service_account: Option<String>,
    /// Began at or after, UTC microseconds since the epoch.
    pub from_us: Option<i64>,
    /// Began before, UTC microseconds since the epoch.
    pub to_us: Option<i64>,
}

/// Most that one scan looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanLimits {
    /// Exchanges; at most [`SCAN_RECORDS_MAX`].
    pub records: usize,
    /// Bytes that are opened; at most [`SCAN_BYTES_MAX`]. The exchange that passes it is still given.
    pub bytes: usize,
}

impl Default for ScanLimits {
    fn default() -> ScanLimits {
        ScanLimits { records: SCAN_RECORDS_MAX, bytes: SCAN_BYTES_MAX }
    }
}

/// How far a scan came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scanned {
    /// Exchanges that were looked at.
    pub records: usize,
    /// Bytes that were opened.
    pub bytes: usize,
    /// Exchanges among them whose content could not be opened.
    pub unopened: usize,
    /// Where to go on: exchanges before this id are still to come. `None` at the end.
    pub next: Option<u128>,
}

/// Whose content is to be erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErasureSubject {
    /// All of a user's.
    User(String),
    /// All of a service account's.
    ServiceAccount(String),
    /// That of one exchange.
    Record(u128),
}

impl ErasureSubject {
    /// What kind it is, and which: for people and the trail.
    pub fn describe(&self) -> (&'static str, String) {
        match self {
            ErasureSubject::User(name) => ("user", name.clone()),
            ErasureSubject::ServiceAccount(name) => ("service_account", name.clone()),
            ErasureSubject::Record(id) => ("record", uuid::Uuid::from_u128(*id).to_string()),
        }
    }
}
