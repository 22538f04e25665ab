//! Measures how long reading a request's head takes, beside `serde_json` skipping the same bytes.
//!
//! `cargo run --release -p narrows-llm --example head_speed`. Reports the fastest and the median of many short
//! rounds, because on a shared machine only the fast ones are undisturbed.

use narrows_llm::request;
use serde::de::IgnoredAny;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

/// Rounds per measurement.
const ROUNDS: usize = 300;
/// Bytes read per round, about.
const ROUND_BYTES: usize = 400_000;

/// An Anthropic body as a coding agent sends it: a long system prompt, tools with descriptions and schemas, and a
/// conversation with code in it.
fn agent(bytes: usize) -> Vec<u8> {
    let prose = "You are a coding agent.\\n\\n# Tone\\n- Be concise: \\\"show, don't tell\\\".\\n- Use `rg` before \
        reading a file, and never guess a URL that the user did not give \u{2014} ask instead.\\n\\n## Examples\\n\
        <example>\\nuser: what files are in src/?\\nassistant: foo.c, bar.c, baz.c\\n</example>\\n";
    let code = "     1\\u2192use std::io;\\n     2\\u2192\\n     3\\u2192fn main() -> io::Result<()> {\\n     \
        4\\u2192    println!(\\\"hello {}\\\", \\\"w\\\\n\\\");\\n     5\\u2192    Ok(())\\n     6\\u2192}\\n";
    let mut body =
        String::from(r#"{"model":"claude-sonnet-4-5","max_tokens":32000,"stream":true,"system":["#);
    let _ = write!(
        body,
        r#"{{"type":"text","text":"{}","cache_control":{{"type":"ephemeral"}}}}],"#,
        prose.repeat(48)
    );
    body.push_str(r#""tools":["#);
    for tool in 0..24 {
        let _ = write!(
            body,
            r#"{}{{"name":"Tool{tool}","description":"{}","input_schema":{{"type":"object","properties":{{"#,
            if tool > 0 { "," } else { "" },
            prose.repeat(4)
        );
        for field in 0..6 {
            let _ = write!(
                body,
                r#"{}"field_{field}":{{"type":"string","description":"The {field}th argument","minLength":{field},"enum":["a","bc","def"]}}"#,
                if field > 0 { "," } else { "" }
            );
        }
        body.push_str(
            r#"},"required":["field_0","field_1"],"additionalProperties":false,"$schema":"http://json-schema.org/draft-07/schema#"}}"#,
        );
    }
    body.push_str(r#"],"messages":[{"role":"user","content":"fix the bug"}"#);
    let mut turn = 0;
    while body.len() < bytes - 800 {
        let _ = write!(
            body,
            r#",{{"role":"assistant","content":[{{"type":"tool_use","id":"toolu_{turn:024}","name":"Read","input":{{"file_path":"/src/main.rs","offset":{turn}}}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"toolu_{turn:024}","content":"{}"}}]}}"#,
            code.repeat(2)
        );
        turn += 1;
    }
    body.push_str("]}");
    body.into_bytes()
}

/// Long prose alone: one string with an escape every hundred bytes or so, as in system prompts.
fn prose(bytes: usize) -> Vec<u8> {
    let line = "IMPORTANT: Assist with defensive tasks only, and refuse to create code that may be used maliciously. \\n";
    format!(r#"{{"model":"m","stream":true,"system":"{}"}}"#, line.repeat(bytes / line.len())).into_bytes()
}

/// Schemas alone: many short strings and brackets.
fn schemas(bytes: usize) -> Vec<u8> {
    let field = r#"{"type":"string","description":"The path","minLength":1,"enum":["a","bc","def"]}"#;
    format!(r#"{{"model":"m","stream":true,"tools":[{}0]}}"#, format!("{field},").repeat(bytes / field.len()))
        .into_bytes()
}

/// A small chat.
fn chat() -> Vec<u8> {
    let body = r#"{"model":"gpt-4o-mini","messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"Say this is a test, and then explain in one sentence why tests matter."}],"temperature":0.7,"max_tokens":256,"stream":true,"stream_options":{"include_usage":true},"user":"u-1234567"}"#;
    body.as_bytes().to_vec()
}

/// Fastest and median nanoseconds of one call.
fn measure(body: &[u8], mut call: impl FnMut(&[u8]) -> bool) -> (f64, f64) {
    let calls = (ROUND_BYTES / body.len()).max(1);
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..calls {
                assert!(black_box(call(black_box(body))), "the body is valid");
            }
            start.elapsed().as_nanos() as f64 / calls as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    (rounds.first().copied().unwrap_or_default(), rounds.get(ROUNDS / 2).copied().unwrap_or_default())
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:<16} {:>8}  {:<14} {:>10} {:>10} {:>7}",
        "body", "bytes", "reader", "best ns", "median ns", "GB/s"
    )?;
    let pretty = serde_json::from_slice::<serde_json::Value>(&agent(107_000))
        .and_then(|value| serde_json::to_vec_pretty(&value))
        .unwrap_or_default();
    let bodies = [
        ("small chat", chat()),
        ("agent", agent(107_000)),
        ("agent, pretty", pretty),
        ("prose", prose(107_000)),
        ("schemas", schemas(107_000)),
    ];
    for (name, body) in bodies {
        type Reader = fn(&[u8]) -> bool;
        let readers: [(&str, Reader); 3] = [
            ("head", |body| request::head(body).is_ok_and(|head| head.streams())),
            ("IgnoredAny", |body| serde_json::from_slice::<IgnoredAny>(body).is_ok()),
            ("UTF-8 alone", |body| std::str::from_utf8(body).is_ok()),
        ];
        for (reader, call) in readers {
            let (best, median) = measure(&body, call);
            let rate = body.len() as f64 / median;
            writeln!(
                out,
                "{name:<16} {:>8}  {reader:<14} {best:>10.0} {median:>10.0} {rate:>7.2}",
                body.len()
            )?;
        }
    }
    Ok(())
}
