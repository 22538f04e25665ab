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
    let turn = one("candidates[0].content.parts.text", "a");
    assert_eq!(live(data), [turn, one("outputTranscription.text", "b")].concat());
    let data = r#"{"serverContent":{"inputTranscription":{"text":"c"}}}"#;
    assert_eq!(live(data), one("inputTranscription.text", "c"));
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

#[test]
fn chunks_of_mistral_are_texts_and_thinking() {
    let chat = |data: &str| given(Dialect::OpenaiChat, data);
    let data = r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},
        {"type":"text","text":"a\nb"},{"type":"reference","reference_ids":[1,2]},{"type":"thinking","thinking":"so"}]}}]}"#;
    let thinking = |text| one("choices[0].message.content.thinking", text);
    let wanted = [thinking("hm"), one("choices[0].message.content", "a\nb"), thinking("so")];
    assert_eq!(chat(data), wanted.concat());
    // Whatever else stands there, the event can be read; who looks at it looks at all of it.
    for content in [r#"[{"type":"text","text":[{"text":"x"}]}]"#, "[5]", "{}", "7", "[[]]"] {
        assert_eq!(chat(&format!(r#"{{"choices":[{{"delta":{{"content":{content}}}}}]}}"#)), [], "{content}");
    }
}

#[test]
fn what_the_caller_says_is_a_text_of_its_own() {
    let data = r#"{"type":"conversation.item.input_audio_transcription.delta","item_id":"i","content_index":0,"delta":"hi"}"#;
    assert_eq!(given(Dialect::OpenaiResponses, data), one("input_audio_transcription[0]", "hi"));
    let mut callers = Vec::new();
    for (dialect, data) in [
        (Dialect::OpenaiResponses, data),
        (Dialect::OpenaiResponses, r#"{"type":"response.output_audio_transcript.delta","delta":"hi"}"#),
        (Dialect::GeminiGenerate, r#"{"serverContent":{"inputTranscription":{"text":"c"}}}"#),
        (Dialect::GeminiGenerate, r#"{"serverContent":{"outputTranscription":{"text":"c"}}}"#),
    ] {
        deltas(dialect, data.as_bytes(), &mut |block, _| callers.push(block.is_callers()));
    }
    assert_eq!(callers, [true, false, true, false]);
}

#[test]
fn events_that_are_not_listed_give_their_pieces() {
    let data = r#"{"type":"response.apply_patch_call_operation_diff.delta","output_index":2,"delta":"+ a"}"#;
    assert_eq!(given(Dialect::OpenaiResponses, data), one("output[2].input", "+ a"));
    for data in [
        r#"{"type":"response.something.delta","delta":{"text":"x"}}"#,
        r#"{"type":"response.audio.delta","delta":"UklGRg=="}"#,
        r#"{"type":"response.something.done","delta":"x"}"#,
    ] {
        assert_eq!(given(Dialect::OpenaiResponses, data), [], "{data}");
    }
}

#[test]
fn messages_give_what_a_conversation_was_shortened_to() {
    let data =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"compaction_delta","content":"so far"}}"#;
    assert_eq!(given(Dialect::AnthropicMessages, data), one("content[0].text", "so far"));
    let data = r#"{"type":"content_block_delta","index":0,"delta":{"type":"x","content":[1]}}"#;
    assert_eq!(given(Dialect::AnthropicMessages, data), []);
}

#[test]
fn gemini_gives_code_and_what_came_of_it() {
    let parts = r#"[{"executableCode":{"language":"PYTHON","code":"print(1)"}},
        {"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"1\n"}},{"text":"one"}]"#;
    let wanted = [
        one("candidates[0].content.parts.executableCode.code", "print(1)"),
        one("candidates[0].content.parts.codeExecutionResult.output", "1\n"),
        one("candidates[0].content.parts.text", "one"),
    ]
    .concat();
    let data = format!(r#"{{"candidates":[{{"content":{{"parts":{parts}}}}}]}}"#);
    assert_eq!(given(Dialect::GeminiGenerate, &data), wanted);
    let within = format!(r#"{{"response":{data},"traceId":"t"}}"#);
    assert_eq!(given(Dialect::GeminiGenerate, &within), wanted);
}
