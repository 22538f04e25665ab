//! Writing text as JSON strings.

/// Appends `text` as a JSON string, quotes included. Only what RFC 8259 demands is escaped.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1F => {
                out.extend_from_slice(if byte < 0x10 { b"\\u000" } else { b"\\u001" });
                let low = byte & 0xF;
                out.push(if low < 10 { b'0' + low } else { b'a' + low - 10 });
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// `text` as a JSON string, quotes included.
pub fn string(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    push_string(&mut out, text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_control_character_is_escaped() {
        for code in 0..0x20u8 {
            let text = char::from(code).to_string();
            let written = string(&text);
            assert!(written.iter().all(|byte| *byte >= 0x20));
            assert_eq!(serde_json::from_slice::<String>(&written).unwrap(), text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn written_text_reads_back(text in ".*") {
            prop_assert_eq!(serde_json::from_slice::<String>(&string(&text)).unwrap(), text);
        }
    }
}
