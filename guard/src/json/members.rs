//! Where the values of members stand that have one of a few names.

use memchr::{memchr, memchr2};
use std::ops::Range;

/// The lists and objects that are values of members with one of these `names`, wherever they stand in `body` outside of
/// lists and objects that are values of members with one of the names `except`; of one within another only the outer.
/// Total over any bytes: of what is no JSON it finds what looks like it, and what does not end reaches to the end.
pub fn values_of(body: &str, names: &[&str], except: &[&str]) -> Vec<Range<usize>> {
    let bytes = body.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(quote) = bytes.get(at..).and_then(|rest| memchr(b'"', rest)) {
        let start = at + quote + 1;
        let end = string_end(bytes, start);
        at = end + 1;
        let name = body.get(start..end).unwrap_or_default();
        let (is_named, is_except) = (names.contains(&name), except.contains(&name));
        let colon = blank(bytes, at);
        if (is_named || is_except) && bytes.get(colon) == Some(&b':') {
            let value = blank(bytes, colon + 1);
            if matches!(bytes.get(value), Some(b'{' | b'[')) {
                at = value_end(bytes, value);
                if is_named {
                    found.push(value..at);
                }
            }
        }
    }
    found
}

/// Where the string ends that begins at `at`, behind its quote: the place of the other quote, or the end.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes.get(at) == Some(&b'"') {
            return at;
        }
        at += 2;
    }
    bytes.len()
}

/// Where the list or object ends that begins at `start`, in bytes.
fn value_end(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut at) = (0_usize, start);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at + 1),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

fn blank(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r' | b'\n') = bytes.get(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(body: &str) -> Vec<&str> {
        values_of(body, &["logprobs"], &["input"]).into_iter().map(|range| &body[range]).collect()
    }

    #[test]
    fn lists_and_objects_are_found_wherever_they_stand() {
        let body = r#"{"choices":[{"logprobs" : {"content":[{"token":"}\"]"}]}},{"a":{"logprobs":[1,{"logprobs":[2]}]}}]}"#;
        assert_eq!(found(body), [r#"{"content":[{"token":"}\"]"}]}"#, r#"[1,{"logprobs":[2]}]"#]);
    }

    #[test]
    fn scalars_and_texts_are_none() {
        for body in [
            r#"{"logprobs":null,"b":true}"#,
            r#"{"logprobs":-1.5,"c":[1]}"#,
            r#"{"text":"\"logprobs\":[1]"}"#,
            r#"["logprobs",[1]]"#,
            r#"{"avg_logprobs":[1]}"#,
            r#"{"input":{"logprobs":[1]}}"#,
        ] {
            assert!(found(body).is_empty(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(body in r#"[ -~é]{0,60}"#, cut in 0..100_usize) {
            let whole = format!(r#"{{"logprobs":[{{"x":["{{"]}}],"y":"{}"}}"#, body.replace(['"', '\\'], ""));
            let mut cut = cut.min(whole.len());
            while !whole.is_char_boundary(cut) {
                cut -= 1;
            }
            for text in [&body, &whole[..cut]] {
                for range in values_of(text, &["logprobs", "y"], &["x"]) {
                    prop_assert!(text.get(range).is_some());
                }
            }
            prop_assert_eq!(values_of(&whole, &["logprobs"], &[]).len(), 1);
        }
    }
}
