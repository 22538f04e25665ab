//! `docs/usage.md` says of each API where usage stands and what its figures include. Here is an answer of each, and what it
//! comes to if the page is right.

mod streams_support;

use narrows_llm::Dialect;
use narrows_llm::unary;
use std::collections::BTreeSet;
use streams_support::decode;

/// Where a part of the tokens is told.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    /// It is not told.
    Untold,
    /// So many, within the figure of the whole.
    Inside(u64),
    /// So many, beside the figure of the whole.
    Beside(u64),
    /// Inside, unless the total says beside: here it does.
    ByTotal(u64),
}

impl Part {
    fn word(self) -> &'static str {
        match self {
            Part::Untold => "–",
            Part::Inside(_) => "inside",
            Part::Beside(_) => "beside",
            Part::ByTotal(_) => "by the total",
        }
    }

    fn beside(self) -> u64 {
        match self {
            Part::Beside(tokens) | Part::ByTotal(tokens) => tokens,
            Part::Untold | Part::Inside(_) => 0,
        }
    }
}

/// How often usage is told.
#[derive(Clone, Copy, PartialEq)]
enum Reports {
    /// Once.
    Once,
    /// Several times, each figure up to there: the last one counts.
    Cumulative,
}

struct Row {
    api: &'static str,
    dialect: Dialect,
    /// The figures that the answer names last for prompt and completion.
    prompt: Option<u64>,
    completion: Option<u64>,
    cached: Part,
    reasoning: Part,
    reports: Reports,
    /// Lines that are events, or one body.
    answer: &'static [&'static str],
}

const CHAT: Row = Row {
    api: "",
    dialect: Dialect::OpenaiChat,
    prompt: Some(100),
    completion: Some(50),
    cached: Part::Inside(60),
    reasoning: Part::Inside(30),
    reports: Reports::Once,
    answer: &[],
};

const ROWS: &[Row] = &[
    Row {
        api: "OpenAI chat",
        answer: &[
            r#"{"id":"c","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"prompt_tokens_details":{"cached_tokens":60},"completion_tokens_details":{"reasoning_tokens":30}}}"#,
        ],
        ..CHAT
    },
    Row {
        api: "OpenAI chat, stream",
        answer: &[
            r#"{"choices":[{"index":0,"delta":{"content":"hi"}}],"usage":null}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"prompt_tokens_details":{"cached_tokens":60},"completion_tokens_details":{"reasoning_tokens":30}}}"#,
            "[DONE]",
        ],
        ..CHAT
    },
    Row {
        api: "OpenAI completions, stream",
        dialect: Dialect::OpenaiCompletions,
        cached: Part::Untold,
        reasoning: Part::Untold,
        answer: &[
            r#"{"choices":[{"index":0,"text":"hi","finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150}}"#,
            "[DONE]",
        ],
        ..CHAT
    },
    Row {
        api: "OpenAI responses, stream",
        dialect: Dialect::OpenaiResponses,
        answer: &[
            r#"{"type":"response.created","response":{"id":"r","usage":null}}"#,
            r#"{"type":"response.output_text.delta","delta":"hi"}"#,
            r#"{"type":"response.completed","response":{"id":"r","status":"completed","usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":60},"output_tokens":50,"output_tokens_details":{"reasoning_tokens":30},"total_tokens":150}}}"#,
        ],
        ..CHAT
    },
    Row {
        api: "OpenAI embeddings",
        dialect: Dialect::OpenaiEmbeddings,
        prompt: Some(8),
        completion: None,
        cached: Part::Untold,
        reasoning: Part::Untold,
        answer: &[r#"{"data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#],
        ..CHAT
    },
    Row {
        api: "OpenAI transcription by tokens",
        dialect: Dialect::OpenaiResponses,
        prompt: Some(14),
        completion: Some(5),
        cached: Part::Untold,
        reasoning: Part::Untold,
        answer: &[
            r#"{"text":"hi","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":0,"audio_tokens":14},"output_tokens":5,"total_tokens":19}}"#,
        ],
        ..CHAT
    },
    Row {
        api: "OpenAI transcription, stream",
        dialect: Dialect::OpenaiResponses,
        prompt: Some(14),
        completion: Some(5),
        cached: Part::Untold,
        reasoning: Part::Untold,
        answer: &[
            r#"{"type":"transcript.text.delta","delta":"hi"}"#,
            r#"{"type":"transcript.text.done","text":"hi","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":0,"audio_tokens":14},"output_tokens":5,"total_tokens":19}}"#,
        ],
        ..CHAT
    },
    Row {
        api: "OpenAI transcription by seconds",
        dialect: Dialect::OpenaiResponses,
        prompt: None,
        completion: None,
        cached: Part::Untold,
        reasoning: Part::Untold,
        answer: &[r#"{"text":"hi","usage":{"type":"duration","seconds":7}}"#],
        ..CHAT
    },
    Row {
        api: "OpenAI images",
        dialect: Dialect::OpenaiResponses,
        cached: Part::Untold,
        reasoning: Part::Untold,
        answer: &[
            r#"{"created":1,"data":[{"b64_json":"AAAA"}],"usage":{"input_tokens":100,"input_tokens_details":{"text_tokens":60,"image_tokens":40},"output_tokens":50,"total_tokens":150}}"#,
        ],
        ..CHAT
    },
    Row {
        api: "OpenAI images, stream",
        dialect: Dialect::OpenaiResponses,
        cached: Part::Untold,
        reasoning: Part::Untold,
        answer: &[
            r#"{"type":"image_generation.partial_image","b64_json":"AAAA","partial_image_index":0}"#,
            r#"{"type":"image_generation.completed","b64_json":"AAAA","usage":{"input_tokens":100,"input_tokens_details":{"text_tokens":60,"image_tokens":40},"output_tokens":50,"total_tokens":150}}"#,
        ],
        ..CHAT
    },
    Row {
        api: "Azure OpenAI, stream",
        answer: &[
            r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"prompt_tokens_details":{"cached_tokens":60},"completion_tokens_details":{"reasoning_tokens":30}}}"#,
            "[DONE]",
        ],
        ..CHAT
    },
    Row {
        api: "Anthropic messages",
        dialect: Dialect::AnthropicMessages,
        cached: Part::Beside(60),
        reasoning: Part::Untold,
        answer: &[
            r#"{"type":"message","id":"m","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":100,"cache_read_input_tokens":60,"output_tokens":50}}"#,
        ],
        ..CHAT
    },
    Row {
        api: "Anthropic messages, stream",
        dialect: Dialect::AnthropicMessages,
        cached: Part::Beside(60),
        reasoning: Part::Untold,
        reports: Reports::Cumulative,
        answer: &[
            r#"{"type":"message_start","message":{"id":"m","usage":{"input_tokens":90,"cache_read_input_tokens":60,"output_tokens":1}}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":100,"output_tokens":50}}"#,
            r#"{"type":"message_stop"}"#,
        ],
        ..CHAT
    },
    Row {
        api: "Gemini",
        dialect: Dialect::GeminiGenerate,
        reasoning: Part::Beside(30),
        answer: &[
            r#"{"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":60,"candidatesTokenCount":50,"thoughtsTokenCount":30,"totalTokenCount":180}}"#,
        ],
        ..CHAT
    },
    Row {
        api: "Gemini, stream",
        dialect: Dialect::GeminiGenerate,
        reasoning: Part::Beside(30),
        reports: Reports::Cumulative,
        answer: &[
            r#"{"candidates":[{"content":{"parts":[{"text":"h"}]}}],"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":60,"thoughtsTokenCount":30,"totalTokenCount":130}}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"i"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":60,"candidatesTokenCount":50,"thoughtsTokenCount":30,"totalTokenCount":180}}"#,
        ],
        ..CHAT
    },
    Row {
        api: "Mistral, stream",
        cached: Part::Untold,
        reasoning: Part::Untold,
        answer: &[
            r#"{"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150}}"#,
            "[DONE]",
        ],
        ..CHAT
    },
    Row {
        api: "Groq, stream",
        cached: Part::Untold,
        reasoning: Part::Untold,
        answer: &[
            r#"{"choices":[{"index":0,"delta":{"content":"hi"}}],"x_groq":{"id":"q"}}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"q","usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150}}}"#,
            "[DONE]",
        ],
        ..CHAT
    },
    Row {
        api: "DeepSeek, stream",
        reasoning: Part::Inside(30),
        answer: &[
            r#"{"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"prompt_cache_hit_tokens":60,"prompt_cache_miss_tokens":40,"completion_tokens_details":{"reasoning_tokens":30}}}"#,
            "[DONE]",
        ],
        ..CHAT
    },
    Row {
        api: "Perplexity, stream",
        cached: Part::Untold,
        reasoning: Part::Untold,
        reports: Reports::Cumulative,
        answer: &[
            r#"{"choices":[{"index":0,"delta":{"content":"h"}}],"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120}}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"i"},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"cost":{"total_cost":0.01}}}"#,
        ],
        ..CHAT
    },
    Row {
        api: "Cohere (OpenAI's dialect), stream",
        cached: Part::Untold,
        reasoning: Part::Untold,
        answer: &[
            r#"{"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"COMPLETE"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150}}"#,
            "[DONE]",
        ],
        ..CHAT
    },
    Row {
        api: "xAI",
        reasoning: Part::ByTotal(30),
        answer: &[
            r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":180,"prompt_tokens_details":{"cached_tokens":60},"completion_tokens_details":{"reasoning_tokens":30}}}"#,
        ],
        ..CHAT
    },
    Row {
        api: "OpenRouter, stream",
        answer: &[
            r#"{"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":""}}],"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"cost":0.01,"prompt_tokens_details":{"cached_tokens":60},"completion_tokens_details":{"reasoning_tokens":30}}}"#,
            "[DONE]",
        ],
        ..CHAT
    },
    Row {
        api: "vLLM (continuous usage), stream",
        cached: Part::Untold,
        reasoning: Part::Untold,
        reports: Reports::Cumulative,
        answer: &[
            r#"{"choices":[{"index":0,"delta":{"content":"h"}}],"usage":{"prompt_tokens":100,"completion_tokens":1,"total_tokens":101}}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"i"},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":49,"total_tokens":149}}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150}}"#,
            "[DONE]",
        ],
        ..CHAT
    },
    Row {
        api: "Ollama (OpenAI's dialect), stream",
        cached: Part::Untold,
        reasoning: Part::Untold,
        answer: &[
            r#"{"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150}}"#,
            "[DONE]",
        ],
        ..CHAT
    },
    Row {
        api: "compatible relays",
        cached: Part::ByTotal(60),
        answer: &[
            r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":210,"prompt_tokens_details":{"cached_tokens":60},"completion_tokens_details":{"reasoning_tokens":30}}}"#,
        ],
        ..CHAT
    },
];

/// What the answer's usage is read as.
fn read(row: &Row) -> narrows_meter::Usage {
    if let [body] = row.answer {
        let answer = unary::read(row.dialect, body.as_bytes());
        assert!(!answer.anomaly, "{}", row.api);
        return answer.usage;
    }
    let stream: String = row.answer.iter().map(|event| format!("data: {event}\n\n")).collect();
    let (outcome, _) = decode(row.dialect, false, std::iter::once(stream.as_bytes()));
    assert!(!outcome.anomaly, "{}", row.api);
    outcome.usage
}

#[test]
fn figures_mean_what_the_table_says() {
    for row in ROWS {
        let usage = read(row);
        assert_eq!(usage.input(), row.prompt.map(|prompt| prompt + row.cached.beside()), "{}", row.api);
        assert_eq!(
            usage.output(),
            row.completion.map(|completion| completion + row.reasoning.beside()),
            "{}",
            row.api
        );
        if row.cached != Part::Untold {
            assert_eq!(usage.cache_read, Some(60), "{}", row.api);
        }
        if row.reasoning != Part::Untold {
            assert_eq!(usage.reasoning, Some(30), "{}", row.api);
        }
    }
}

#[test]
fn the_page_says_what_is_tested() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/usage.md");
    let page = std::fs::read_to_string(path).unwrap();
    let table = page.split("<!-- apis -->").nth(1).expect("the table stands between two marks");
    let lines: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let told: BTreeSet<_> = lines.iter().map(|cells| cells[1]).collect();
    let tested: BTreeSet<_> = ROWS.iter().map(|row| row.api).collect();
    assert_eq!(told, tested);
    for row in ROWS {
        let cells = lines.iter().find(|cells| cells[1] == row.api).unwrap();
        let reports = match row.reports {
            Reports::Once => "once",
            Reports::Cumulative => "cumulative",
        };
        assert!(!cells[2].is_empty(), "{}: where usage stands", row.api);
        assert_eq!(cells[3..6], [row.cached.word(), row.reasoning.word(), reports], "{}", row.api);
    }
}
