use super::walker::MEDIA_BYTES_MIN;
use super::*;
use crate::finding::Provenance::{Assistant, System, ToolInput, ToolResult, User};
use proptest::prelude::*;
use serde_json::Value;

const ROLES: &[Says] = &[("system", System), ("user", User), ("assistant", Assistant), ("tool", ToolResult)];
const TYPES: &[Says] = &[("tool_result", ToolResult)];

fn table() -> Table {
    let entry = |name, place, meaning| Entry { name, place, meaning };
    Table::new(&[
        entry("id", Place::Anywhere, Meaning::Opaque),
        entry("role", Place::Anywhere, Meaning::Tells(ROLES)),
        entry("type", Place::Anywhere, Meaning::Tells(TYPES)),
        entry("arguments", Place::Anywhere, Meaning::Json),
        entry("input", Place::Anywhere, Meaning::Data(ToolInput)),
        entry("input", Place::Root, Meaning::Plain),
        entry("data", Place::Under("source"), Meaning::Media),
        entry("system", Place::Root, Meaning::By(System)),
        entry("vector", Place::Anywhere, Meaning::Sealed),
    ])
}

fn walked(body: &str) -> Walk {
    let mut out = Walk::default();
    walk(body, &table(), &mut out).unwrap();
    out
}

/// Path, text and provenance of each listed string.
fn listed(body: &str) -> Vec<(String, String, Spot, Option<crate::Provenance>)> {
    let walk = walked(body);
    let row = |text: &Text| {
        let mut decoded = String::new();
        decode(&body[text.raw.clone()], &mut decoded);
        (walk.path(body, text), decoded, text.spot, text.provenance)
    };
    walk.texts.iter().map(row).collect()
}

#[test]
fn numbers_are_listed_unless_they_are_times() {
    let numbers = |body: &str| {
        let rows = listed(body).into_iter().filter(|row| row.2 == Spot::Number);
        rows.map(|row| row.1).collect::<Vec<_>>()
    };
    assert!(numbers(r#"{"created":1764000000,"completed_at": 1999999999 ,"n":12345678}"#).is_empty());
    assert!(numbers(r#"{"input":{"updated_at":1000000000}}"#).is_empty());
    for number in ["2064000000", "17640000000", "176400000", "1764000.00", "-176400000", "4111111111111111"] {
        assert_eq!(numbers(&format!(r#"{{"created":{number}}}"#)), [number]);
    }
    // Without the name it may be anything, and a list has none.
    assert_eq!(numbers(r#"{"phone":1764000000,"created":[1764000000]}"#), ["1764000000"; 2]);
}

#[test]
fn every_string_value_is_listed_with_its_path_and_author() {
    let body = r#" { "model" : "gpt" , "system":[{"text":"be nice"}], "messages" : [
        {"content":"hello", "role":"user", "id":"m_1"},
        {"role":"assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"it is"},"bare"],
         "tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"a\":\"b\"}"}}]},
        {"role":"user","content":[{"type":"tool_result","content":"found","tool_use_id":"tu"},
         {"type":"tool_use","input":{"id":"x1","type":"y1","deep":[{"role":"zz"}]}}]}],
        "unknown_to_us":{"new@field.io":["wow"]}, "vector":[["ab",{"cd":"ef"}]], "input":["text"], "n": 123456789, "t":true } "#;
    let found = listed(body);
    let has = |path: &str, text: &str, by| {
        assert!(
            found.iter().any(|row| row.0 == path && row.1 == text && row.3 == by),
            "{path} in {found:#?}"
        );
    };
    has("model", "gpt", None);
    has("system[0].text", "be nice", Some(System));
    has("messages[0].content", "hello", Some(User));
    has("messages[1].content[1].text", "it is", Some(Assistant));
    has("messages[1].tool_calls[0].function.arguments", r#"{"a":"b"}"#, Some(ToolInput));
    has("messages[1].content[2]", "bare", Some(Assistant));
    has("messages[2].content[0].content", "found", Some(ToolResult));
    has("messages[2].content[0].tool_use_id", "tu", Some(ToolResult));
    has("messages[2].content[1].input.id", "x1", Some(ToolInput));
    has("messages[2].content[1].input.deep[0].role", "zz", Some(ToolInput));
    has("unknown_to_us.(name)[0]", "wow", None);
    has("input[0]", "text", None);
    has("n", "123456789", None);
    has("unknown_to_us.(name)", "new@field.io", None);
    assert!(found.iter().all(|row| !["m_1", "c", "user", "ab", "ef"].contains(&&*row.1)), "{found:#?}");
}

#[test]
fn media_is_left_alone() {
    let media = "aGVsbG8h".repeat(40) + "aGVsbG8=";
    let body = format!(
        r#"{{"messages":[{{"content":[{{"source":{{"type":"base64","data":"{media}"}},"data":"words"}},
        {{"image_url":{{"url":"data:image/png;base64,aGVsbG8="}}}},{{"url":"data:text/plain,secret"}},
        {{"source":{{"data":"plain text"}}}}]}}]}}"#
    );
    let texts: Vec<String> = listed(&body).into_iter().map(|row| row.1).collect();
    assert_eq!(texts, ["words", "data:text/plain,secret", "plain text"]);
    let unseen = media.len() + "data:image/png;base64,aGVsbG8=".len();
    assert_eq!(walked(&body).left_alone, LeftAlone { bytes: unseen + "base64".len(), unseen });
}

#[test]
fn only_what_is_media_from_its_beginning_to_its_end_is_left_alone() {
    let (standard, url) = ("aGVs/G8+".repeat(40), "aGVs_G8-".repeat(40));
    let lines = |length: usize| {
        let lines: Vec<&str> =
            standard.as_bytes().chunks(length).map(|line| std::str::from_utf8(line).unwrap()).collect();
        lines.join("\\n")
    };
    let env = "AWS_KEY=abcdefgh\\n".repeat(20);
    let with = |part: &str| format!("{standard}{part}{standard}");
    for (data, is_media) in [
        (standard.clone(), true),
        (url.clone(), true),
        (standard.replace('/', "\\/"), true),
        (lines(76), true),
        (lines(76) + "\\n", true),
        (lines(76) + "==\\r\\n", true),
        (standard.clone() + "==", true),
        (standard.clone() + "===", false),
        (standard[..MEDIA_BYTES_MIN].to_owned(), true),
        (standard[..MEDIA_BYTES_MIN - 1].to_owned(), false),
        (with("a b"), false),
        (with("\\u0041"), true),
        (with("\\u0020"), false),
        (with("="), false),
        (with("\\nab\\n"), false),
        (standard.clone() + &url, false),
        (env, false),
    ] {
        let body = format!(r#"{{"source":{{"data":"{data}"}}}}"#);
        assert_eq!(listed(&body).is_empty(), is_media, "{data}");
        // In a URL the length does not count.
        if data.len() >= MEDIA_BYTES_MIN {
            let body = format!(r#"{{"url":"data:image/png;base64,{data}"}}"#);
            assert_eq!(listed(&body).is_empty(), is_media, "{data}");
        }
    }
    for kind in ["", "text/plain", "text/html;charset=utf-8", "application/json", "image/svg+xml", "x"] {
        let body = format!(r#"{{"url":"data:{kind};base64,{standard}"}}"#);
        assert_eq!(listed(&body).len(), 1, "{kind}");
    }
}

#[test]
fn texts_that_were_encoded_before_are_said_not_to_be_seen() {
    for (body, unseen) in [
        (r#"{"input":[40,1101]}"#, 6),
        (r#"{"prompt":[[1,22],[333]]}"#, 6),
        (r#"{"input":["words"],"n":[1,2]}"#, 0),
        (r#"{"input":12}"#, 0),
        (r#"{"input":[{"content":[{"x":1}]}]}"#, 0),
    ] {
        assert_eq!(walked(body).left_alone.unseen, unseen, "{body}");
    }
    // A long number is looked at wherever it stands in a text.
    assert_eq!(listed(r#"{"input":4111111111111111}"#).len(), 1);
}

#[test]
fn units_are_messages_and_cover_every_string() {
    let body = r#"{"system":"sys","messages":[{"a":"one"},{"a":"two"}],"none":[],"many words in a name":[],"meta":{"b":["xx"]}}"#;
    let walk = walked(body);
    let units: Vec<(&str, &str)> =
        walk.units.iter().map(|unit| (&body[unit.name.clone()], &body[unit.raw.clone()])).collect();
    assert_eq!(
        units,
        [
            ("system", r#"{"system":"sys""#),
            ("messages", r#","messages":[{"a":"one"}"#),
            ("messages", r#",{"a":"two"}"#),
            ("many words in a name", r#","many words in a name":[]"#),
            ("meta", r#","meta":{"b":["xx"]}"#),
        ]
    );
    assert_eq!(walk.units.last().unwrap().texts.end, walk.texts.len());
}

#[test]
fn what_is_no_json_is_an_error_with_its_place() {
    for (body, at) in [
        ("", 0),
        ("{", 1),
        ("{\"a\"", 4),
        ("{\"a\":}", 5),
        ("{\"a\":1,}", 7),
        ("[1,]", 3),
        ("[1 2]", 3),
        ("{\"a\":1]", 6),
        ("\"open", 0),
        ("\"open\\", 0),
        ("{} x", 3),
        ("nul", 0),
        ("{a:1}", 1),
    ] {
        let fault = walk(body, &table(), &mut Walk::default()).unwrap_err();
        assert_eq!((fault.at, fault.too_deep), (at, false), "{body:?}");
    }
}

#[test]
fn nesting_is_followed_to_its_limit_and_no_further() {
    let nested = |depth: usize| format!("{}\"deep\"{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(walked(&nested(DEPTH_MAX)).texts.len(), 1);
    let fault = walk(&nested(DEPTH_MAX + 1), &table(), &mut Walk::default()).unwrap_err();
    assert!(fault.too_deep, "{fault}");
}

#[test]
fn strings_are_listed_to_their_limit_and_the_rest_is_reported() {
    let many = |count: usize| format!("[{}]", vec!["\"ab\""; count].join(","));
    let walk = walked(&many(STRINGS_MAX));
    assert_eq!((walk.texts.len(), walk.more), (STRINGS_MAX, false));
    let walk = walked(&many(STRINGS_MAX + 1));
    assert_eq!((walk.texts.len(), walk.more), (STRINGS_MAX, true));
}

#[test]
fn escapes_are_undone_and_found_again() {
    for (raw, text) in [
        (r"a\nb", "a\nb"),
        (r"\u0040x", "@x"),
        (r"\ud83d\ude00", "😀"),
        (r"\ud83dx", "\u{fffd}x"),
        (r"\q\u12", r"\q\u12"),
        (r#"\"\\\/\b\f\r\t"#, "\"\\/\u{8}\u{c}\r\t"),
        ("ü\\u00fc", "üü"),
    ] {
        let mut decoded = String::new();
        decode(raw, &mut decoded);
        assert_eq!(decoded, text, "{raw}");
    }
    let raw = r"key=\n\u0040AKIA\\ end";
    let mut places = [5, 10];
    locate(raw, &mut places);
    assert_eq!(&raw[places[0]..places[1]], r"\u0040AKIA");
}

/// Writes a string with any mix of escapes.
fn written(text: &str, choices: &[u8]) -> String {
    let mut raw = String::new();
    for (character, choice) in text.chars().zip(choices.iter().cycle()) {
        match (choice % 3, character) {
            (_, '"' | '\\') => raw.extend(['\\', character]),
            (_, '\n') => raw.push_str("\\n"),
            (0, _) => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    raw.push_str(&format!("\\u{unit:04x}"));
                }
            }
            (_, character) if character.is_control() => {
                raw.push_str(&format!("\\u{:04x}", u32::from(character)))
            }
            (_, character) => raw.push(character),
        }
    }
    raw
}

fn strings_of(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() >= TEXT_BYTES_MIN => out.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|value| strings_of(value, out)),
        Value::Object(members) => members.values().for_each(|value| strings_of(value, out)),
        _ => {}
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z\"\\\\\n@é]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::hash_map("[a-z\"é]{0,8}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_string_of_any_json_is_listed(value in any_value(), pretty in any::<bool>()) {
        let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let mut out = Walk::default();
        walk(&body, &Table::everything(), &mut out).unwrap();
        let mut expected = Vec::new();
        strings_of(&value, &mut expected);
        let values = out.texts.iter().filter(|text| text.spot == Spot::Value);
        let mut found: Vec<String> = values.map(|text| {
            let mut decoded = String::new();
            decode(&body[text.raw.clone()], &mut decoded);
            decoded
        }).collect();
        // A one-byte string that is written as an escape is listed too.
        found.retain(|text| text.len() >= TEXT_BYTES_MIN);
        prop_assert_eq!(found, expected);
        let mut end = 0;
        for unit in &out.units {
            prop_assert_eq!(unit.texts.start, end);
            end = unit.texts.end;
            for text in &out.texts[unit.texts.clone()] {
                prop_assert!(unit.raw.start <= text.raw.start && text.raw.end <= unit.raw.end);
            }
        }
        prop_assert_eq!(end, out.texts.len());
    }

    #[test]
    fn nothing_panics_and_what_is_taken_is_json(body in "[\\[\\]{}:,\"a1\\\\ tru]{0,24}") {
        let taken = walk(&body, &table(), &mut Walk::default()).is_ok();
        if serde_json::from_str::<Value>(&body).is_ok() {
            prop_assert!(taken, "{body}");
        }
    }

    #[test]
    fn a_place_in_the_text_leads_to_its_bytes(
        before in "\\PC{0,12}", value in "\\PC{1,12}", after in "\\PC{0,12}", choices in proptest::collection::vec(any::<u8>(), 1..8),
    ) {
        let text = format!("{before}{value}{after}");
        let raw = written(&text, &choices);
        let mut decoded = String::new();
        decode(&raw, &mut decoded);
        prop_assert_eq!(&decoded, &text);
        let mut places = [before.len(), before.len() + value.len()];
        locate(&raw, &mut places);
        let mut found = String::new();
        decode(&raw[places[0]..places[1]], &mut found);
        prop_assert_eq!(found, value);
    }

    #[test]
    fn many_ranges_lead_where_each_leads_alone(
        text in "\\PC{0,40}", picks in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..9),
        choices in proptest::collection::vec(any::<u8>(), 1..8),
    ) {
        let raw = written(&text, &choices);
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let pick = |one: u8| places[usize::from(one) % places.len()];
        let ranges: Vec<[usize; 2]> =
            picks.iter().map(|(one, other)| [pick(*one).min(pick(*other)), pick(*one).max(pick(*other))]).collect();
        let mut together = ranges.clone();
        locate_ranges(&raw, &mut together);
        let mut alone = ranges;
        alone.iter_mut().for_each(|range| locate(&raw, range));
        prop_assert_eq!(together, alone);
    }
}
