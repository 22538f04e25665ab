//! The record: one vocabulary for model calls, endpoint traffic and tool calls. Exactly one per exchange.

use crate::content::ContentStates;
use crate::inspection::Inspections;
use narrows_meter::{Cost, Mode, Origin, Usage};
use narrows_policy::{Caller, CapabilitySet, Reason, Surface, TrafficClass};
use std::net::IpAddr;
use std::sync::Arc;

/// The version of the record's schema. Numbered migrations go forward only; version N−1 stays readable.
pub const SCHEMA_VERSION: u32 = 1;

/// One try at one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Name of the provider in the configuration.
    pub provider: Arc<str>,
    /// The model asked of it; `None` is the record's [`model_sent`](Record::model_sent).
    pub model: Option<Arc<str>>,
    /// Status of the provider's answer, if a head came.
    pub status: Option<u16>,
    /// Why the attempt ended.
    pub reason: Reason,
    /// From the start of the attempt to its head or failure, in microseconds.
    pub duration_us: u64,
    /// Whether a pooled connection was used.
    pub reused: bool,
}

/// What an exchange used apart from its record's own provider and model: of a target that failed after it had been
/// asked, of another model within one conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Name of the provider in the configuration.
    pub provider: Arc<str>,
    /// The model asked of it.
    pub model: Option<Arc<str>>,
    /// Tokens.
    pub usage: Usage,
    /// Where the figures came from.
    pub origin: Origin,
    /// What it cost, at that provider's prices.
    pub cost: Cost,
}

/// What is kept of one exchange. Holds no prompt, no answer and no secret; it says whether those are kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// UUIDv7 of the exchange; also sent to the client as `x-request-id`.
    pub id: u128,
    /// Start of the exchange, UTC microseconds since the epoch.
    pub started_at_us: i64,
    /// From the request head to the settled end, in microseconds.
    pub duration_us: u64,
    /// Time spent waiting for the provider (connect, head, chunks), in microseconds.
    pub upstream_wait_us: u64,
    /// From the request head to the first byte of the answer's body sent to the client, in microseconds.
    pub first_byte_us: Option<u64>,
    /// Who called.
    pub caller: Arc<Caller>,
    /// The door it came through.
    pub surface: Surface,
    /// The traffic class.
    pub class: TrafficClass,
    /// Which of the four capabilities applied.
    pub capabilities: CapabilitySet,
    /// Stable word of the dialect (`openai.chat`, …), or `None` when the path named none.
    pub dialect: Option<&'static str>,
    /// The client program, from a closed list (`claude-code`, `codex`, `openai-python`, …), if recognized.
    pub client: Option<&'static str>,
    /// The model the caller asked for.
    pub model_requested: Option<Arc<str>>,
    /// The provider that served it, by its name in the configuration.
    pub provider: Option<Arc<str>>,
    /// The model asked of the provider.
    pub model_sent: Option<Arc<str>>,
    /// The model the provider says it used.
    pub model_answered: Option<Arc<str>>,
    /// Status sent to the caller; 0 when the caller left before a head was sent.
    pub status: u16,
    /// Why it ended.
    pub reason: Reason,
    /// Whether the answer was a stream.
    pub streamed: bool,
    /// Tokens of the record's provider and model.
    pub usage: Usage,
    /// Where the figures came from.
    pub origin: Origin,
    /// What they cost.
    pub cost: Cost,
    /// What was used beside that, of other providers and models.
    pub also_used: Vec<Used>,
    /// How the provider worked on it, as far as it says and that changes the price; `None` for the ordinary way.
    pub mode: Option<Mode>,
    /// Version of the prices that it was computed with; 0 where none was needed or known.
    pub prices: u64,
    /// Bytes of the request's body as received.
    pub request_bytes: u64,
    /// Bytes of the answer's body as sent to the caller.
    pub response_bytes: u64,
    /// The provider's own request id.
    pub provider_request_id: Option<Box<str>>,
    /// Conversation or session id the client sent (`x-claude-code-session-id`, Codex session, …). Attribution only.
    pub conversation: Option<Box<str>>,
    /// Every try, in order.
    pub attempts: Vec<Attempt>,
    /// Hash of the configuration snapshot the exchange ran under.
    pub snapshot: u64,
    /// Address of the client: of the connection, or as a trusted balancer told it. IPv4 in IPv6 stands as IPv4.
    pub client_address: Option<IpAddr>,
    /// What was inspected, and what came of it.
    pub inspections: Inspections,
    /// Whether prompt and answer are kept.
    pub content: ContentStates,
}

impl Record {
    /// All tokens that the exchange used; `None` when none of them are known.
    pub fn tokens(&self) -> Option<u64> {
        let also = self.also_used.iter().map(|used| used.usage.total());
        std::iter::once(self.usage.total()).chain(also).flatten().reduce(u64::saturating_add)
    }

    /// What all of it cost; unknown if a part of it is.
    pub fn total_cost(&self) -> Cost {
        let also = self.also_used.iter().map(|used| used.cost.nano_usd());
        let mut parts = std::iter::once(self.cost.nano_usd()).chain(also);
        parts.try_fold(0_u64, |sum, part| sum.checked_add(part?)).into()
    }

    /// What all of it cost as far as that is known, in nano-dollars.
    pub fn known_cost(&self) -> u64 {
        let also = self.also_used.iter().map(|used| used.cost.nano_usd());
        std::iter::once(self.cost.nano_usd()).chain(also).flatten().fold(0, u64::saturating_add)
    }
}
