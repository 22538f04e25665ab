//! Base64 decoding for checks: standard and URL-safe alphabets, padding optional, line breaks skipped.

/// Most bytes that a check decodes; longer input is decoded up to here.
pub(super) const MAX_DECODED_BYTES: usize = 16 << 10;

fn value(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    }))
}

/// The bytes that `text` encodes, at most [`MAX_DECODED_BYTES`]; nothing if it is no Base64.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    if text.len() - end > 3 {
        return None;
    }
    let text = text.get(..end)?;
    let mut out = Vec::with_capacity((text.len() / 4 * 3 + 3).min(MAX_DECODED_BYTES + 3));
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text {
        if byte.is_ascii_whitespace() {
            continue;
        }
        bits = (bits << 6) | value(*byte)?;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from((bits >> held) & 0xff).ok()?);
            bits &= (1 << held) - 1;
        }
        if out.len() >= MAX_DECODED_BYTES {
            return Some(out);
        }
    }
    // Six bits left over are a lone character, which no encoder writes.
    (held < 6 && !out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_both_alphabets_and_any_padding() {
        // RFC 4648, section 10.
        for (text, want) in
            [("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg", "foob"), ("Zm9v\r\nYmFy", "foobar")]
        {
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(want.as_bytes()), "{text}");
        }
        assert_eq!(decode(b"-_-_"), decode(b"+/+/"));
        for text in ["", "=", "Z", "Zm9vY", "Zm9!", "Zg===="] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn stops_at_the_limit() {
        let at = vec![b'A'; MAX_DECODED_BYTES / 3 * 4];
        assert!(decode(&at).is_some_and(|out| out.len() <= MAX_DECODED_BYTES));
        let past = vec![b'A'; MAX_DECODED_BYTES * 2];
        assert_eq!(decode(&past).map(|out| out.len()), Some(MAX_DECODED_BYTES));
    }
}
