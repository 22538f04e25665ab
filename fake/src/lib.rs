//! The fake provider: every dialect on the wire, paced, with faults.
//!
//! It speaks HTTP/1.1 and the wire formats of OpenAI, Anthropic and Gemini, with the headers, event names and
//! error bodies of the real ones, under any path prefix. What it answers is decided by the request alone:
//!
//! - **Text** is cut from one sample; sizes and pace are [`Knobs`], by default and per request (`x-fake` header).
//! - **Usage** follows one rule: a token is four bytes, rounded up, of the request's body (prompt) and of the
//!   answer's text. What it charged is on its bill ([`FakeProvider::billed`]), also for answers cut short.
//! - **Tools**: if the last message is a user's, says "call a tool" ([`TOOL_TRIGGER`]) and the request declares
//!   tools, the answer calls the first one with `{"text": …}`.
//! - **Structured output**: a request for JSON is answered with a value of its schema's shape.
//! - The request's number ends its request id header. Ids inside bodies are constant.
//! - **Guardrails** that judge text are served under `/guardrails/` (see [`guardrail`]).
//! - **Objects** (files, batches, stored responses and the like) are kept in memory, one account for everybody; their ids
//!   count up.

mod answer;
mod ask;
mod billed;
mod clock;
mod connection;
mod dialect;
pub mod guardrail;
mod knobs;
mod objects;
mod prepared;
mod provider;
mod request;
mod schema;
mod script;
mod wire;

pub use ask::{MAX_INPUTS, TOOL_TRIGGER};
pub use billed::{Billed, End};
pub use clock::{STAMP_DIGITS, STAMP_PREFIX, monotonic_ns};
pub use knobs::{Fault, Knobs, MAX_BODY_BYTES, MAX_CHUNK_BYTES, MAX_CHUNKS, MAX_DELAY_MS};
pub use objects::MAX_OBJECTS;
pub use prepared::{MAX_PREPARED, MAX_PREPARED_ANSWER, MAX_PREPARED_BODY};
pub use provider::{FakeConfig, FakeProvider, Seen};
pub use request::{MAX_HEAD_BYTES, MAX_HEADERS, MAX_REQUEST_BYTES};
pub use script::BYTES_PER_TOKEN;
pub use wire::Wire;
