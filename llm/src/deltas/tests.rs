use super::*;

fn given(dialect: Dialect, data: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    assert!(
        deltas(dialect, data.as_bytes(), &mut |block, text| all.push((block.to_string(), text.to_owned())))
    );
    all
}

fn one(path: &str, text: &str) -> Vec<(String, String)> {
    vec![(path.to_owned(), text.to_owned())]
}

#[test]
fn chat_gives_words_and_arguments() {
    let chat = |data| given(Dialect::OpenaiChat, data);
    let data = r#"{"choices":[{"index":1,"delta":{"role":"assistant","content":"a\nb"}}],"usage":null}"#;
    assert_eq!(chat(data), one("choices[1].message.content", "a\nb"));
    let data = r#"{"choices":[{"delta":{"content":null,"tool_calls":[{"index":2,"function":{"arguments":"{\"a"}}]}}]}"#;
    assert_eq!(chat(data), one("choices[0].message.tool_calls[2].function.arguments", "{\"a"));
    assert_eq!(chat(r#"{"choices":[],"usage":{"prompt_tokens":1}}"#), []);
    assert_eq!(chat("[DONE]"), []);
    let data = r#"{"choices":[{"text":"old","index":0}]}"#;
    assert_eq!(given(Dialect::OpenaiCompletions, data), one("choices[0].message.content", "old"));
}

#[test]
fn each_text_of_a_choice_is_one_of_its_own() {
    let data = r#"{"choices":[{"delta":{"content":"a","refusal":"b","reasoning_content":"c","reasoning":"c",
        "audio":{"id":"x","transcript":"d","data":"AA=="},"function_call":{"name":"f","arguments":"{"},
        "tool_calls":[{"function":{"arguments":"["}}]}}]}"#;
    let wanted = [
        ("content", "a"),
        ("refusal", "b"),
        ("reasoning_content", "c"),
        ("reasoning", "c"),
        ("audio.transcript", "d"),
        ("function_call.arguments", "{"),
        ("tool_calls[0].function.arguments", "["),
    ];
    let wanted = wanted.map(|(path, text)| (format!("choices[0].message.{path}"), text.to_owned()));
    assert_eq!(given(Dialect::OpenaiChat, data), wanted);
    let data = r#"{"choices":[{"delta":{"audio":{"data":"AA=="},"function_call":null}}]}"#;
    assert_eq!(given(Dialect::OpenaiChat, data), []);
}

#[test]
fn responses_give_deltas_and_not_their_repetition() {
    let responses = |data| given(Dialect::OpenaiResponses, data);
    let data = r#"{"type":"response.output_text.delta","output_index":1,"content_index":2,"delta":"hi"}"#;
    assert_eq!(responses(data), one("output[1].content[2].text", "hi"));
    let data = r#"{"type":"response.function_call_arguments.delta","output_index":3,"delta":"{"}"#;
    assert_eq!(responses(data), one("output[3].arguments", "{"));
    assert_eq!(responses(r#"{"type":"response.output_text.done","output_index":1,"text":"hi"}"#), []);
    assert_eq!(responses(r#"{"type":"response.audio.delta","delta":{"x":1}}"#), []);
}

#[test]
fn realtime_and_transcripts_give_their_words() {
    for name in [
        "response.text.delta",
        "response.audio_transcript.delta",
        "response.output_audio_transcript.delta",
        "conversation.item.input_audio_transcription.delta",
        "transcript.text.delta",
    ] {
        let data = format!(r#"{{"type":"{name}","output_index":1,"delta":"hi"}}"#);
        assert_eq!(given(Dialect::OpenaiResponses, &data), one("output[1].content[0].text", "hi"), "{name}");
    }
    let sound = r#"{"type":"response.output_audio.delta","delta":"UklGRg=="}"#;
    assert_eq!(given(Dialect::OpenaiResponses, sound), []);
}

#[test]
fn messages_give_blocks_by_their_index() {
    let messages = |data| given(Dialect::AnthropicMessages, data);
    let data = r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"hi"}}"#;
    assert_eq!(messages(data), one("content[2].text", "hi"));
    let data = r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"k\":"}}"#;
    assert_eq!(messages(data), one("content[1].input", "{\"k\":"));
    let data = r#"{"type":"content_block_start","index":0,"content_block":{"type":"web_search_tool_result","content":[{"title":"t"}]}}"#;
    assert_eq!(messages(data), one("content[0].content", r#"[{"title":"t"}]"#));
    assert_eq!(messages(r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{}}"#), []);
}

#[test]
fn gemini_gives_parts() {
    let data = r#"{"candidates":[{"content":{"parts":[{"text":"a"},{"functionCall":{"name":"f","args":{"k":"v"}}}]}}]}"#;
    let expected = [
        one("candidates[0].content.parts.text", "a"),
        one("candidates[0].content.parts.functionCall.args", r#"{"k":"v"}"#),
    ];
    assert_eq!(given(Dialect::GeminiGenerate, data), expected.concat());
}

/// Pieces as they stand, and ends, of an event.
fn parted(dialect: Dialect, data: &str) -> (Vec<String>, Vec<Ended>) {
    let (mut pieces, mut ends) = (Vec::new(), Vec::new());
    assert!(parts(dialect, data.as_bytes(), &mut |part| match part {
        Part::Piece(piece) => {
            assert_eq!(&data[piece.at..piece.at + piece.raw.len()], piece.raw);
            pieces.push(piece.raw.to_owned());
        }
        Part::Ended(ended) => ends.push(ended),
    }));
    (pieces, ends)
}

#[test]
fn pieces_are_told_where_they_stand_and_ends_when_they_come() {
    let data = r#"{"choices":[{"index":2,"delta":{"content":"a\n\u00e9\""},"finish_reason":"stop"}]}"#;
    let ended = |outer| vec![Ended::Outer(outer)];
    assert_eq!(parted(Dialect::OpenaiChat, data), (vec![r#""a\n\u00e9\"""#.to_owned()], ended(2)));
    for reason in ["null", "\"\""] {
        let data = format!(r#"{{"choices":[{{"delta":{{"content":""}},"finish_reason":{reason}}}]}}"#);
        assert_eq!(parted(Dialect::OpenaiChat, &data), (vec!["\"\"".to_owned()], vec![]));
    }
    assert_eq!(parted(Dialect::OpenaiChat, "[DONE]").1, [Ended::All]);
    let data = r#"{"type":"content_block_stop","index":4}"#;
    assert_eq!(parted(Dialect::AnthropicMessages, data).1, ended(4));
    let data = r#"{"type":"response.output_text.done","output_index":1,"text":"a"}"#;
    assert_eq!(parted(Dialect::OpenaiResponses, data), (vec![], ended(1)));
    let data = r#"{"candidates":[{"index":3,"content":{"parts":[{"functionCall":{"args": {"a": 1}}}]},"finishReason":"STOP"}]}"#;
    assert_eq!(parted(Dialect::GeminiGenerate, data), (vec![r#"{"a": 1}"#.to_owned()], vec![]));
}

#[test]
fn a_string_with_broken_escapes_stands_there_and_does_not_read() {
    let data = r#"{"choices":[{"delta":{"content":"\ud83d"}}]}"#;
    assert_eq!(parted(Dialect::OpenaiChat, data).0, [r#""\ud83d""#]);
    assert!(!deltas(Dialect::OpenaiChat, data.as_bytes(), &mut |_, _| {}));
}

#[test]
fn the_live_api_gives_turns_transcripts_and_calls() {
    let live = |data| given(Dialect::GeminiGenerate, data);
    let data =
        r#"{"serverContent":{"modelTurn":{"parts":[{"text":"a"}]},"outputTranscription":{"text":"b"}}}"#;
    let path = "candidates[0].content.parts.text";
    assert_eq!(live(data), [one(path, "a"), one(path, "b")].concat());
    let data = r#"{"toolCall":{"functionCalls":[{"id":"1","name":"f","args":{"k":"v"}}]}}"#;
    assert_eq!(live(data), one("candidates[0].content.parts.functionCall.args", r#"{"k":"v"}"#));
    assert_eq!(live(r#"{"setupComplete":{}}"#), []);
}

#[test]
fn what_cannot_be_read_says_so() {
    for data in ["", "{", "nonsense", r#"{"choices":5}"#] {
        assert!(!deltas(Dialect::OpenaiChat, data.as_bytes(), &mut |_, _| {}), "{data}");
    }
}
