use super::*;
use crate::fuzzing::request::{is_object, outline};
use proptest::prelude::*;

mod nested;
use nested::counted;

fn cause(body: &str) -> (BodyCause, usize) {
    let fault = head(body.as_bytes()).unwrap_err();
    (fault.cause, fault.at)
}

#[test]
fn the_three_members_are_found_with_their_ranges() {
    let body = br#" {"messages":[{"model":"inner","stream":1}],"model":"gpt-4o", "stream" :true,
        "stream_options":{"a":{"include_usage":7},"include_usage":false}} "#;
    let head = head(body).unwrap();
    assert_eq!(head.model(), Some("gpt-4o"));
    let range = head.model.clone().unwrap().range;
    assert_eq!(&body[range], b"\"gpt-4o\"");
    assert!(head.streams());
    assert_eq!(&body[head.stream.clone().unwrap().range], b"true");
    assert_eq!(head.include_usage(), Some(false));
    let options = head.stream_options.clone().unwrap();
    assert!(body[options.range].starts_with(b"{\"a\":"));
    assert_eq!(&body[options.include_usage.unwrap().range], b"false");
    assert_eq!((head.open, head.empty), (2, false));
}

#[test]
fn absent_and_null_members_are_told_apart() {
    let empty = head(b"{}").unwrap();
    assert_eq!((empty.model(), empty.streams(), empty.include_usage()), (None, false, None));
    assert!(empty.empty && empty.stream.is_none());
    let nulls = head(br#"{"stream":null,"stream_options":null}"#).unwrap();
    assert_eq!(nulls.stream.as_ref().map(|flag| flag.value), Some(None));
    assert!(!nulls.streams() && !nulls.stream_options.unwrap().object);
}

#[test]
fn an_escaped_model_is_read_and_a_plain_one_is_borrowed() {
    let plain = head(br#"{"model":"a/b"}"#).unwrap();
    assert!(matches!(plain.model.unwrap().value, Cow::Borrowed("a/b")));
    assert_eq!(head(br#"{"\u006dodel":"a\/\u00e9"}"#).unwrap().model(), Some("a/é"));
}

#[test]
fn repeated_members_are_refused_however_they_are_spelled() {
    let cases = [
        (r#"{"model":"a","model":"a"}"#, "model"),
        (r#"{"model":"a","\u006dodel":"b"}"#, "model"),
        (r#"{"\u006D\u006F\u0064\u0065\u006C":"a","x":{"model":1},"model":"b"}"#, "model"),
        (r#"{"stream":true,"stream":null}"#, "stream"),
        (r#"{"stream_options":null,"stream\u005foptions":{}}"#, "stream_options"),
        (
            r#"{"stream_options":{"include_usage":true,"include\u005Fusage":false}}"#,
            "stream_options.include_usage",
        ),
    ];
    for (body, member) in cases {
        assert_eq!(cause(body).0, BodyCause::Duplicate(member), "{body}");
    }
    let every = "stream_options".chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect::<String>();
    let body = format!(r#"{{"{every}":null,"stream_options":null}}"#);
    assert_eq!(cause(&body).0, BodyCause::Duplicate("stream_options"));
    assert!(head(br#"{"user":1,"user":2,"x":{"model":1,"model":2}}"#).is_ok(), "not ours to judge");
}

#[test]
fn wrong_types_are_refused_by_name() {
    for (body, text) in [
        (r#"{"model":null}"#, "`model` must be a string, at byte 9"),
        (r#"{"model":["a"]}"#, "`model` must be a string, at byte 9"),
        (r#"{"stream":"true"}"#, "`stream` must be true or false, at byte 10"),
        (r#"{"stream":1}"#, "`stream` must be true or false, at byte 10"),
        (r#"{"stream_options":[]}"#, "`stream_options` must be an object, at byte 18"),
        (
            r#"{"stream_options":{"include_usage":"yes"}}"#,
            "`stream_options.include_usage` must be true or false, at byte 35",
        ),
    ] {
        assert_eq!(head(body.as_bytes()).unwrap_err().to_string(), text);
    }
}

#[test]
fn a_model_must_be_text_of_bounded_length() {
    let body = |name: &str| format!(r#"{{"model":"{name}"}}"#);
    assert!(head(body(&"m".repeat(MAX_MODEL_BYTES)).as_bytes()).is_ok());
    assert_eq!(cause(&body(&"m".repeat(MAX_MODEL_BYTES + 1))).0, BodyCause::ModelTooLong);
    assert_eq!(cause(&body(r"a\ud800")).0, BodyCause::ModelNotText);
    assert_eq!(cause(&body(r"a\nb")).0, BodyCause::ModelNotText);
    assert!(head(br#"{"x":"\ud800"}"#).is_ok(), "a lone surrogate elsewhere is the provider's business");
}

#[test]
fn every_kind_of_bad_json_is_named_with_its_place() {
    let cases = [
        ("", BodyCause::Empty, 0),
        (" \n", BodyCause::Empty, 2),
        ("[1]", BodyCause::NotAnObject, 0),
        ("\u{feff}{}", BodyCause::NotAnObject, 0),
        ("{", BodyCause::UnexpectedEnd, 1),
        (r#"{"a""#, BodyCause::UnexpectedEnd, 4),
        (r#"{"a":"#, BodyCause::UnexpectedEnd, 5),
        (r#"{"a":tru"#, BodyCause::UnexpectedEnd, 8),
        (r#"{"a":-"#, BodyCause::UnexpectedEnd, 6),
        (r#"{"a":[{"b":1}"#, BodyCause::UnexpectedEnd, 13),
        (r#"{"a":"xyz"#, BodyCause::UnterminatedString, 9),
        (r#"{"a":"xyz\"#, BodyCause::UnterminatedString, 10),
        (r#"{"a":"\u12"#, BodyCause::UnterminatedString, 10),
        ("{\"a\":\"x\ny\"}", BodyCause::ControlCharacter, 7),
        ("{\"a\u{0}\":1}", BodyCause::ControlCharacter, 3),
        (r#"{"a":"\x"}"#, BodyCause::InvalidEscape, 6),
        (r#"{"a":"\u12g4"}"#, BodyCause::InvalidEscape, 6),
        (r#"{"a":nil}"#, BodyCause::InvalidLiteral, 5),
        (r#"{"a":NaN}"#, BodyCause::InvalidLiteral, 5),
        (r#"{"a":1.}"#, BodyCause::InvalidNumber, 7),
        (r#"{"a":-x}"#, BodyCause::InvalidNumber, 6),
        (r#"{"a":1e+}"#, BodyCause::InvalidNumber, 8),
        (r#"{"a":01}"#, BodyCause::Expected("`,` or `}`"), 6),
        (r#"{"a":[1}"#, BodyCause::Expected("`,` or `]`"), 7),
        (r#"{"a":{]}"#, BodyCause::Expected("`,` or `}`"), 6),
        (r#"{"a":[}}"#, BodyCause::Expected("`,` or `]`"), 6),
        (r#"{"a":[y]}"#, BodyCause::InvalidLiteral, 6),
        (r#"{"a":[\n]}"#, BodyCause::Expected("a value, a bracket or a comma"), 6),
        ("{\"a\":[\u{1}]}", BodyCause::Expected("a value, a bracket or a comma"), 6),
        ("{\"a\":[é]}", BodyCause::Expected("a value, a bracket or a comma"), 6),
        ("{\"a\":[\"\n\"]}", BodyCause::ControlCharacter, 7),
        (r#"{"a":["x]}"#, BodyCause::UnterminatedString, 10),
        (r#"{"a":["x\"]}"#, BodyCause::UnterminatedString, 12),
        (r#"{"a":1,}"#, BodyCause::Expected("a member's name in quotes"), 7),
        (r#"{"a" 1}"#, BodyCause::Expected("`:`"), 5),
        (r#"{"a":.5}"#, BodyCause::Expected("a value"), 5),
        (r#"{"a":1]"#, BodyCause::Expected("`,` or `}`"), 6),
        ("{}{}", BodyCause::TrailingData, 2),
        ("{} x", BodyCause::TrailingData, 3),
    ];
    for (body, want, at) in cases {
        assert_eq!(cause(body), (want, at), "{body:?}");
    }
    let text = head(br#"{"a":"xyz"#).unwrap_err().to_string();
    assert_eq!(text, "the body is not valid JSON: unterminated string at byte 9");
}

#[test]
fn bytes_that_are_not_utf8_are_refused_wherever_they_stand() {
    for filler in [0, 1, 14, 15, 16, 17, 62, 63, 64, 65, 200] {
        for bad in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x92"] {
            let mut body = format!(r#"{{"k":"{}"#, "x".repeat(filler)).into_bytes();
            let at = body.len();
            body.extend_from_slice(bad);
            body.extend_from_slice(b"\"}");
            let fault = head(&body).unwrap_err();
            assert_eq!((fault.cause, fault.at), (BodyCause::InvalidUtf8, at));
        }
    }
    assert_eq!(head(b"{\"a\":\xff}").unwrap_err().cause, BodyCause::Expected("a value"));
    assert!(head("{\"schlüssel\":\"日本語 💡\"}".as_bytes()).is_ok());
}

#[test]
fn nesting_is_allowed_to_the_limit_and_not_one_further() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = |depth: usize| {
            let inner = if open == "[" { "" } else { "1" };
            format!(r#"{{"x":{}{inner}{}}}"#, open.repeat(depth - 1), close.repeat(depth - 1))
        };
        assert!(head(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(cause(&nested(MAX_DEPTH + 1)).0, BodyCause::TooDeep);
    }
    let options =
        |depth: usize| format!(r#"{{"stream_options":{{"x":{}{}}}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(head(options(MAX_DEPTH - 2).as_bytes()).is_ok());
    assert_eq!(cause(&options(MAX_DEPTH - 1)).0, BodyCause::TooDeep);
}

#[test]
fn mixed_nesting_closes_with_the_right_bracket_at_every_depth() {
    for depth in 1..200usize {
        let kinds: Vec<bool> = (0..depth).map(|i| (i * 7 + i / 3) % 2 == 0).collect();
        let mut body = String::from(r#"{"x":"#);
        body.extend(kinds.iter().map(|object| if *object { r#"{"k":"# } else { "[" }));
        body.push('1');
        let opened = body.clone();
        body.extend(kinds.iter().rev().map(|object| if *object { '}' } else { ']' }));
        body.push('}');
        assert!(head(body.as_bytes()).is_ok(), "{body}");
        let wrong = if kinds[depth - 1] { ']' } else { '}' };
        assert!(head(format!("{opened}{wrong}").as_bytes()).is_err());
    }
}

#[test]
fn strings_of_every_length_and_alignment_end_where_they_end() {
    for before in 0..70 {
        for length in 0..140 {
            let text = "y".repeat(length);
            let body = format!(r#"{{{}"m":"{text}","model":"z"}}"#, " ".repeat(before));
            assert_eq!(head(body.as_bytes()).unwrap().model(), Some("z"));
            for tail in [r"\n", r"\\", r#"\""#, r"\u0041"] {
                let body = format!(r#"{{{}"m":"{text}{tail}","model":"z"}}"#, " ".repeat(before));
                assert_eq!(head(body.as_bytes()).unwrap().model(), Some("z"), "{body}");
            }
        }
    }
}

/// Agrees with serde_json, apart from the causes that are ours alone and the grammar inside nested values.
fn agrees(body: &[u8]) -> Result<(), TestCaseError> {
    match head(body) {
        Ok(head) => {
            prop_assert!(std::str::from_utf8(body).is_ok());
            let outline = outline(body);
            prop_assert!(outline.is_some_and(|outline| is_object(&outline)), "accepted {:?}", body);
            if let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) {
                prop_assert_eq!(head.model(), value.get("model").and_then(|model| model.as_str()));
                prop_assert_eq!(head.streams(), value.get("stream") == Some(&true.into()));
                let asked = value.pointer("/stream_options/include_usage").and_then(|asked| asked.as_bool());
                prop_assert_eq!(head.include_usage(), asked);
                prop_assert_eq!((head.text_bytes, head.media, head.media_bytes), counted(body));
            }
        }
        Err(fault) => {
            prop_assert!(fault.at <= body.len());
            let ours = matches!(
                fault.cause,
                BodyCause::Duplicate(_)
                    | BodyCause::WrongType { .. }
                    | BodyCause::ModelNotText
                    | BodyCause::ModelTooLong
                    | BodyCause::TooDeep
            );
            prop_assert!(ours || !is_object(body), "{:?} of {:?}", fault, String::from_utf8_lossy(body));
        }
    }
    Ok(())
}

/// JSON-like text made of the pieces that matter.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\"model\":",
        "\"stream\":",
        "\"stream_options\":",
        "\"include_usage\":",
        "true",
        "false",
        "null",
        "\"gpt\"",
        "\"\\u006dodel\":",
        "\\\"",
        "\\n",
        "\\u00e9",
        "1",
        "-0.5e+3",
        "01",
        " ",
        "\n",
        "é",
        "日",
        "x",
        "\u{1}",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

/// Valid JSON objects with our members in them.
fn objects() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,90}".prop_map(Into::into),
    ];
    let name = prop_oneof![
        Just("model".to_owned()),
        Just("stream".to_owned()),
        Just("stream_options".to_owned()),
        Just("include_usage".to_owned()),
        ".{0,20}",
    ];
    let any = leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    });
    prop::collection::btree_map(".{0,20}", any, 0..6)
        .prop_map(|map| serde_json::Value::Object(map.into_iter().collect()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn pieces_of_json_are_judged_as_serde_json_judges_them(body in pieces()) {
        agrees(&body)?;
        let mut wrapped = b"{\"a\":".to_vec();
        wrapped.extend_from_slice(&body);
        wrapped.push(b'}');
        agrees(&wrapped)?;
    }

    #[test]
    fn valid_objects_are_read_and_damaged_ones_judged_alike(
        value in objects(),
        model in ".{0,40}",
        streams in any::<bool>(),
        pretty in any::<bool>(),
        cut in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut value = value;
        value["model"] = model.clone().into();
        value["stream"] = streams.into();
        value["stream_options"] = serde_json::json!({"include_usage": !streams, "x": [model]});
        let mut body =
            if pretty { serde_json::to_vec_pretty(&value).unwrap() } else { serde_json::to_vec(&value).unwrap() };
        agrees(&body)?;
        let at = cut.index(body.len());
        agrees(&body[..at])?;
        body[at] = byte;
        agrees(&body)?;
    }
}

#[test]
fn an_answer_is_bounded_by_what_its_dialect_means_and_by_nothing_else() {
    use Dialect::{
        AnthropicMessages, GeminiGenerate, OpenaiChat, OpenaiCompletions, OpenaiEmbeddings, OpenaiResponses,
    };
    let bounds = |dialect, body: &str| {
        let Bounds { tokens, choices } = head(body.as_bytes()).unwrap().bounds.of(dialect);
        (tokens, choices)
    };
    let all = r#"{"max_tokens":1,"max_completion_tokens":2,"max_output_tokens":3,"n":4,"best_of":5,
        "generationConfig":{"maxOutputTokens":6,"candidateCount":7}}"#;
    for (dialect, expected) in [
        (OpenaiChat, (Some(2), Some(4))),
        (OpenaiCompletions, (Some(1), Some(5))),
        (OpenaiResponses, (Some(3), None)),
        (AnthropicMessages, (Some(1), None)),
        (GeminiGenerate, (Some(6), Some(7))),
        (OpenaiEmbeddings, (None, None)),
    ] {
        assert_eq!(bounds(dialect, all), expected, "{dialect:?}");
    }
    assert_eq!(bounds(OpenaiChat, r#"{"messages":[{"max_tokens":9,"n":9}]}"#), (None, None));
    assert_eq!(bounds(OpenaiChat, r#"{"max\u005ftokens":7,"max_tokens":5}"#), (Some(7), None), "the largest");
    assert_eq!(bounds(OpenaiChat, r#"{"max_tokens":null,"n":"2","max_completion_tokens":-1}"#), (None, None));
    assert_eq!(bounds(OpenaiChat, r#"{"max_output_tokens":1}"#), (None, None), "no bound there");
    let snake = r#"{"generation_config":{"max_output_tokens":50}}"#;
    assert_eq!(bounds(GeminiGenerate, snake), (Some(50), None));
}

#[test]
fn the_most_that_can_be_generated_is_every_choice_at_its_longest() {
    assert_eq!(Bounds::default().most(4_096), 4_096);
    assert_eq!(Bounds { tokens: Some(10), choices: Some(3) }.most(4_096), 30);
    assert_eq!(Bounds { tokens: None, choices: Some(0) }.most(5), 5);
    assert_eq!(Bounds { tokens: Some(u64::MAX), choices: Some(2) }.most(5), u64::MAX);
}

#[test]
fn tools_are_noticed_if_there_are_some() {
    for (body, tools) in [
        (r#"{"model":"m","tools":[{"type":"function"}]}"#, true),
        (r#"{"tools":{"a":1},"model":"m"}"#, true),
        (r#"{"functions":[1]}"#, true),
        (r#"{"t\u006fols":[1]}"#, true),
        (r#"{"tools":[]}"#, false),
        (r#"{"tools":[ ]}"#, false),
        (r#"{"tools":null}"#, false),
        (r#"{"messages":[{"tools":[1]}]}"#, false),
    ] {
        assert_eq!(head(body.as_bytes()).unwrap().has_tools, tools, "{body}");
    }
}

#[test]
fn places_of_media_are_noted_up_to_the_limit() {
    for media in [0, 1, MEDIA_PLACES, MEDIA_PLACES + 1] {
        let run = "A".repeat(MIN_MEDIA_BYTES);
        let values: Vec<String> = (0..media).map(|_| format!(r#"{{"url":"{run}"}}"#)).collect();
        let body = format!(r#"{{"model":"m","messages":[{}]}}"#, values.join(","));
        let head = head(body.as_bytes()).unwrap();
        let places: Vec<usize> = head.media_places.iter().collect();
        let expected: Vec<usize> = body.match_indices(&run).map(|found| found.0).take(MEDIA_PLACES).collect();
        assert_eq!((head.media, &places), (media as u64, &expected));
    }
}

#[test]
fn how_it_is_to_be_worked_on_is_read_where_that_has_a_price() {
    for (body, mode) in [
        (r#"{"service_tier":"priority"}"#, Some(Mode::Priority)),
        (r#"{"service_tier":"flex"}"#, Some(Mode::Flex)),
        (r#"{"serviceTier":"PRIORITY"}"#, Some(Mode::Priority)),
        (r#"{"speed":"fast","service_tier":"auto"}"#, Some(Mode::Fast)),
        (r#"{"service\u005ftier":"prior\u0069ty"}"#, Some(Mode::Priority)),
        (r#"{"service_tier":"flex","service_tier":"priority"}"#, Some(Mode::Priority)),
        (r#"{"service_tier":"standard_only"}"#, None),
        (r#"{"service_tier":"default","speed":"standard"}"#, None),
        (r#"{"service_tier":null,"speed":{"fast":1}}"#, None),
        (r#"{"metadata":{"service_tier":"priority"}}"#, None),
    ] {
        assert_eq!(head(body.as_bytes()).unwrap().mode, mode, "{body}");
    }
}
