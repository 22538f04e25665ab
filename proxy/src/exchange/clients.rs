//! Which program called, and in which conversation. Attribution, never authorization.

use super::identify::carries_key;
use http::request::Parts;
use http::{HeaderName, header};
use narrows_llm::client;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::OnceLock;

/// Bytes of a conversation id; a longer one is not kept.
const CONVERSATION_BYTES_MAX: usize = 128;
/// User agents remembered by each thread. The programs of an organization are few; when there are more, the memory
/// starts anew.
const AGENTS_MAX: usize = 256;

/// Programs that a person sets up for their own work.
const AGENTS: [&str; 10] = [
    "claude-code",
    "codex",
    "gemini-cli",
    "opencode",
    "cursor",
    "cline",
    "copilot",
    "claude-desktop",
    "aider",
    "continue",
];

/// Whether a client is a coding agent or another program that its user configures.
pub(crate) fn is_agent(client: &str) -> bool {
    AGENTS.contains(&client)
}

/// The client program behind a request's user agent. Telling takes a search for some fifty names, so each thread
/// remembers what it found.
pub(crate) fn of(head: &Parts) -> Option<&'static str> {
    thread_local! {
        static KNOWN: RefCell<HashMap<Box<str>, Option<&'static str>>> = RefCell::new(HashMap::new());
    }
    let agent = head.headers.get(header::USER_AGENT)?.to_str().ok()?;
    let agent = agent.get(..client::MAX_USER_AGENT_BYTES).unwrap_or(agent);
    KNOWN.with_borrow_mut(|known| {
        if let Some(client) = known.get(agent) {
            return *client;
        }
        if known.len() >= AGENTS_MAX {
            known.clear();
        }
        let client = client::recognize(agent);
        known.insert(agent.into(), client);
        client
    })
}

/// The id of the conversation a request belongs to, if its client says.
pub(crate) fn conversation(head: &Parts) -> Option<&str> {
    static NAMES: OnceLock<Vec<HeaderName>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        client::CONVERSATION_HEADERS.iter().map(|(name, _)| HeaderName::from_static(name)).collect()
    });
    // Most requests have none of them: their own few names are gone through once, and not one search made for each of ours.
    let has_one = head.headers.keys().any(|name| names.contains(name));
    has_one.then(|| {
        names.iter().find_map(|name| {
            let text = head.headers.get(name)?.to_str().ok()?.trim();
            let fits = !text.is_empty() && text.len() <= CONVERSATION_BYTES_MAX;
            (fits && !carries_key(text.as_bytes())).then_some(text)
        })
    })?
}
