//! From a request to the answer it gets, and a small shared store of answers already rendered.
//!
//! An answer depends only on the request's line, its knobs and its body, so a repeated request (a load test's)
//! costs a comparison of bytes instead of a parse and a rendering.

use crate::answer::{Answer, Draft, Piece};
use crate::ask::{Ask, Form};
use crate::billed::{Billed, End};
use crate::dialect;
use crate::guardrail;
use crate::knobs::{Fault, Knobs};
use crate::script::Script;
use narrows_llm::dialect::{Dialect, Family};
use std::sync::{Arc, Mutex, PoisonError};

/// Answers kept, in answers.
pub const MAX_PREPARED: usize = 64;
/// Largest request body whose answer is kept, in bytes.
pub const MAX_PREPARED_BODY: usize = 1 << 20;
/// Largest answer that is kept, in bytes.
pub const MAX_PREPARED_ANSWER: usize = 1 << 20;

/// The parts of a request that decide its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key<'r> {
    pub(crate) method: &'r [u8],
    pub(crate) target: &'r [u8],
    pub(crate) knobs: &'r [u8],
    pub(crate) anthropic: bool,
    pub(crate) body: &'r [u8],
}

/// A request's answer, with what it costs.
#[derive(Debug)]
pub(crate) struct Prepared {
    method: Vec<u8>,
    target: Vec<u8>,
    knobs_text: Vec<u8>,
    anthropic: bool,
    body: Vec<u8>,
    pub(crate) knobs: Knobs,
    pub(crate) answer: Answer,
    /// The line of the bill, but for its number.
    pub(crate) bill: Billed,
    /// Whether the body is a stream of pieces.
    pub(crate) streamed: bool,
}

impl Prepared {
    pub(crate) fn is_for(&self, key: &Key<'_>) -> bool {
        self.body.len() == key.body.len()
            && self.anthropic == key.anthropic
            && self.target == key.target
            && self.knobs_text == key.knobs
            && self.method == key.method
            && self.body == key.body
    }

    /// Renders the answer to `key`; `defaults` are the provider's own knobs.
    pub(crate) fn new(key: &Key<'_>, defaults: &Knobs, credential: &str) -> Prepared {
        let text = String::from_utf8_lossy(key.knobs);
        let method = String::from_utf8_lossy(key.method);
        let target = String::from_utf8_lossy(key.target);
        let ask = Ask::read(&method, &target, key.anthropic, key.body);
        let family = ask.as_ref().map_or(Family::Openai, |ask| ask.dialect.family());
        let (knobs, draft, bill) = match (defaults.with(&text), ask) {
            (Err(error), _) => {
                let message = format!("x-fake: {error:#}");
                (Knobs::default(), dialect::refusal(family, 400, Some(&message), ""), None)
            }
            (Ok(knobs), Err(cause)) => (knobs, dialect::refused(cause).1, None),
            (Ok(knobs), Ok(ask)) => {
                let (draft, bill) = answer(&ask, &knobs, credential);
                (knobs, draft, Some(bill))
            }
        };
        let status = draft.status;
        let streamed = draft.streamed;
        Prepared {
            method: key.method.to_vec(),
            target: key.target.to_vec(),
            knobs_text: key.knobs.to_vec(),
            anthropic: key.anthropic,
            body: key.body.to_vec(),
            answer: draft.render(&knobs),
            bill: bill.unwrap_or_else(|| refused(status)),
            knobs,
            streamed,
        }
    }

    /// The answer to a request for an object: not kept, because it may be another the next time, and not on the bill.
    pub(crate) fn of_object(key: &Key<'_>, draft: Draft) -> Prepared {
        Prepared::unkept(key, draft, Knobs::default())
    }

    /// An answer that no other request gets.
    fn unkept(key: &Key<'_>, draft: Draft, knobs: Knobs) -> Prepared {
        Prepared {
            method: key.method.to_vec(),
            target: Vec::new(),
            knobs_text: Vec::new(),
            anthropic: key.anthropic,
            body: Vec::new(),
            bill: refused(draft.status),
            streamed: draft.streamed,
            answer: draft.render(&knobs),
            knobs,
        }
    }

    /// The answer of a guardrail, if the request's path is one's: neither kept nor on the bill.
    pub(crate) fn of_guardrail(key: &Key<'_>, defaults: &Knobs) -> Option<Prepared> {
        if !key.target.starts_with(guardrail::PREFIX.as_bytes()) {
            return None;
        }
        let text = String::from_utf8_lossy(key.knobs);
        let (mut knobs, wrong) = match defaults.with(&text) {
            Ok(knobs) => (knobs, None),
            Err(error) => (Knobs::default(), Some(format!("x-fake: {error:#}"))),
        };
        let (method, target) = (String::from_utf8_lossy(key.method), String::from_utf8_lossy(key.target));
        let reply = match (wrong, knobs.status, knobs.fault) {
            (Some(wrong), ..) => guardrail::error(400, &wrong),
            (None, 200, _) => guardrail::answer(&method, &target, key.body, knobs.verdict)?,
            (None, status, _) => guardrail::error(status, "as asked for"),
        };
        knobs.first_ms = knobs.first_ms.max(reply.delay_ms);
        let mut draft = Draft {
            status: reply.status,
            content_type: "application/json",
            headers: String::new(),
            pieces: vec![Piece::content(reply.body, 0)],
            streamed: false,
        };
        if knobs.fault == Some(Fault::Html) {
            draft = dialect::html(if knobs.status == 200 { 502 } else { knobs.status });
        }
        if knobs.fault == Some(Fault::BadJson) {
            break_json(&mut draft.pieces);
        }
        if let Some(seconds) = knobs.retry_after {
            draft.headers.push_str(&format!("retry-after: {seconds}\r\n"));
        }
        Some(Prepared::unkept(key, draft, knobs))
    }

    fn is_worth_keeping(&self) -> bool {
        self.body.len() <= MAX_PREPARED_BODY
            && self.answer.wire.len() <= MAX_PREPARED_ANSWER
            && self.answer.status != 401
    }
}

/// The line of a request that costs nothing.
fn refused(status: u16) -> Billed {
    Billed {
        id: 0,
        dialect: Dialect::OpenaiChat,
        model: String::new(),
        status,
        input: 0,
        cached: 0,
        cache_write: 0,
        output: 0,
        reasoning: 0,
        end: End::Refused,
    }
}

/// The answer to a request that was understood, and its line on the bill.
fn answer(ask: &Ask, knobs: &Knobs, credential: &str) -> (Draft, Billed) {
    let script = Script::new(ask, knobs, ask.form != Form::Unary);
    let mut bill = Billed {
        id: 0,
        dialect: ask.dialect,
        model: ask.model.clone(),
        status: 200,
        input: script.input,
        cached: script.cached,
        cache_write: script.cache_write,
        output: 0,
        reasoning: script.reasoning,
        end: End::Open,
    };
    let family = ask.dialect.family();
    let failed = match (knobs.status, knobs.fault) {
        (200, Some(Fault::ErrorEvent(_))) if ask.form == Form::Unary => Some(500),
        (200, Some(Fault::Html)) => Some(502),
        (200, _) => None,
        (status, _) => Some(status),
    };
    let mut draft = match (failed, knobs.fault) {
        (Some(status), Some(Fault::Html)) => dialect::html(status),
        (Some(status), _) => dialect::refusal(family, status, None, credential),
        (None, _) => dialect::draft(ask, &script),
    };
    if failed.is_some() {
        bill = Billed { status: draft.status, input: 0, cached: 0, cache_write: 0, reasoning: 0, ..bill };
        bill.end = End::Refused;
    }
    if let Some(seconds) = knobs.retry_after {
        draft.headers.push_str(&format!("retry-after: {seconds}\r\n"));
    }
    match knobs.fault {
        Some(Fault::BadJson) => break_json(&mut draft.pieces),
        Some(Fault::ErrorEvent(after)) if failed.is_none() => {
            fail_after(&mut draft.pieces, after, &dialect::error_event(ask.dialect));
        }
        _ => {}
    }
    (draft, bill)
}

/// Cuts the middle content piece in two and drops its second half (but for a blank line that ends an event).
fn break_json(pieces: &mut [Piece]) {
    let middle = pieces.len() / 2;
    if let Some(piece) = pieces.get_mut(middle) {
        let event_end = piece.body.ends_with(b"\n\n");
        piece.body.truncate(piece.body.len() / 2);
        if event_end {
            piece.body.extend_from_slice(b"\n\n");
        }
    }
}

/// Ends a stream with `error` after so many content pieces.
fn fail_after(pieces: &mut Vec<Piece>, after: usize, error: &str) {
    let mut said = 0;
    let kept = pieces.iter().take_while(|piece| {
        let keep = !piece.content || said < after;
        said += usize::from(piece.content);
        keep
    });
    let kept = kept.count();
    // What follows the content (finish reason, usage) never comes.
    let kept = pieces.iter().take(kept).rposition(|piece| piece.content).map_or(kept.min(1), |last| last + 1);
    pieces.truncate(kept);
    let output = pieces.last().map_or(0, |piece| piece.output);
    pieces.push(Piece::frame(error, output));
}

/// Answers by request, at most [`MAX_PREPARED`].
#[derive(Debug, Default)]
pub(crate) struct Store {
    answers: Mutex<Vec<Arc<Prepared>>>,
}

impl Store {
    /// The answer to `key`, rendered now if it is not at hand.
    pub(crate) fn get(&self, key: &Key<'_>, defaults: &Knobs, credential: &str) -> Arc<Prepared> {
        let known = self.lock().iter().find(|answer| answer.is_for(key)).cloned();
        if let Some(known) = known {
            return known;
        }
        let prepared = Arc::new(Prepared::new(key, defaults, credential));
        if prepared.is_worth_keeping() {
            let mut answers = self.lock();
            if answers.len() >= MAX_PREPARED {
                answers.remove(0);
            }
            answers.push(Arc::clone(&prepared));
        }
        prepared
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Prepared>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(body: &[u8]) -> Key<'_> {
        Key { method: b"POST", target: b"/v1/chat/completions", knobs: b"", anthropic: false, body }
    }

    #[test]
    fn the_store_holds_its_limit_and_forgets_the_oldest() {
        let store = Store::default();
        let bodies: Vec<String> = (0..=MAX_PREPARED).map(|n| format!(r#"{{"model":"m{n}"}}"#)).collect();
        let defaults = Knobs::default();
        let answers: Vec<_> =
            bodies.iter().map(|body| store.get(&key(body.as_bytes()), &defaults, "")).collect();
        assert_eq!(store.lock().len(), MAX_PREPARED);
        assert!(Arc::ptr_eq(&answers[1], &store.get(&key(bodies[1].as_bytes()), &defaults, "")));
        assert!(!Arc::ptr_eq(&answers[0], &store.get(&key(bodies[0].as_bytes()), &defaults, "")));
    }

    #[test]
    fn an_answer_that_quotes_a_credential_is_not_kept() {
        let store = Store::default();
        let defaults = Knobs::parse("status=401").unwrap();
        let first = store.get(&key(br#"{"model":"m"}"#), &defaults, "sk-first-aaaa");
        let second = store.get(&key(br#"{"model":"m"}"#), &defaults, "sk-other-bbbb");
        assert_ne!(first.answer.wire, second.answer.wire);
    }

    #[test]
    fn an_error_event_ends_the_stream() {
        let knobs = Knobs::parse("chunks=5;fault=error_event:2").unwrap();
        let body = br#"{"model":"m","stream":true}"#;
        let prepared = Prepared::new(&key(body), &knobs, "");
        let text = String::from_utf8(prepared.answer.wire).unwrap();
        assert_eq!(text.matches("\"content\":\"").count(), 3, "the role's empty text and two chunks: {text}");
        assert!(text.contains("server_error") && !text.contains("[DONE]"));
    }
}
