use super::super::lenient::{
    Object, code, count, each_in_general, error, list, object, plain_value, present, word,
};
use super::*;
use crate::dialect::DIALECTS;
use proptest::prelude::*;
use serde::de::IgnoredAny;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::LazyLock;

/// Reads every member in one of the ways there are, by its key's length, and remembers what it read.
#[derive(Debug, Default, PartialEq)]
struct Everything(Vec<String>);

impl Object for Everything {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        let mut seen = format!("{key}=");
        let wrote = match key.len() % 9 {
            0 => write!(seen, "{:?}", count(map)?),
            1 => write!(seen, "{:?}", word(map)?),
            2 => write!(seen, "{:?}", present(map)?),
            3 | 4 => write!(seen, "{:?}", object::<Everything, A>(map)?),
            5 => write!(seen, "{:?}", list::<Everything, A>(map)?),
            6 => write!(seen, "{:?}", error(map)?),
            7 => write!(seen, "{:?}", code(map)?),
            _ => write!(seen, "{:?}", map.next_value::<IgnoredAny>()?),
        };
        wrote.unwrap();
        self.0.push(seen);
        Ok(true)
    }
}

/// Whether the text is taken; if it is, then as the general reader takes it.
fn agrees(text: &[u8]) -> bool {
    let mut general = Vec::new();
    let read = each_in_general(text, &mut |value: Everything| general.push(value));
    match plain_value::<Everything>(text) {
        Ok(value) => {
            assert_eq!((1, general), (read, Vec::from_iter(value)), "{}", String::from_utf8_lossy(text));
            // Nothing but blanks may stand behind it.
            assert!(serde_json::from_slice::<IgnoredAny>(text).is_ok(), "{}", String::from_utf8_lossy(text));
            true
        }
        Err(Unusual) => false,
    }
}

/// The lines of every golden answer, without their field names, and every golden body.
static TEXTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut texts = Vec::new();
    for (_, word, _) in DIALECTS {
        for file in std::fs::read_dir(golden.join(word)).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            let lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r'));
            texts.extend(lines.filter_map(|line| line.strip_prefix(b"data:")).map(<[u8]>::to_vec));
            texts.push(bytes);
        }
    }
    texts
});

#[test]
fn golden_answers_are_mostly_plain_and_read_alike() {
    let json = TEXTS.iter().filter(|text| serde_json::from_slice::<IgnoredAny>(text).is_ok()).count();
    let taken = TEXTS.iter().filter(|text| agrees(text)).count();
    assert!(json > 300 && taken * 10 > json * 8, "{taken} of {json}");
}

#[test]
fn what_is_plain_is_taken() {
    for text in [
        r#"{}"#,
        " {\t} \r\n",
        r#"{"a":1,"bb":"x","":[],"ccc":{"a":{}}}"#,
        r#"{"seventy8":{"a":[-0.5e+3,1E9,0,"\u00e4\\\"",true,false,null,{"b":[[]]}]}}"#,
        r#"{"aaaaaaaaa":9999999999999999999}"#,
        "{\"seventy8\":\"ä€\"}",
        "7",
        "null",
        "[{},[]]",
    ] {
        assert!(agrees(text.as_bytes()), "{text}");
    }
}

#[test]
fn what_is_no_json_or_unusual_is_left_to_the_general_reader() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "{}{}",
        "{},",
        "[1,]",
        "[,1]",
        r#"{"a":1,}"#,
        r#"{,"a":1}"#,
        r#"{"a" 1}"#,
        r#"{"a":}"#,
        r#"{a:1}"#,
        r#"{"seventy8":01}"#,
        r#"{"seventy8":1.}"#,
        r#"{"seventy8":.5}"#,
        r#"{"seventy8":+1}"#,
        r#"{"seventy8":1e}"#,
        r#"{"seventy8":-}"#,
        r#"{"seventy8":nul}"#,
        r#"{"seventy8":truefalse}"#,
        r#"{"seventy8":"\x"}"#,
        r#"{"seventy8":"\u12g4"}"#,
        r#"{"seventy8":"\u12"}"#,
        r#"{"seventy8":[}]}"#,
        r#"{"seventy8":{"a":1]}"#,
        r#"{"seventy8":[1 2]}"#,
        r#"{"seventy8":{"a":1 "b":2}}"#,
        r#"{"seventy8":{"a"}}"#,
        r#"{"seventy8":{1:2}}"#,
        r#"{"seventy8":{"a":1,}}"#,
        r#"{"seventy8":[1,]}"#,
        // Unusual: escapes in what is read, signs, fractions, numbers beyond nineteen digits.
        r#"{"\u0061":1}"#,
        r#"{"a":"\n"}"#,
        r#"{"aaaaaaaaa":-1}"#,
        r#"{"aaaaaaaaa":1.0}"#,
        r#"{"aaaaaaaaa":1e3}"#,
        r#"{"aaaaaaaaa":18446744073709551615}"#,
    ] {
        assert!(!agrees(text.as_bytes()), "{text}");
    }
    for byte in [0x00, 0x0A, 0x1F, 0x80, 0xFF] {
        assert!(!agrees(&[b"{\"seventy8\":\"a".as_slice(), &[byte], b"\"}"].concat()), "{byte}");
    }
}

#[test]
fn depth_is_limited() {
    let nested = |depth| format!("{{\"seventy8\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(agrees(nested(DEPTH_LIMIT).as_bytes()));
    assert!(!agrees(nested(DEPTH_LIMIT + 1).as_bytes()));
}

#[test]
fn stops_are_found_at_every_offset() {
    for stop in [b'"', b'\\', 0, 0x0A, 0x1F] {
        for at in 0..40 {
            let mut text = vec![0xC3; at];
            text.push(stop);
            text.extend([b'"'; 20]);
            for from in 0..=at {
                assert_eq!(next_stop(&text, from), at);
            }
            assert_eq!(next_stop(&text[..at], 0), at);
            assert_eq!(next_stop(&text[..at], at + 3), at + 3, "past the end it stays");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_answers_are_read_alike(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, prop::sample::select(
            b"{}[],:\"\\ 0123.eE+-ntfu\n\x00\x80a".to_vec(),
        )), 1..4),
    ) {
        let mut text = which.get(&TEXTS).clone();
        for (at, change, byte) in changes {
            let at = at.index(text.len() + 1);
            match change {
                0 => text.insert(at, byte),
                1 if at < text.len() => text[at] = byte,
                _ if at < text.len() => { text.remove(at); }
                _ => {}
            }
        }
        agrees(&text);
    }

    #[test]
    fn tokens_in_any_order_are_read_alike(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"a\"", "\"bb\"", "\"ccc\"", "\"seventy8\"", "\"\"", "1", "-2.5", "null", "true",
            " ", "\"\\n\"", "{\"a\":1}", "[{}]",
        ]), 0..14),
    ) {
        agrees(tokens.concat().as_bytes());
    }
}
