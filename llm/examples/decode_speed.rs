//! Nanoseconds per event of each dialect's decoder. Run by hand: `cargo run --release -p narrows-llm --example decode_speed`.

#![expect(clippy::print_stdout, reason = "a measurement prints")]

use bytes::Bytes;
use narrows_llm::Dialect;
use narrows_llm::stream::{StreamDecoder, StreamOptions};
use narrows_sse::Framer;
use std::hint::black_box;
use std::time::Instant;

const EVENTS: usize = 2000;
const ROUNDS: usize = 15;

fn content(dialect: Dialect, number: usize) -> String {
    let text = ["Hello", " there", ", the", " quick", " brown", " fox"][number % 6];
    match dialect {
        Dialect::OpenaiCompletions => format!(
            "data: {{\"id\":\"cmpl-9QzV2\",\"object\":\"text_completion\",\"created\":1700000000,\"choices\":[{{\"text\":\"{text}\",\"index\":0,\"logprobs\":null,\"finish_reason\":null}}],\"model\":\"gpt-3.5-turbo-instruct\"}}\n\n"
        ),
        Dialect::OpenaiResponses => format!(
            "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"sequence_number\":{number},\"item_id\":\"msg_68a1b2c3d4e5f60718293a4b5c6d7e8f\",\"output_index\":0,\"content_index\":0,\"delta\":\"{text}\",\"logprobs\":[],\"obfuscation\":\"aB3kD9zQ\"}}\n\n"
        ),
        Dialect::AnthropicMessages => format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}      }}\n\n"
        ),
        Dialect::GeminiGenerate => format!(
            "data: {{\"candidates\": [{{\"content\": {{\"parts\": [{{\"text\": \"{}\"}}],\"role\": \"model\"}},\"index\": 0}}],\"usageMetadata\": {{\"promptTokenCount\": 8,\"candidatesTokenCount\": {number},\"totalTokenCount\": {},\"promptTokensDetails\": [{{\"modality\": \"TEXT\",\"tokenCount\": 8}}]}},\"modelVersion\": \"gemini-2.5-flash\",\"responseId\": \"abc\"}}\r\n\r\n",
            text.repeat(20),
            number + 8
        ),
        _ => format!(
            "data: {{\"id\":\"chatcmpl-9QzV2bYx7cT\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o-2024-08-06\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_07871e2ad8\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"logprobs\":null,\"finish_reason\":null}}],\"usage\":null,\"obfuscation\":\"aB3kD9zQ\"}}\n\n"
        ),
    }
}

/// The best round, in nanoseconds per event.
fn best(mut round: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        round();
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / EVENTS as f64);
    }
    best
}

fn main() {
    println!(
        "{:<20} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "dialect", "B/event", "framing", "decode", "hiding", "1460 B", "hearing"
    );
    for dialect in [
        Dialect::OpenaiChat,
        Dialect::OpenaiCompletions,
        Dialect::OpenaiResponses,
        Dialect::AnthropicMessages,
        Dialect::GeminiGenerate,
    ] {
        let events: Vec<Bytes> = (0..EVENTS).map(|number| Bytes::from(content(dialect, number))).collect();
        let stream = Bytes::from(events.concat());
        let packets: Vec<Bytes> = (0..stream.len())
            .step_by(1460)
            .map(|at| stream.slice(at..(at + 1460).min(stream.len())))
            .collect();
        let decode = |chunks: &[Bytes], hide_usage, hear| {
            best(|| {
                let mut decoder = StreamDecoder::new(dialect, StreamOptions { hide_usage, hear });
                for chunk in chunks {
                    decoder.push(chunk.clone(), &mut |bytes| {
                        black_box(&bytes);
                    });
                }
                black_box(decoder.finish(&mut |_| ()));
            })
        };
        let framing = best(|| {
            let mut framer = Framer::new();
            for event in &events {
                framer.push(event, &mut |frame| {
                    black_box(frame.data());
                });
            }
        });
        println!(
            "{:<20} {:>8} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1}",
            dialect.as_str(),
            stream.len() / EVENTS,
            framing,
            decode(&events, false, false),
            decode(&events, true, false),
            decode(&packets, false, false),
            decode(&events, false, true),
        );
    }
}
