//! What of a request ties it to the account that served the conversation before. A pass of its own, for models with
//! several targets only.

use super::scan::{self, Scan};
use memchr::memmem;
use std::ops::Range;

/// Most bytes of a value that take part in a conversation's key.
const KEY_BYTES_MAX: usize = 4 * 1024;
/// Most messages that take part: a system prompt, and the first turn.
const KEY_MESSAGES_MAX: usize = 3;

/// Members, at any depth, that only the account that made their value can read or find.
///
/// Sources (seen 2026-11): platform.openai.com/docs/api-reference/responses (`encrypted_content`, `item_reference`);
/// docs.anthropic.com/en/docs/agents-and-tools (`container`); ai.google.dev/api/caching (`cachedContent`). Thinking
/// signatures are not among them: Anthropic takes them across its platforms.
const BOUND_STRINGS: [&[u8]; 2] = [br#""encrypted_content""#, br#""file_id""#];
/// The type of an item that stands for a stored one.
const ITEM_REFERENCE: &[u8] = br#""item_reference""#;

/// What ties a request to an account. All ranges are byte offsets into the body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Affinity {
    /// What the conversation is known by: `prompt_cache_key`, `user`, `metadata.user_id` or `safety_identifier`.
    pub named: Option<Range<usize>>,
    /// Else: how it begins, the system prompt and the first turn.
    pub beginning: Vec<Range<usize>>,
    /// Ids of stored things that the request builds on: a response, a conversation, a container, a cached prompt.
    pub references: Vec<Range<usize>>,
    /// Whether it can be served by the account of the conversation's earlier turns only.
    pub bound: bool,
}

/// Reads a body that [`head`](super::head::head) has accepted; of another it may say too little.
pub fn affinity(body: &[u8]) -> Affinity {
    let mut found = Affinity::default();
    let (mut cache_key, mut user, mut system, mut turns) = (None, None, None, Vec::new());
    members(body, scan::blank(body, 0), &mut |name, value| match name {
        b"prompt_cache_key" => cache_key = text(body, value),
        b"user" | b"safety_identifier" => user = text(body, value),
        b"metadata" => members(body, value.start, &mut |name, value| {
            if name == b"user_id" {
                user = text(body, value);
            }
        }),
        b"previous_response_id" | b"conversation" | b"container" | b"cachedContent" => {
            // An object names its id, and more of it is the provider's business.
            let mut id = text(body, value.clone());
            members(body, value.start, &mut |name, value| {
                if name == b"id" {
                    id = text(body, value);
                }
            });
            found.references.extend(id);
        }
        b"system" | b"instructions" | b"systemInstruction" | b"system_instruction" => system = Some(value),
        b"messages" | b"input" | b"contents" | b"prompt" => turns = first_turns(body, value),
        _ => {}
    });
    found.named = cache_key.or(user);
    found.beginning = system
        .into_iter()
        .chain(turns)
        .map(|range| range.start..range.end.min(range.start + KEY_BYTES_MAX))
        .collect();
    found.bound = !found.references.is_empty()
        || BOUND_STRINGS.iter().any(|name| has_text(body, name))
        || memmem::find(body, ITEM_REFERENCE).is_some();
    found
}

/// Whether a member of this name has a text in it somewhere. Inside of a string the name's closing quote would be
/// escaped, so what a prompt talks about is not taken for it.
fn has_text(body: &[u8], name: &[u8]) -> bool {
    memmem::find_iter(body, name).any(|at| {
        let colon = scan::blank(body, at + name.len());
        body.get(colon) == Some(&b':') && text(body, scan::blank(body, colon + 1)..body.len()).is_some()
    })
}

/// The inside of a string that begins at the range's start and is not empty.
fn text(body: &[u8], value: Range<usize>) -> Option<Range<usize>> {
    if body.get(value.start) != Some(&b'"') {
        return None;
    }
    let text = Scan::new(body).string(value.start + 1).ok()?;
    (text.end > text.start).then_some(text.start..text.end)
}

/// The first turns of a list, up to the first of the user; of a text, the text.
fn first_turns(body: &[u8], value: Range<usize>) -> Vec<Range<usize>> {
    if body.get(value.start) != Some(&b'[') {
        return vec![value];
    }
    let mut turns = Vec::new();
    let mut at = scan::blank(body, value.start + 1);
    while turns.len() < KEY_MESSAGES_MAX {
        let Ok(end) = Scan::new(body).value(at, 2) else { break };
        turns.push(at..end);
        let turn = body.get(at..end).unwrap_or_default();
        let next = scan::blank(body, end);
        if memmem::find(turn, br#""user""#).is_some() || body.get(next) != Some(&b',') {
            break;
        }
        at = scan::blank(body, next + 1);
    }
    turns
}

/// Walks the members of the object that begins at `at`, if one does.
fn members(body: &[u8], at: usize, visit: &mut impl FnMut(&[u8], Range<usize>)) {
    if body.get(at) != Some(&b'{') {
        return;
    }
    let mut scan = Scan::new(body);
    let mut at = scan::blank(body, at + 1);
    while body.get(at) == Some(&b'"') {
        let Ok((name, value)) = scan.key(at) else { return };
        let Ok(end) = scan.value(value, 1) else { return };
        visit(body.get(name.start..name.end).unwrap_or_default(), value..end);
        let next = scan::blank(body, end);
        if body.get(next) != Some(&b',') {
            return;
        }
        at = scan::blank(body, next + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(body: &str) -> (Option<&str>, Vec<&str>, Vec<&str>, bool) {
        let found = affinity(body.as_bytes());
        let cut = |range: Range<usize>| &body[range];
        (
            found.named.map(cut),
            found.beginning.into_iter().map(cut).collect(),
            found.references.into_iter().map(cut).collect(),
            found.bound,
        )
    }

    #[test]
    fn a_conversation_is_known_by_the_most_telling_name() {
        assert_eq!(of(r#"{"user":"u","prompt_cache_key":"k"}"#).0, Some("k"));
        assert_eq!(of(r#"{"metadata":{"user_id":"m","x":1}}"#).0, Some("m"));
        assert_eq!(of(r#"{"user":null,"prompt_cache_key":""}"#).0, None);
    }

    #[test]
    fn it_begins_the_same_way_however_long_it_becomes() {
        let turn = r#"{"role":"user","content":"hi"}"#;
        let system = r#"{"role":"system","content":"be kind"}"#;
        let first = format!(r#"{{"messages":[{system}, {turn}]}}"#);
        let later =
            format!(r#"{{"messages":[{system}, {turn},{{"role":"assistant","content":"x"}},{turn}]}}"#);
        assert_eq!(of(&first).1, [system, turn]);
        assert_eq!(of(&later).1, [system, turn]);
        assert_eq!(of(r#"{"instructions":"s","input":"hello"}"#).1, [r#""s""#, r#""hello""#]);
        let long = format!(r#"{{"system":"{}"}}"#, "x".repeat(KEY_BYTES_MAX * 2));
        assert_eq!(of(&long).1[0].len(), KEY_BYTES_MAX);
    }

    #[test]
    fn what_is_bound_to_an_account_is_seen() {
        for (body, reference) in [
            (r#"{"previous_response_id":"resp_1"}"#, Some("resp_1")),
            (r#"{"conversation":{"id":"conv_1"}}"#, Some("conv_1")),
            (r#"{"container":"container_1"}"#, Some("container_1")),
            (r#"{"container":{"id":"container_1","skills":[]}}"#, Some("container_1")),
            (r#"{"cachedContent":"cachedContents/1"}"#, Some("cachedContents/1")),
            (r#"{"input":[{"type":"reasoning","encrypted_content" : "gAAAA"}]}"#, None),
            (r#"{"input":[{"type":"item_reference","id":"rs_1"}]}"#, None),
            (r#"{"messages":[{"content":[{"file_id":"file-1"}]}]}"#, None),
        ] {
            let found = of(body);
            assert_eq!((found.2.first().copied(), found.3), (reference, true), "{body}");
        }
        for body in [
            r#"{"previous_response_id":null,"input":[{"type":"reasoning","encrypted_content":null}]}"#,
            r#"{"include":["reasoning.encrypted_content"]}"#,
            r#"{"input":"what does \"encrypted_content\": \"x\" mean?"}"#,
            r#"{"messages":[{"content":[{"type":"thinking","signature":"EqQ"}]}]}"#,
        ] {
            assert!(!of(body).3, "{body}");
        }
    }

    proptest! {
        #[test]
        fn it_never_fails(body: Vec<u8>) {
            let found = affinity(&body);
            for range in found.named.into_iter().chain(found.beginning).chain(found.references) {
                prop_assert!(range.start <= range.end && range.end <= body.len());
            }
        }
    }
}
