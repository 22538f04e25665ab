//! External guardrails on the wire: the contracts of ten services that judge text, each with its own path, words and
//! echoes, so that a gateway's calls to them can be tried without an account.
//!
//! They are served under `/guardrails/{vendor}/…`, where what follows is the vendor's own path: give a gateway
//! `http://…/guardrails/presidio` as Presidio's address. What they decide is asked for in one of three ways, the first
//! of which wins:
//!
//! 1. in the path: `/guardrails/{vendor}/{behaviour}/…`;
//! 2. by the knob `verdict` (header `x-fake: verdict=masked`, or a provider's defaults);
//! 3. in a text: one of the [`TRIGGERS`], such as `[[mask]]`.
//!
//! Otherwise they find nothing. Asked for in the path or by the knob, what they find is the first word of each text;
//! asked for in a text, it is the trigger. Like the real ones, most send what they found back in their answers: a
//! gateway must not keep it. The knobs `status`, `retry_after`, `first_ms` and the faults apply to them as to models.

mod azure_content_safety;
mod bedrock_guardrails;
mod crowdstrike_aidr;
mod judge;
mod lakera;
mod model_armor;
mod openai_moderation;
mod patronus;
mod presidio;
mod prisma_airs;
mod webhook;

pub use judge::{Behaviour, MASK, TRIGGERS};

use judge::Judge;
use serde_json::{Value, json};

/// How long a slow guardrail waits before it answers, in milliseconds.
pub const SLOW_MS: u64 = 30_000;
/// What begins the path of every guardrail.
pub(crate) const PREFIX: &str = "/guardrails/";

/// Makes an answer to a path and a body; `None` for a path or body that the contract does not have.
type Contract = fn(&str, &Value, &Judge) -> Option<Value>;

/// Vendors, by the name in the path.
const VENDORS: &[(&str, Contract)] = &[
    ("azure_content_safety", azure_content_safety::answer),
    ("bedrock_guardrails", bedrock_guardrails::answer),
    ("crowdstrike_aidr", crowdstrike_aidr::answer),
    ("lakera", lakera::answer),
    ("model_armor", model_armor::answer),
    ("openai_moderation", openai_moderation::answer),
    ("patronus", patronus::answer),
    ("presidio", presidio::answer),
    ("prisma_airs", prisma_airs::answer),
    ("webhook", webhook::answer),
];

/// What a guardrail answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body: JSON, unless it is asked to be none.
    pub body: Vec<u8>,
    /// How long it waits before it answers, in milliseconds.
    pub delay_ms: u64,
}

/// Names of the vendors that are served.
pub fn vendors() -> impl Iterator<Item = &'static str> {
    VENDORS.iter().map(|(name, _)| *name)
}

/// The answer to a request, with `knob` for what the path does not ask for. `None` when the path is no guardrail's.
pub fn answer(method: &str, target: &str, body: &[u8], knob: Option<Behaviour>) -> Option<Reply> {
    let path = target.strip_prefix(PREFIX)?;
    let path = path.split_once('?').map_or(path, |(path, _query)| path);
    let (vendor, rest) = path.split_once('/').unwrap_or((path, ""));
    let Some((_, contract)) = VENDORS.iter().find(|(name, _)| *name == vendor) else {
        return Some(error(404, "no such guardrail"));
    };
    let (first, after) = rest.split_once('/').unwrap_or((rest, ""));
    let (asked, rest) = match Behaviour::parse(first) {
        Some(behaviour) => (Some(behaviour), after),
        None => (knob, rest),
    };
    if method != "POST" {
        return Some(error(405, "only POST"));
    }
    let Ok(question) = serde_json::from_slice::<Value>(body) else {
        return Some(error(400, "the body is not JSON"));
    };
    let judge = Judge::new(asked, &question);
    let Some(value) = contract(&format!("/{rest}"), &question, &judge) else {
        return Some(error(400, "the contract has no such path or body"));
    };
    let text = value.to_string();
    Some(match judge.behaviour {
        Behaviour::Limited => error(429, "too many requests"),
        Behaviour::Failing => error(500, "out of order"),
        // Cut where it is still UTF-8 and no longer JSON.
        Behaviour::Malformed => ok(text.get(..text.len() - 1).unwrap_or_default()),
        Behaviour::Nonsense => ok("{}"),
        Behaviour::Empty => ok(""),
        Behaviour::Slow => Reply { delay_ms: SLOW_MS, ..ok(&text) },
        Behaviour::Ok | Behaviour::Flagged | Behaviour::Masked | Behaviour::Blocked => ok(&text),
    })
}

fn ok(text: &str) -> Reply {
    Reply { status: 200, body: text.as_bytes().to_vec(), delay_ms: 0 }
}

/// An error, in nobody's words in particular: a gateway needs the status only.
pub(crate) fn error(status: u16, message: &str) -> Reply {
    let body = json!({"error": {"code": status, "message": message}});
    Reply { status, body: body.to_string().into_bytes(), delay_ms: 0 }
}

#[cfg(test)]
mod tests;
