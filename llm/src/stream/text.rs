//! How many bytes of text an event generates, found without parsing it.
//!
//! The figure is an estimate for the time until the provider reports usage, and for streams that never do. It is exact
//! for plain text deltas of every dialect (escapes are counted as the UTF-8 they stand for). It leaves out tool
//! and function names, text that a block *starts* with, and base64 media; arguments sent as JSON objects (Gemini)
//! are counted in their JSON spelling. A summary of hidden reasoning counts as what is shown, not as what was
//! thought, so hidden reasoning is underestimated. Malformed JSON ends the count of that event, never fails.

use super::plain::next_stop;
use super::shape::Seen;
use memchr::memchr3;
use memchr::memmem::Finder;
use std::ops::Range;
use std::sync::LazyLock;

/// The keys that gates look for, searched as bare quoted keys: a gate may trigger too often, never too seldom.
pub(crate) struct Keys {
    pub(crate) usage: Finder<'static>,
    pub(crate) error: Finder<'static>,
    pub(crate) finish_reason: Finder<'static>,
    pub(crate) choices: Finder<'static>,
    pub(crate) delta: Finder<'static>,
    pub(crate) text: Finder<'static>,
    pub(crate) kind: Finder<'static>,
    pub(crate) content: Finder<'static>,
    pub(crate) output: Finder<'static>,
    pub(crate) candidates: Finder<'static>,
    pub(crate) output_index: Finder<'static>,
    pub(crate) content_index: Finder<'static>,
    pub(crate) summary_index: Finder<'static>,
}

pub(crate) static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    usage: Finder::new(b"\"usage\""),
    error: Finder::new(b"\"error\""),
    finish_reason: Finder::new(b"\"finish_reason\""),
    choices: Finder::new(b"\"choices\""),
    delta: Finder::new(b"\"delta\""),
    text: Finder::new(b"\"text\""),
    kind: Finder::new(b"\"type\""),
    content: Finder::new(b"\"content\""),
    output: Finder::new(b"\"output\""),
    candidates: Finder::new(b"\"candidates\""),
    output_index: Finder::new(b"\"output_index\""),
    content_index: Finder::new(b"\"content_index\""),
    summary_index: Finder::new(b"\"summary_index\""),
});

pub(super) fn skip_blanks(json: &[u8], mut at: usize) -> usize {
    while matches!(json.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// Where the value of the next such key starts, at or after `from`. The value may lie past the end of a cut text.
pub(crate) fn value_of(key: &Finder<'_>, json: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let found = from + key.find(json.get(from..)?)?;
        from = found + key.needle().len();
        if let Some(at) = after_colon(json, from) {
            return Some(at);
        }
    }
}

/// Where the value starts whose key ends at `at`, if a colon follows.
fn after_colon(json: &[u8], at: usize) -> Option<usize> {
    let colon = skip_blanks(json, at);
    (json.get(colon) == Some(&b':')).then(|| skip_blanks(json, colon + 1))
}

/// Whether any such key has a value other than `null` and the empty string.
pub(crate) fn has_value(key: &Finder<'_>, json: &[u8]) -> bool {
    let mut from = 0;
    while let Some(at) = value_of(key, json, from) {
        match json.get(at..).unwrap_or_default() {
            [b'n', ..] | [b'"', b'"', ..] => from = at,
            _ => return true,
        }
    }
    false
}

/// The first string value of such a key, as it is written.
pub(crate) fn word_of<'a>(key: &Finder<'_>, json: &'a [u8]) -> Option<&'a [u8]> {
    let at = value_of(key, json, 0)?;
    let (_, end) = string(json, at.checked_add(1)?);
    (json.get(at) == Some(&b'"')).then(|| json.get(at + 1..end - 1)).flatten()
}

/// The first number that is the value of a key; zero without one.
pub(crate) fn number_of(key: &Finder<'_>, json: &[u8]) -> u32 {
    let Some(at) = value_of(key, json, 0) else { return 0 };
    let digits = json.get(at..).unwrap_or_default().iter().take(9).take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
}

/// Bytes of generated text in the values of every such key.
pub(crate) fn of_key(key: &Finder<'_>, json: &[u8]) -> u64 {
    found(key, json).bytes
}

/// Generated text in the values of every such key.
pub(crate) fn found(key: &Finder<'_>, json: &[u8]) -> Text {
    walk(key, json, &mut |_| ())
}

/// Calls `sink` with where each string of generated text stands in the values of such a key, without its quotes, and
/// with each value that is generated as JSON.
pub(crate) fn strings(key: &Finder<'_>, json: &[u8], sink: &mut impl FnMut(Range<usize>)) {
    walk(key, json, sink);
}

fn walk(key: &Finder<'_>, json: &[u8], sink: &mut impl FnMut(Range<usize>)) -> Text {
    let (mut total, mut from) = (Text::default(), 0);
    while let Some(at) = value_of(key, json, from) {
        let (text, end) = value(json, at, sink);
        total.bytes += text.bytes;
        total.only = if total.parts == 0 { text.only } else { None };
        total.parts += text.parts;
        from = end.max(at);
    }
    total
}

/// Generated text and where it stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Text {
    /// Its length, in bytes.
    pub(crate) bytes: u64,
    /// Strings and arguments that hold some.
    pub(super) parts: usize,
    /// Where the first character of the only one of them stands, if that is a string.
    pub(crate) only: Option<usize>,
}

impl Text {
    /// The same, of an event that is like no other.
    pub(crate) fn seen(self) -> Seen {
        Seen { bytes: self.bytes, only: self.only, ..Seen::default() }
    }

    /// Notes one more string or argument of so many bytes.
    #[inline(always)]
    fn note(&mut self, bytes: u64, at: Option<usize>) {
        if bytes > 0 {
            self.only = if self.parts == 0 { at } else { None };
            self.parts += 1;
        }
    }
}

/// The string whose first character is at `at`: its length in UTF-8 bytes once unescaped, and where it ends
/// (past the closing quote, or at the end of a cut text).
pub(super) fn string(json: &[u8], mut at: usize) -> (u64, usize) {
    let mut length = 0;
    loop {
        let stop = next_stop(json, at);
        length += stop.saturating_sub(at) as u64;
        at = stop;
        match json.get(at..).unwrap_or_default() {
            [] => return (length, json.len()),
            [b'"', ..] => return (length, at + 1),
            [b'\\', b'u', hex @ ..] => {
                length += match hex.get(..4).unwrap_or_default() {
                    [b'0', b'0', b'0'..=b'7', _] => 1,
                    [b'0', b'0'..=b'7', _, _] => 2,
                    // Half of a pair; the pair makes four bytes.
                    [b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', _, _] => 2,
                    _ => 3,
                };
                at += 6;
            }
            [b'\\', ..] => {
                length += 1;
                at += 2;
            }
            // A control character, which has no place here but is a byte like another.
            _ => {
                length += 1;
                at += 1;
            }
        }
    }
}

/// The inside of the string whose first character is at `at`, as it is written; up to the end of a cut text.
pub(crate) fn raw_string(json: &[u8], at: usize) -> &[u8] {
    let mut end = at;
    loop {
        end = next_stop(json, end);
        match json.get(end) {
            None | Some(b'"') => return json.get(at..end).unwrap_or_default(),
            Some(b'\\') => end = (end + 2).min(json.len()),
            Some(_) => end += 1,
        }
    }
}

/// Past the end of the object or list that starts at `at`.
fn skip_container(json: &[u8], mut at: usize) -> usize {
    let (open, close) = if json.get(at) == Some(&b'[') { (b'[', b']') } else { (b'{', b'}') };
    let mut depth = 0usize;
    while let Some(stop) = memchr3(b'"', open, close, json.get(at..).unwrap_or_default()) {
        at += stop;
        match json.get(at) {
            Some(b'"') => at = string(json, at + 1).1,
            Some(byte) if *byte == open => {
                depth += 1;
                at += 1;
            }
            _ => {
                depth = depth.saturating_sub(1);
                at += 1;
                if depth == 0 {
                    return at;
                }
            }
        }
    }
    json.len()
}

/// What a key says about its value.
#[derive(Clone, Copy, PartialEq)]
enum Class {
    /// Generated text if it is a string.
    Text,
    /// Reasoning text, which some providers send twice under two names.
    Reasoning(usize),
    /// Generated text in its JSON spelling.
    Json,
    /// Not generated, whatever is in it.
    Foreign,
    /// Structure to look into.
    Structure,
}

fn class(key: &[u8]) -> Class {
    match key {
        b"content" | b"text" | b"arguments" | b"refusal" | b"thinking" | b"partial_json" | b"transcript"
        | b"code" => Class::Text,
        b"reasoning_content" => Class::Reasoning(0),
        b"reasoning" => Class::Reasoning(1),
        b"args" | b"input" => Class::Json,
        b"reasoning_details"
        | b"annotations"
        | b"citations"
        | b"logprobs"
        | b"inlineData"
        | b"images"
        | b"data"
        | b"groundingMetadata"
        | b"citationMetadata"
        | b"urlContextMetadata"
        | b"logprobsResult"
        | b"results"
        | b"executionResult"
        | b"codeExecutionResult"
        | b"functionResponse"
        | b"search_results" => Class::Foreign,
        _ => Class::Structure,
    }
}

/// Generated text in the value that starts at `at`, and where the value ends.
fn value(json: &[u8], mut at: usize, sink: &mut impl FnMut(Range<usize>)) -> (Text, usize) {
    let mut text = Text::default();
    match json.get(at) {
        Some(b'"') => {
            let (length, end) = string(json, at + 1);
            text.note(length, Some(at + 1));
            text.bytes = length;
            sink(at + 1..end);
            return (text, end);
        }
        Some(b'{' | b'[') => {}
        _ => return (text, at),
    }
    let mut reasoning = [0u64; 2];
    let (mut depth, mut pending) = (0usize, Class::Structure);
    while let Some(byte) = json.get(at) {
        match byte {
            b'{' | b'[' if matches!(pending, Class::Json | Class::Foreign) => {
                let end = skip_container(json, at);
                if pending == Class::Json {
                    text.note((end - at) as u64, None);
                    sink(at..end);
                    text.bytes += (end - at) as u64;
                }
                (at, pending) = (end, Class::Structure);
            }
            b'{' | b'[' => {
                depth += 1;
                (at, pending) = (at + 1, Class::Structure);
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
                if depth == 0 {
                    break;
                }
            }
            b'"' => {
                let (length, end) = string(json, at + 1);
                match pending {
                    Class::Text | Class::Json => {
                        text.note(length, Some(at + 1));
                        text.bytes += length;
                        sink(at + 1..end);
                    }
                    Class::Reasoning(name) => {
                        text.note(length, Some(at + 1));
                        if let Some(sum) = reasoning.get_mut(name) {
                            *sum += length;
                        }
                        if reasoning.iter().filter(|sum| **sum > 0).count() < 2 {
                            sink(at + 1..end);
                        }
                    }
                    Class::Foreign => {}
                    Class::Structure => {
                        let colon = skip_blanks(json, end);
                        if json.get(colon) == Some(&b':') {
                            let next = skip_blanks(json, colon + 1);
                            if matches!(json.get(next), Some(b'"' | b'{' | b'[')) {
                                pending = class(json.get(at + 1..end - 1).unwrap_or_default());
                            }
                            at = next;
                            // A structure's own string is no text; step over it so that it is not taken for a key.
                            if pending == Class::Structure && json.get(at) == Some(&b'"') {
                                at = string(json, at + 1).1;
                            }
                            continue;
                        }
                    }
                }
                (at, pending) = (end, Class::Structure);
            }
            _ => at += 1,
        }
    }
    let [one, other] = reasoning;
    text.bytes += one.max(other);
    (text, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(json: &str) -> u64 {
        of_key(&KEYS.delta, json.as_bytes())
    }

    #[test]
    fn text_is_counted_as_the_utf8_it_stands_for() {
        assert_eq!(delta(r#"{"choices":[{"delta":{"role":"assistant","content":"Hi\n\"x\""}}]}"#), 6);
        assert_eq!(delta(r#"{"delta":{"content":"\u0041\u00e4\u20ac\ud83d\ude00"}}"#), 1 + 2 + 3 + 4);
        assert_eq!(delta(r#"{"delta":{"content":"ä€"}}"#), 5);
        assert_eq!(delta(r#"{"delta" : { "content" : "abc" } }"#), 3);
        assert_eq!(delta(r#"{"type":"response.output_text.delta","delta":"abc","obfuscation":"zzzz"}"#), 3);
    }

    #[test]
    fn only_generated_text_is_counted() {
        assert_eq!(delta(r#"{"delta":{"content":null,"role":"assistant","name":"n"}}"#), 0);
        assert_eq!(
            delta(r#"{"delta":{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"a\""}}]}}"#),
            4
        );
        assert_eq!(
            delta(r#"{"delta":{"reasoning":"abc","reasoning_details":[{"text":"abc"}],"content":""}}"#),
            3
        );
        assert_eq!(delta(r#"{"delta":{"reasoning":"abc","reasoning_content":"abc"}}"#), 3);
        assert_eq!(delta(r#"{"delta":{"type":"text","signature":"abc"}}"#), 0);
        assert_eq!(delta(r#"{"delta":{"type":"text_delta","text":"abc"}}"#), 3);
        assert_eq!(delta(r#"{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"bc"}}]}"#), 3);
        let gemini = r#"{"candidates":[{"content":{"parts":[{"text":"abc"},{"functionCall":{"name":"f","args":{"a":1}}},
            {"inlineData":{"data":"AAAA"}}]},"groundingMetadata":{"segment":{"text":"abc"}}}]}"#;
        assert_eq!(of_key(&KEYS.candidates, gemini.as_bytes()), 3 + 7);
    }

    #[test]
    fn a_key_inside_text_is_no_key() {
        assert!(!has_value(&KEYS.usage, br#"{"content":"\"usage\":{\"prompt_tokens\":5}"}"#));
        assert!(!has_value(&KEYS.usage, br#"{"content":"usage","usage":null}"#));
        assert!(has_value(&KEYS.usage, br#"{"usage":null,"x":{"usage" : {}}}"#));
        assert_eq!(delta(r#"{"x":"\"delta\":{\"content\":\"a\"}"}"#), 0);
    }

    #[test]
    fn cut_json_ends_the_count() {
        let json = r#"{"delta":{"content":"abc\u00e4","x":{"arguments":"y"},"reasoning":[{"text":"z"}]}}"#;
        let whole = delta(json);
        assert_eq!(whole, 3 + 2 + 1 + 1);
        for end in 0..json.len() {
            assert!(delta(&json[..end]) <= whole + 3, "a cut escape counts at most as three bytes");
        }
    }
}
