//! Repeats one operation, for counting its instructions:
//! `valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/answer_cost unary 2000`, minus the
//! same with 0, divided by 2000. Without arguments it lists the operations.

#![expect(clippy::print_stdout, reason = "a measurement prints")]

use bytes::Bytes;
use narrows_llm::Dialect;
use narrows_llm::endpoint::{Operation, recognize};
use narrows_llm::provider::{Ask, Provider, Targets, target};
use narrows_llm::stream::{StreamDecoder, StreamOptions};
use narrows_llm::unary;
use std::hint::black_box;

fn chat() -> Vec<u8> {
    let text = "The quick brown fox jumps over the lazy dog, and nobody minds at all.\\n".repeat(8);
    format!(
        "{{\"id\":\"chatcmpl-9QzV2bYx7cT\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"gpt-4o-2024-08-06\",\
         \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\",\"refusal\":null,\
         \"annotations\":[]}},\"logprobs\":null,\"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":19,\
         \"completion_tokens\":142,\"total_tokens\":161,\"prompt_tokens_details\":{{\"cached_tokens\":0,\"audio_tokens\":0}},\
         \"completion_tokens_details\":{{\"reasoning_tokens\":0,\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\
         \"rejected_prediction_tokens\":0}}}},\"service_tier\":\"default\",\"system_fingerprint\":\"fp_07871e2ad8\"}}"
    )
    .into_bytes()
}

fn anthropic() -> Vec<u8> {
    let text = "The quick brown fox jumps over the lazy dog, and nobody minds at all.\\n".repeat(8);
    format!(
        "{{\"id\":\"msg_013Zva2CMHLNnXjNJJKqJ2EF\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-4\",\
         \"content\":[{{\"type\":\"text\",\"text\":\"{text}\"}}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\
         \"usage\":{{\"input_tokens\":2095,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\
         \"cache_creation\":{{\"ephemeral_5m_input_tokens\":0,\"ephemeral_1h_input_tokens\":0}},\"output_tokens\":503,\
         \"service_tier\":\"standard\"}}}}"
    )
    .into_bytes()
}

fn gemini() -> Vec<u8> {
    let text = "The quick brown fox jumps over the lazy dog, and nobody minds at all.\\n".repeat(8);
    format!(
        "{{\n  \"candidates\": [\n    {{\n      \"content\": {{\n        \"parts\": [\n          {{\n            \"text\": \"{text}\"\n          }}\n        ],\n        \
         \"role\": \"model\"\n      }},\n      \"finishReason\": \"STOP\",\n      \"index\": 0\n    }}\n  ],\n  \"usageMetadata\": {{\n    \
         \"promptTokenCount\": 8,\n    \"candidatesTokenCount\": 40,\n    \"totalTokenCount\": 48,\n    \"promptTokensDetails\": [\n      {{\n        \
         \"modality\": \"TEXT\",\n        \"tokenCount\": 8\n      }}\n    ]\n  }},\n  \"modelVersion\": \"gemini-2.5-flash\",\n  \"responseId\": \"abc\"\n}}"
    )
    .into_bytes()
}

fn event(dialect: Dialect, number: usize) -> String {
    let text = ["Hello", " there", ", the", " quick", " brown", " fox"][number % 6];
    match dialect {
        Dialect::AnthropicMessages => format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}{}}}\n\n",
            " ".repeat(number % 9)
        ),
        Dialect::GeminiGenerate => format!(
            "data: {{\"candidates\": [{{\"content\": {{\"parts\": [{{\"text\": \"{}\"}}],\"role\": \"model\"}},\"index\": 0}}],\"usageMetadata\": {{\"promptTokenCount\": 8,\"candidatesTokenCount\": {number},\"totalTokenCount\": {},\"promptTokensDetails\": [{{\"modality\": \"TEXT\",\"tokenCount\": 8}}]}},\"modelVersion\": \"gemini-2.5-flash\",\"responseId\": \"abc\"}}\r\n\r\n",
            text.repeat(20),
            number + 8
        ),
        _ => format!(
            "data: {{\"id\":\"chatcmpl-9QzV2bYx7cT\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o-2024-08-06\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_07871e2ad8\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"logprobs\":null,\"finish_reason\":null}}],\"usage\":null,\"obfuscation\":\"{}\"}}\n\n",
            &"aB3kD9zQxY7"[number % 7..]
        ),
    }
}

fn stream(dialect: Dialect, repeat: usize) {
    let events: Vec<Bytes> = (0..6 * 7 * 9).map(|number| Bytes::from(event(dialect, number))).collect();
    let mut decoder = StreamDecoder::new(dialect, StreamOptions::default());
    for event in events.iter().cycle().take(repeat) {
        decoder.push(event.clone(), &mut |bytes| {
            black_box(&bytes);
        });
    }
    black_box(decoder.progress());
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let repeat = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(0);
    let read = |dialect, body: Vec<u8>| {
        for _ in 0..repeat {
            black_box(unary::read(dialect, black_box(&body)));
        }
    };
    let find = |method: &str, path: &str| {
        for _ in 0..repeat {
            let _ = black_box(recognize(black_box(method), black_box(path)));
        }
    };
    let ask = |kind: &str, base: &str, dialect, prepared: bool| {
        let ask = Ask {
            operation: Operation::Generate,
            dialect,
            model: Some("gemini-2.5-flash"),
            stream: true,
            query: "",
            api_version: None,
        };
        let Some(provider) = Provider::of_kind(kind) else { return };
        let targets = Targets::new(provider, base);
        for _ in 0..repeat {
            let _ = black_box(if prepared {
                black_box(&targets).target(black_box(&ask))
            } else {
                target(black_box(provider), black_box(base), black_box(&ask))
            });
        }
    };
    match what.as_str() {
        "unary" => read(Dialect::OpenaiChat, chat()),
        "unary-anthropic" => read(Dialect::AnthropicMessages, anthropic()),
        "unary-gemini" => read(Dialect::GeminiGenerate, gemini()),
        "recognize" => find("POST", "/v1/chat/completions"),
        "recognize-prefix" => find("POST", "/openai/v1/chat/completions"),
        "recognize-messages" => find("POST", "/anthropic/v1/messages"),
        "recognize-gemini" => find("POST", "/v1beta/models/gemini-2.5-flash:streamGenerateContent"),
        "target" => ask("openai", "/v1", Dialect::OpenaiChat, false),
        "target-gemini" => ask("gemini", "/v1beta", Dialect::GeminiGenerate, false),
        "targets" => ask("openai", "/v1", Dialect::OpenaiChat, true),
        "targets-gemini" => ask("gemini", "/v1beta", Dialect::GeminiGenerate, true),
        "stream-chat" => stream(Dialect::OpenaiChat, repeat),
        "stream-anthropic" => stream(Dialect::AnthropicMessages, repeat),
        "stream-gemini" => stream(Dialect::GeminiGenerate, repeat),
        _ => println!(
            "unary, unary-anthropic, unary-gemini, recognize, recognize-prefix, recognize-messages, recognize-gemini, \
             target, target-gemini, targets, targets-gemini, stream-chat, stream-anthropic, stream-gemini; and how often"
        ),
    }
}
