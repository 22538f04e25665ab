//! Remembering what stood around the text of an event.

use super::text::{found, has_value, skip_blanks, string};
use memchr::memmem::{Finder, rfind};

/// Longest part of an event that a [`Shape`] remembers, in bytes.
const SHAPE_LIMIT: usize = 1024;

/// OpenAI pads events with a string of random length under this key, so that their sizes tell nothing.
const PADDING: &[u8] = b"\"obfuscation\":\"";

/// What was seen of an event.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// Bytes of generated text.
    pub(crate) bytes: u64,
    /// Whether one of the keys in question has a value outside of the text.
    pub(crate) gated: bool,
    /// Where the text stands, between its quotes, if the event is like the one remembered.
    pub(crate) settled: Option<(usize, usize)>,
    /// Where the text begins, if it is one string.
    pub(crate) only: Option<usize>,
    /// Whether this event is the one that is remembered from now on.
    pub(crate) is_remembered: bool,
}

/// Remembers what stood before and behind the text of an event that held one string of text and nothing else worth
/// reading.
///
/// Most events of a stream differ only in that string and in padding, so the next one is mostly settled by comparing
/// what stands around them, instead of a search for every key. What is settled so is exactly what the search would find:
/// the strings differ, but no string can change what the rest means, as long as none of them is a key.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    /// Everything up to the first character of the text; empty when nothing is remembered.
    before: Vec<u8>,
    /// What follows the text's closing quote, up to the first character of the padding if there is any.
    behind: Vec<u8>,
    /// What follows the closing quote of the padding; empty when there is none.
    tail: Vec<u8>,
}

impl Shape {
    /// Bytes of generated text in the values of `key`, and whether one of the keys in `gates` has a value outside of them.
    /// Always to be called with the same keys.
    #[inline]
    pub(crate) fn read(&mut self, key: &Finder<'_>, json: &[u8], gates: &[&Finder<'_>]) -> Seen {
        match self.settle(json) {
            Some((bytes, end)) => {
                let start = self.before.len();
                Seen { bytes, settled: Some((start, end)), ..Seen::default() }
            }
            None => self.search(key, json, gates),
        }
    }

    /// Bytes of text in an event like the one remembered, and where its closing quote stands.
    #[inline]
    fn settle(&self, json: &[u8]) -> Option<(u64, usize)> {
        if self.before.is_empty() {
            return None;
        }
        let rest = json.strip_prefix(self.before.as_slice())?;
        let (bytes, end) = string(rest, 0);
        let behind = rest.get(end..)?;
        let is_same = if self.tail.is_empty() {
            same(&self.behind, behind)
        } else {
            let padding = behind.strip_prefix(self.behind.as_slice())?;
            same(&self.tail, padding.get(string(padding, 0).1..)?)
        };
        is_same.then_some((bytes, self.before.len() + end - 1))
    }

    /// Looks for every key, and remembers the event if it is a simple one.
    fn search(&mut self, key: &Finder<'_>, json: &[u8], gates: &[&Finder<'_>]) -> Seen {
        let text = found(key, json);
        let gated = gates.iter().any(|gate| has_value(gate, json));
        let mut is_remembered = false;
        if !gated
            && text.parts == 1
            && let Some(at) = text.only
        {
            is_remembered = self.remember(json, at);
        }
        Seen { bytes: text.bytes, gated, settled: None, only: text.only, is_remembered }
    }

    /// Remembers an event whose text begins at `at`, if it can; returns whether it did.
    fn remember(&mut self, json: &[u8], at: usize) -> bool {
        let (before, rest) = json.split_at_checked(at).unwrap_or_default();
        let behind = rest.get(string(rest, 0).1..).unwrap_or_default();
        let (behind, tail) = match rfind(behind, PADDING) {
            Some(padding) => {
                let (behind, padding) = behind.split_at_checked(padding + PADDING.len()).unwrap_or_default();
                (behind, padding.get(string(padding, 0).1..).unwrap_or_default())
            }
            None => (behind, &[][..]),
        };
        let fits = [before, behind, tail].iter().all(|part| part.len() <= SHAPE_LIMIT);
        // A string that a colon follows is a key, and one that nothing follows is cut.
        let is_padded = behind.ends_with(PADDING);
        if !fits || !goes_on(behind) || (is_padded && !goes_on(tail)) {
            return false;
        }
        for (memory, part) in [(&mut self.before, before), (&mut self.behind, behind), (&mut self.tail, tail)]
        {
            memory.clear();
            memory.extend_from_slice(part);
        }
        true
    }
}

/// Whether a string that is a value may stand before this.
fn goes_on(behind: &[u8]) -> bool {
    matches!(behind.get(skip_blanks(behind, 0)), Some(b',' | b'}' | b']'))
}

/// Whether the ends of two events are the same; between brackets alone, blanks make no difference (Anthropic pads its
/// events with them).
#[inline]
fn same(remembered: &[u8], end: &[u8]) -> bool {
    remembered == end || same_brackets(remembered, end)
}

fn same_brackets(remembered: &[u8], end: &[u8]) -> bool {
    let mut brackets = remembered.iter().filter(|byte| **byte != b' ');
    let are_same = end
        .iter()
        .filter(|byte| **byte != b' ')
        .all(|byte| matches!(byte, b'}' | b']') && brackets.next() == Some(byte));
    are_same && brackets.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::super::text::{KEYS, of_key};
    use super::*;

    #[test]
    fn a_remembered_shape_changes_nothing() {
        let head = r#"{"id":"1","model":"m","usage":null,"choices":[{"index":0,"#;
        let events = [
            format!(r#"{head}"delta":{{"content":"one"}},"finish_reason":null}}]}}"#),
            format!(r#"{head}"delta":{{"content":"three"}},"finish_reason":null}}]}}"#),
            format!(r#"{head}"delta":{{"content":"a"}},"finish_reason":"stop"}}]}}"#),
            format!(r#"{head}"delta":{{"content":"a"}},"finish_reason":null}}],"usage":{{}}}}"#),
            format!(
                r#"{head}"delta":{{"content":"a"}}}},{{"delta":{{"content":"b"}},"finish_reason":null}}]}}"#
            ),
            format!(r#"{head}"delta":null,"finish_reason":null}}]}}"#),
            format!(r#"{head}"delta":{{"content":"cut"#),
            format!(r#"{head}"delta""#),
            format!(r#"{head}"delta","finish_reason":null}}]}}"#),
            head.to_owned(),
            format!(r#"{head}"delta":{{"content":"one"}},"finish_reason":null}}],"obfuscation":"abc"}}"#),
            format!(
                r#"{head}"delta":{{"content":"\"delta"}},"finish_reason":null}}],"obfuscation":"\"usage"}}"#
            ),
            format!(r#"{head}"delta":{{"content":""}},"finish_reason":null}}],"obfuscation":"usage" }}"#),
            format!(r#"{head}"delta":{{"content":"delta"}},"finish_reason":null}}],"obfuscation":"x":1}}"#),
            format!(r#"{head}"delta":{{"content":"one"}},"finish_reason":null}}],"obfuscation":"ab"#),
            format!(r#"{head}"delta":{{"content":"one"}},"usage":"x","obfuscation":"ab"}}]}}"#),
            format!(r#"{head}"delta":{{"content":"o","obfuscation":"abc"}}}}]}}"#),
            format!(r#"{head}"delta":{{"content":"three","obfuscation":"ab"}}  }}]}}"#),
            format!(r#"{head}"delta":{{"content":"three":{{"usage":1}},"obfuscation":"ab"}}  }}]}}"#),
            format!(r#"{head}"delta":{{"reasoning":"abc","reasoning_content":"abc"}}}}]}}"#),
            format!(r#"{head}"delta":{{"reasoning":"abc","reasoning_content":"ab"}}}}]}}"#),
            format!(r#"{head}"delta":{{"reasoning_content":"ab"}}}}]}}"#),
            format!(r#"{head}"delta":{{"reasoning_content":"abc"   }}  }} ] }}"#),
            format!(r#"{head}"delta":{{"args":{{"a":"abc"}}}}}}]}}"#),
            format!(r#"{head}"delta":{{"args":{{"a":"abcdef"}}}}}}]}}"#),
            format!(r#"{head}"delta":{{"content":"ä\n€"}},"finish_reason":null}}]}}"#),
            format!(r#"{head}"delta":{{"content":"a\"#),
            r#"{"usage":{},"choices":[{"index":0,"delta":{"content":"x"}}]}"#.to_owned(),
            r#"{"error":{"code":1},"choices":[]}"#.to_owned(),
            format!(r#"{{"pad":"{}","delta":{{"content":"x"}}}}"#, "y".repeat(SHAPE_LIMIT)),
            String::new(),
        ];
        let gates = [&KEYS.usage, &KEYS.finish_reason, &KEYS.error];
        // Every event after every pair of others, so that each memory meets each event.
        for one in &events {
            for other in &events {
                let mut shape = Shape::default();
                for json in [one, other].into_iter().chain(&events) {
                    let expected = (
                        of_key(&KEYS.delta, json.as_bytes()),
                        gates.iter().any(|gate| has_value(gate, json.as_bytes())),
                    );
                    let seen = shape.read(&KEYS.delta, json.as_bytes(), &gates);
                    assert_eq!((seen.bytes, seen.gated), expected, "{json}");
                    let held = [&shape.before, &shape.behind, &shape.tail].map(Vec::len);
                    assert!(held.iter().all(|held| *held <= SHAPE_LIMIT));
                }
            }
        }
    }
}
