//! CrowdStrike Falcon AIDR (formerly Pangea AI Guard): `POST /v1/guard_chat_completions`.
//!
//! The policy lives with the vendor: it blocks, rewrites or only reports. Sources: the vendor's TypeScript SDK
//! (`AidrPostV1GuardChatCompletions…`) and its documentation (both read 2026-11).

use crate::finding::Class;
use crate::remote::call::{Answer, Asked, Auth, Call, Step};
use crate::remote::error::RemoteError;
use crate::remote::input::{Input, role};
use crate::remote::kind::{BOTH, Check, Given, Kind, Shape, not_empty, optional};
use crate::remote::piece::{self, Piece};
use crate::remote::verdict::{Finding, Label, Replacement, Verdict, percent};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Most text of one call, in bytes. The vendor publishes no figure; this one is ours.
pub const MAX_TEXT_BYTES: usize = 2 << 20;

/// What it is.
pub static KIND: Kind = Kind {
    name: "crowdstrike_aidr",
    description: "CrowdStrike Falcon AI Detection and Response: blocks, redacts or reports by the vendor's policy",
    documentation: "https://aidr-docs.crowdstrike.com/docs/aidr/ (2026-11)",
    credential: "the collector's token, as a bearer token",
    needs: &[optional(
        "collector_instance_id",
        Shape::Text,
        "names this gateway in the vendor's console; none by default",
    )],
    stages: BOTH,
    masks: true,
};

/// Settings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Names this gateway in the vendor's console.
    pub collector_instance_id: Option<String>,
}

impl Check for Settings {
    fn check(&self) -> Result<(), String> {
        self.collector_instance_id.as_deref().map_or(Ok(()), |id| not_empty("collector_instance_id", id))
    }

    fn base(&self) -> Option<String> {
        Some("https://api.crowdstrike.com/aidr/aiguard".to_owned())
    }
}

#[derive(Serialize)]
struct Question<'a> {
    guard_input: GuardInput<'a>,
    event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    llm_provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    collector_instance_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Extra::is_empty")]
    extra_info: Extra<'a>,
}

#[derive(Serialize)]
struct GuardInput<'a> {
    messages: Vec<Message<'a>>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

/// What the vendor's console shows beside the ids.
#[derive(Serialize)]
struct Extra<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    app_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_group: Option<&'a str>,
}

impl Extra<'_> {
    fn is_empty(&self) -> bool {
        self.app_name.is_none() && self.actor_name.is_none() && self.actor_group.is_none()
    }
}

pub(in crate::remote) fn calls(settings: &Settings, input: &Input<'_>) -> Given<Vec<Call>> {
    let pieces = piece::whole(input, MAX_TEXT_BYTES)?;
    if pieces.is_empty() {
        return Ok(Vec::new());
    }
    let author = |piece: &Piece| input.segments.get(piece.segment).map_or("user", |one| role(one.provenance));
    let message = |piece: &Piece| Message { role: author(piece), content: piece.text(input) };
    let facts = &input.facts;
    let question = Question {
        guard_input: GuardInput { messages: pieces.iter().map(message).collect() },
        event_type: input.stage.as_str(),
        app_id: facts.application,
        user_id: facts.user,
        llm_provider: facts.provider,
        model: facts.model,
        tenant_id: facts.organization,
        collector_instance_id: settings.collector_instance_id.as_deref(),
        extra_info: Extra { app_name: facts.application, actor_name: facts.user, actor_group: facts.team },
    };
    let asked = Asked { pieces, ..Asked::default() };
    Ok(vec![Call::post("/v1/guard_chat_completions".to_owned(), Auth::Bearer, &question, asked)?])
}

#[derive(Deserialize)]
struct Reply {
    status: String,
    result: Option<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    blocked: bool,
    transformed: Option<bool>,
    policy: Option<Value>,
    guard_output: Option<Value>,
    detectors: Option<Value>,
    access_rules: Option<Value>,
}

pub(in crate::remote) fn read(
    _settings: &Settings,
    input: &Input<'_>,
    call: &Call,
    answer: &Answer<'_>,
) -> Given<Step> {
    let reply: Reply = answer.json()?;
    if reply.status != "Success" {
        return Err(RemoteError::UnknownWord("status"));
    }
    let outcome = reply.result.ok_or(RemoteError::Malformed("no result"))?;
    let findings = findings(&outcome);
    if outcome.blocked {
        // Details may be missing or odd; that it is blocked is certain.
        let policy = outcome.policy.as_ref().and_then(Value::as_str).unwrap_or("aidr");
        return Ok(Step::Done(Verdict::Block {
            reason: Label::new(policy),
            findings: findings.unwrap_or_default(),
        }));
    }
    let findings = findings?;
    match (outcome.transformed, &outcome.guard_output) {
        (Some(true), Some(output)) => {
            let replacements = replacements(input, &call.asked.pieces, output)?;
            Verdict::mask(input, replacements, findings).map(Step::Done)
        }
        (Some(true), None) => Err(RemoteError::BadMask("it is missing")),
        (None, Some(_)) => {
            Err(RemoteError::Malformed("an output, and nothing says whether it was transformed"))
        }
        (Some(false), _) | (None, None) => Ok(Step::Done(Verdict::flag(findings))),
    }
}

/// The new text of every message, which must be the messages that were sent.
fn replacements(input: &Input<'_>, pieces: &[Piece], output: &Value) -> Given<Vec<Replacement>> {
    let messages =
        output.get("messages").and_then(Value::as_array).ok_or(RemoteError::BadMask("no messages"))?;
    if messages.len() != pieces.len() {
        return Err(RemoteError::BadMask("another number of messages"));
    }
    let one = |(piece, message): (&Piece, &Value)| {
        let sent = input.segments.get(piece.segment).map(|one| role(one.provenance));
        if message.get("role").and_then(Value::as_str) != sent {
            return Err(RemoteError::BadMask("another role"));
        }
        let text = content(message).ok_or(RemoteError::BadMask("a message is not text"))?;
        Ok(Replacement { segment: piece.segment, range: piece.range.clone(), text: text.to_owned() })
    };
    pieces.iter().zip(messages).map(one).collect()
}

/// A message's text: as it was sent, or as the only part of a list.
fn content(message: &Value) -> Option<&str> {
    match message.get("content")? {
        Value::String(text) => Some(text),
        Value::Array(parts) => match parts.as_slice() {
            [only] if only.get("type").and_then(Value::as_str) == Some("text") => only.get("text")?.as_str(),
            _ => None,
        },
        _ => None,
    }
}

/// What its detectors and access rules say they found.
fn findings(outcome: &Outcome) -> Given<Vec<Finding>> {
    let mut found = Vec::new();
    for (name, detector) in object(outcome.detectors.as_ref(), "detectors")?.into_iter().flatten() {
        let detected = match detector {
            Value::Null => false,
            one => match one.get("detected") {
                None => false,
                Some(Value::Bool(detected)) => *detected,
                Some(_) => return Err(RemoteError::Malformed("a detector")),
            },
        };
        if detected {
            found.extend(of_detector(name, detector.get("data").unwrap_or(&Value::Null)));
        }
    }
    for (name, rule) in object(outcome.access_rules.as_ref(), "access rules")?.into_iter().flatten() {
        if rule.get("matched").and_then(Value::as_bool) == Some(true) {
            found.push(Finding::new("access_rule", None).entity(name));
        }
    }
    Ok(found)
}

fn object<'v>(value: Option<&'v Value>, what: &'static str) -> Given<Option<&'v Map<String, Value>>> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(_) => Err(RemoteError::Malformed(what)),
    }
}

/// A finding for everything a detector names, without the values it sends along; one if it names nothing.
fn of_detector(name: &str, data: &Value) -> Vec<Finding> {
    let class = class(name);
    let list = |key: &str| data.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |one: &Value, key: &str| one.get(key).and_then(Value::as_str).map(str::to_owned);
    let sure = |one: &Value| one.get("confidence").and_then(Value::as_f64).and_then(percent);
    let named = |one: &Value, key: &str| {
        text(one, key).map(|entity| Finding::new(name, class).entity(&entity).score(sure(one)))
    };
    let mut found: Vec<Finding> = list("entities").iter().filter_map(|one| named(one, "type")).collect();
    found.extend(list("analyzer_responses").iter().filter_map(|one| named(one, "analyzer")));
    found.extend(list("topics").iter().filter_map(|one| named(one, "topic")));
    if let Some(language) = data.get("language").and_then(Value::as_str) {
        found.push(Finding::new(name, class).entity(language));
    }
    if found.is_empty() {
        found.push(Finding::new(name, class));
    }
    found
}

fn class(detector: &str) -> Option<Class> {
    match detector {
        "malicious_prompt" | "prompt_injection" => Some(Class::Injection),
        "confidential_and_pii_entity" | "pii_entity" => Some(Class::Pii),
        "secret_and_key_entity" | "secrets_detection" => Some(Class::Secret),
        "custom_entity" | "competitors" => Some(Class::Custom),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
