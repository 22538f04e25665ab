//! How much text a JSON body holds, by a cheap scan of its strings.

/// Bytes from which a string that looks like base64 is taken for media. Identifiers, hashes, signatures and
/// tokens are shorter; the smallest useful pictures are longer.
pub const MEDIA_MIN_BYTES: usize = 1024;

/// What a body's strings amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BodyText {
    /// Bytes of string values, unescaped. Member names count too: a tool's schema is part of the prompt.
    pub text_bytes: u64,
    /// Strings that hold media: `data:` URLs, and long base64.
    pub media: u64,
}

/// Adds up the strings of a JSON body, media apart.
///
/// Total over any input: bytes that are no JSON are counted as if they were, and an unterminated string counts
/// up to the end.
pub fn measure(body: &[u8]) -> BodyText {
    let mut sum = BodyText::default();
    let mut rest = body;
    while let Some(open) = rest.iter().position(|byte| *byte == b'"') {
        let text = rest.get(open + 1..).unwrap_or_default();
        let (length, dropped) = string(text);
        let raw = text.get(..length).unwrap_or_default();
        if is_media(raw) {
            sum.media += 1;
        } else {
            sum.text_bytes = sum.text_bytes.saturating_add((length - dropped) as u64);
        }
        rest = text.get(length + 1..).unwrap_or_default();
    }
    sum
}

/// Length of the string at the beginning of `text`, and how many of its bytes are escaping and not text.
fn string(text: &[u8]) -> (usize, usize) {
    let (mut at, mut dropped) = (0, 0);
    loop {
        let plain = text.get(at..).unwrap_or_default();
        let Some(stop) = plain.iter().position(|byte| matches!(byte, b'"' | b'\\')) else {
            return (text.len(), dropped);
        };
        at += stop;
        if text.get(at) == Some(&b'"') {
            return (at, dropped);
        }
        // `\uXXXX` stands for one to three bytes; two is near enough for an estimate.
        let (long, gone) = if text.get(at + 1) == Some(&b'u') { (6, 4) } else { (2, 1) };
        at = (at + long).min(text.len());
        dropped += gone.min(at - dropped);
    }
}

/// Bytes in which the head of a `data:` URL (`data:image/png;base64,`) ends.
const DATA_URL_HEAD_BYTES: usize = 128;

/// Whether a string's raw bytes are media: a base64 `data:` URL of any length, or long base64 (either alphabet).
fn is_media(raw: &[u8]) -> bool {
    if raw.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"data:")) {
        let head = raw.get(..DATA_URL_HEAD_BYTES).unwrap_or(raw);
        return head.windows(8).any(|window| window.eq_ignore_ascii_case(b";base64,"));
    }
    raw.len() >= MEDIA_MIN_BYTES && is_base64(raw)
}

/// Whether all bytes are of a base64 alphabet. Text fails at its first blank, so this reads little of it; line
/// breaks inside (`\n`) and an escaped slash (`\/`) are allowed.
fn is_base64(raw: &[u8]) -> bool {
    let mut bytes = raw.iter();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'-' | b'_' | b'=' => true,
            b'\\' => matches!(bytes.next(), Some(b'/' | b'n' | b'r')),
            _ => false,
        };
        if !fits {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(body: &str) -> u64 {
        let sum = measure(body.as_bytes());
        assert_eq!(sum.media, 0, "{body}");
        sum.text_bytes
    }

    #[test]
    fn strings_are_added_and_the_rest_is_not() {
        assert_eq!(text(r#"{"a":"bcd","n":123,"x":[true,"ef"]}"#), 1 + 3 + 1 + 1 + 2);
        assert_eq!(text(r#"{}"#), 0);
        assert_eq!(text(""), 0);
    }

    #[test]
    fn escapes_count_as_what_they_mean() {
        assert_eq!(text(r#"["a\nb"]"#), 3);
        assert_eq!(text(r#"["\"\\"]"#), 2);
        assert_eq!(text(r#"["\u00e9"]"#), 2);
        assert_eq!(text(r#"["é"]"#), 2);
    }

    #[test]
    fn media_is_counted_by_piece_and_not_by_byte() {
        let base64 = "iVBORw0KGgo".repeat(2000);
        for value in [base64.clone(), format!("data:image/png;base64,{base64}"), base64.replace('o', r"\/")] {
            let body = format!(r#"{{"type":"image","data":"{value}","text":"hello"}}"#);
            assert_eq!(measure(body.as_bytes()), BodyText { text_bytes: 4 + 5 + 4 + 4 + 5, media: 1 });
        }
    }

    #[test]
    fn long_base64_is_media_from_the_limit_on() {
        let body = |length: usize| format!(r#"["{}"]"#, "A".repeat(length));
        assert_eq!(measure(body(MEDIA_MIN_BYTES - 1).as_bytes()).text_bytes, 1023);
        assert_eq!(measure(body(MEDIA_MIN_BYTES).as_bytes()), BodyText { text_bytes: 0, media: 1 });
    }

    #[test]
    fn long_text_is_text() {
        let prose = "data: these are words, ".repeat(200);
        assert_eq!(text(&format!(r#"["{prose}"]"#)), prose.len() as u64);
        assert_eq!(text(r#"["data: short"]"#), 11);
    }

    #[test]
    fn broken_bodies_are_counted_to_their_end() {
        assert_eq!(text(r#"{"a":"unterminated"#), 1 + 12);
        assert_eq!(text(r#"["x\"#), 1);
        assert_eq!(text(r#"["\u12"#), 0);
        assert_eq!(text("\""), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_measured_and_never_as_more_than_they_are(body in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(measure(&body).text_bytes <= body.len() as u64);
        }

        #[test]
        fn plain_strings_are_measured_exactly(texts in prop::collection::vec("[a-z é]{0,30}", 0..10)) {
            let body = format!("[{}]", texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(","));
            let bytes: usize = texts.iter().map(String::len).sum();
            prop_assert_eq!(measure(body.as_bytes()), BodyText { text_bytes: bytes as u64, media: 0 });
        }
    }
}
