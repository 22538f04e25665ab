//! What is inside arrays, objects and long strings, wherever the edges of blocks fall.

use super::super::*;
use super::cause;
use crate::request::fault::BodyCause;
use proptest::prelude::*;

/// Everything that blocks can get wrong: escapes and quotes in rows, brackets in strings, characters of many bytes.
const SAMPLE: &str =
    r#"[{"a":"x\\","b":"\"","c":"\\\"[{","é\\\\":"日本語 💡"},[],{},"]}",[[-1.5e3,true,null]],"\u0022{\\"]"#;

/// Text, media and bytes of media of valid JSON, byte by byte.
pub(super) fn counted(body: &[u8]) -> (u64, u64, u64) {
    let (mut text, mut media, mut media_bytes) = (0, 0, 0);
    let (mut in_string, mut escaped, mut run) = (false, false, 0u64);
    for byte in body {
        let closes = *byte == b'"' && in_string && !escaped;
        let breaks = !matches!(byte, 0x21..=0x7F) || matches!(byte, b'"' | b'\\');
        if in_string && !breaks {
            run += 1;
        } else {
            if run >= MIN_MEDIA_BYTES as u64 {
                (text, media, media_bytes) = (text - run, media + 1, media_bytes + run);
            }
            run = 0;
        }
        text += u64::from(in_string && !closes);
        if !escaped && *byte == b'"' {
            in_string = !in_string;
        }
        escaped = in_string && !escaped && *byte == b'\\';
    }
    (text, media, media_bytes)
}

fn counts(body: &[u8]) -> (u64, u64, u64) {
    let head = head(body).unwrap();
    assert_eq!(head.model(), Some("m"), "what follows is read from the right place");
    (head.text_bytes, head.media, head.media_bytes)
}

#[test]
fn the_place_of_block_edges_changes_nothing() {
    for pad in 0..=130 {
        let pad = " ".repeat(pad);
        for body in [
            format!(r#"{pad}{{"x":{SAMPLE},"model":"m"}}"#),
            format!(r#"{{"x":[{pad}{SAMPLE}],"model":"m"}}"#),
            format!(r#"{{"x":["{pad}",{SAMPLE},{SAMPLE}],"model":"m"}}"#),
            format!(r#"{{"x":"{pad}\\\"é\\","y":{{"z":{SAMPLE}{pad}}},"model":"m"}}"#),
        ] {
            assert!(crate::fuzzing::request::is_object(body.as_bytes()), "{body}");
            assert_eq!(counts(body.as_bytes()), counted(body.as_bytes()), "{body}");
        }
    }
}

#[test]
fn damage_is_refused_at_every_place_of_a_block() {
    for pad in 0..=130 {
        let pad = "p".repeat(pad);
        for (nested, want) in [
            ("\"\u{1}\"", BodyCause::ControlCharacter),
            ("\u{1}", BodyCause::Expected("a value, a bracket or a comma")),
            (r"\", BodyCause::Expected("a value, a bracket or a comma")),
            ("é", BodyCause::Expected("a value, a bracket or a comma")),
            ("_", BodyCause::InvalidLiteral),
            ("}", BodyCause::Expected("`,` or `]`")),
            ("{]", BodyCause::Expected("`,` or `}`")),
        ] {
            let start = format!(r#"{{"x":["{pad}\\","#);
            let (got, at) = cause(&format!(r#"{start}{nested}],"model":"m"}}"#));
            assert_eq!(got, want);
            assert!((start.len()..start.len() + 2).contains(&at));
        }
        for text in [format!("{pad}\u{1}"), format!("{pad}\n\\\"")] {
            assert_eq!(cause(&format!(r#"{{"x":"{text}"}}"#)), (BodyCause::ControlCharacter, 6 + pad.len()));
            assert_eq!(
                cause(&format!(r#"{{"x":["{text}"]}}"#)),
                (BodyCause::ControlCharacter, 7 + pad.len())
            );
        }
        assert_eq!(cause(&format!(r#"{{"x":"{pad}\x"}}"#)), (BodyCause::InvalidEscape, 6 + pad.len()));
        let mut body = format!(r#"{{"x":["{pad}"#).into_bytes();
        body.extend_from_slice(b"\xff\"]}");
        assert_eq!(head(&body).unwrap_err(), BodyFault { cause: BodyCause::InvalidUtf8, at: 7 + pad.len() });
    }
}

#[test]
fn a_body_cut_anywhere_is_refused() {
    let long = "z".repeat(MIN_MEDIA_BYTES);
    let body = format!(r#"{{"x":[{SAMPLE},"{long}"],"y":{SAMPLE},"z":"{long} é\\","model":"m"}}"#);
    assert_eq!(counts(body.as_bytes()), counted(body.as_bytes()));
    for end in 0..body.len() {
        assert!(head(&body.as_bytes()[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn the_grammar_deep_inside_is_left_to_the_provider_and_at_the_top_is_not() {
    for wrong in ["1 2", ",", "1,", ":", "01", "tru", "NaN", r#""\x""#, r#""a" "b""#, "1:2"] {
        assert!(head(format!(r#"{{"x":[{wrong}]}}"#).as_bytes()).is_ok(), "{wrong}");
        assert!(head(format!(r#"{{"x":{wrong}}}"#).as_bytes()).is_err(), "{wrong}");
        let options = format!(r#"{{"stream_options":{{"x":{wrong}}}}}"#);
        assert!(head(options.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn media_counts_from_its_least_length_on_wherever_it_stands() {
    for pad in 0..=64 {
        for length in [MIN_MEDIA_BYTES - 1, MIN_MEDIA_BYTES, MIN_MEDIA_BYTES + 1, 3 * MIN_MEDIA_BYTES] {
            let (pad, run) = ("p ".repeat(pad), "A".repeat(length));
            for body in [
                format!(r#"{{"x":["{pad}{run}"],"y":"{run}","model":"m"}}"#),
                format!(r#"{{"x":["{run} {run}é{run}\n{run}"{pad}],"y":["{run}"],"model":"m"}}"#)
                    .replace("p ", "  "),
                format!(r#"{{"y":"{pad}{run}é{run}\"{run}\\","x":[[],[0],"{run}"],"model":"m"}}"#),
                format!(r#"{{"x":[{run}],"y":[{{"{run}":"{pad}"}}],"model":"m"}}"#).replace("[A", "[1"),
            ] {
                assert_eq!(counts(body.as_bytes()), counted(body.as_bytes()), "{length}");
            }
        }
    }
    let (text, media, bytes) = counts(format!(r#"{{"model":"m","x":"{}"}}"#, "A".repeat(1024)).as_bytes());
    assert_eq!((text, media, bytes), (7, 1, 1024));
    let (text, media, bytes) = counts(format!(r#"{{"model":"m","x":"{}"}}"#, "A".repeat(1023)).as_bytes());
    assert_eq!((text, media, bytes), (1030, 0, 0));
}

#[test]
fn levels_are_remembered_through_rising_and_falling_depths() {
    let mut state = 1u32;
    let mut inner = String::new();
    let mut open = Vec::new();
    for (depth, times) in [(130, 2), (62, 2), (64, 2), (MAX_DEPTH - 2, 3), (1, 1), (300, 1), (126, 5)] {
        for turn in 0..=times {
            let target = if turn % 2 == 0 { depth } else { depth - 1 };
            while open.len() < target {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let object = state >> 30 & 1 == 1;
                inner.push(if object { '{' } else { '[' });
                open.push(if object { '}' } else { ']' });
            }
            while open.len() > target {
                inner.extend(open.pop());
            }
            let close = open.iter().rev().collect::<String>();
            assert!(head(format!("{{\"x\":[{inner}{close}]}}").as_bytes()).is_ok());
            let wrong = if open.last() == Some(&'}') { ']' } else { '}' };
            let body = format!("{{\"x\":[{inner}{wrong}{close}]}}");
            let (got, at) = cause(&body);
            assert!(matches!(got, BodyCause::Expected(_)));
            assert_eq!(at, 6 + inner.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn pieces_of_every_length_are_counted(
        pieces in prop::collection::vec(
            prop_oneof![
                (any::<bool>(), 0..2600usize).prop_map(|(nested, n)| {
                    let run = "Q".repeat(n);
                    if nested { format!("[[\"{run}\"]]") } else { format!("\"{run}\"") }
                }),
                (0..70usize).prop_map(|n| " ".repeat(n) + "\"\\\\\\\"\""),
                Just(SAMPLE.to_owned()),
            ],
            1..6,
        ),
    ) {
        let members = pieces.iter().enumerate().map(|(i, piece)| format!("\"k{i}\":{piece},")).collect::<String>();
        let body = format!("{{{members}\"all\":[{}],\"model\":\"m\"}}", pieces.join(","));
        prop_assert_eq!(counts(body.as_bytes()), counted(body.as_bytes()));
    }
}
