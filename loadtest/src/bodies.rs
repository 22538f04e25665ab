//! Request bodies of realistic size and grain.

use serde_json::{Value, json};

/// Size of an agent's request, in bytes, reached by growing its history.
const AGENT_BYTES: usize = 107_000;

/// Code with what JSON has to escape: quotes, backslashes, newlines, tabs, and characters beyond ASCII.
const CODE: &str = "fn parse(input: &str) -> Result<Vec<Token>, Error> {\n\tlet mut out = Vec::new();\n\t\
    for (row, line) in input.lines().enumerate() {\n\t\tif line.starts_with(\"#\") || line.is_empty() {\n\t\t\t\
    continue; // naïve → fine for \"café\" lines\n\t\t}\n\t\tlet (key, value) = line.split_once('=')\n\t\t\t\
    .ok_or_else(|| Error::new(format!(\"line {row}: no `=` in {line:?}\\n\")))?;\n\t\t\
    out.push(Token { path: r\"C:\\work\\src\".into(), key: key.trim().into(), value: value.trim().into() });\n\t}\n\t\
    Ok(out)\n}\n";

/// Instructions of the kind that agents carry.
const PROMPT: &str = "You are a coding agent that works in a terminal. Read before you write. Prefer small changes \
    and run the tests after each. Never print secrets. When you are unsure, say so and ask.\n\n## Tools\n- Use \
    `read_file` before `edit_file`; quote paths with spaces (\"like this\").\n- Paths are absolute.\n";

/// The model that [`small_chat`] asks for.
pub const SMALL_MODEL: &str = "gpt-5-mini";

/// A chat of about 0.3 KB, streamed (with usage asked for) or not.
pub fn small_chat(stream: bool) -> String {
    let mut body = json!({
        "model": SMALL_MODEL,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant. Answer briefly and name your sources."},
            {"role": "user", "content": "What is the difference between a reverse proxy and a gateway, and when \
                would one pick which? Two sentences, please."},
        ],
        "temperature": 0.2,
        "max_completion_tokens": 256,
    });
    if stream {
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
    }
    body.to_string()
}

/// A coding agent's `/v1/chat/completions` request: prompt, tools and a long history, 107 KB.
pub fn agent_chat() -> String {
    let tools: Vec<Value> = (0..TOOLS)
        .map(|index| {
            json!({"type": "function", "function": {"name": tool_name(index), "description": describe(index),
                "parameters": schema(index), "strict": false}})
        })
        .collect();
    let mut messages = vec![json!({"role": "system", "content": PROMPT.repeat(24)})];
    let turn = |index: usize| {
        let arguments =
            json!({"path": format!("/work/src/module_{index}.rs"), "offset": index * 40, "limit": 200});
        vec![
            json!({"role": "user", "content": format!("Now look at module {index} and tell me what \"parse\" does.")}),
            json!({"role": "assistant", "content": null, "tool_calls": [{"id": format!("call_{index:024}"),
                "type": "function", "function": {"name": tool_name(index), "arguments": arguments.to_string()}}]}),
            json!({"role": "tool", "tool_call_id": format!("call_{index:024}"), "content": CODE.repeat(3)}),
            json!({"role": "assistant", "content": format!("It reads `key=value` lines; row {index} is new.\n{CODE}")}),
        ]
    };
    grow(&mut messages, turn, |messages| {
        json!({"model": "gpt-5", "messages": messages, "tools": tools, "tool_choice": "auto",
            "parallel_tool_calls": true, "max_completion_tokens": 8192})
        .to_string()
    })
}

/// A coding agent's `/v1/messages` request, streamed: prompt, tools and a long history, 107 KB.
pub fn agent_messages() -> String {
    let tools: Vec<Value> = (0..TOOLS)
        .map(|index| {
            json!({"name": tool_name(index), "description": describe(index), "input_schema": schema(index)})
        })
        .collect();
    let mut messages = Vec::new();
    let turn = |index: usize| {
        let id = format!("toolu_{index:020}");
        let input =
            json!({"path": format!("/work/src/module_{index}.rs"), "offset": index * 40, "limit": 200});
        vec![
            json!({"role": "assistant", "content": [
                {"type": "text", "text": format!("Row {index}: `key=value` lines.\n{CODE}")},
                {"type": "tool_use", "id": id, "name": tool_name(index), "input": input}]}),
            json!({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": CODE.repeat(3)}]},
                {"type": "text", "text": "Now look at the next module and tell me what \"parse\" does."}]}),
        ]
    };
    grow(&mut messages, turn, |messages| {
        json!({"model": "claude-sonnet-4-5", "max_tokens": 8192, "stream": true,
            "system": [{"type": "text", "text": PROMPT.repeat(24), "cache_control": {"type": "ephemeral"}}],
            "messages": messages, "tools": tools, "metadata": {"user_id": "user_0123_account__session_4567"}})
        .to_string()
    })
}

/// Tools an agent declares.
const TOOLS: usize = 24;

fn tool_name(index: usize) -> String {
    let verbs = ["read", "edit", "list", "search", "run", "fetch"];
    let nouns = ["file", "folder", "symbol", "process"];
    format!("{}_{}", verbs[index % verbs.len()], nouns[(index / verbs.len()) % nouns.len()])
}

fn describe(index: usize) -> String {
    format!(
        "Tool {index}. {}",
        "Works on absolute paths only; returns at most 2,000 lines, each \"cut\" after 2,000 characters.\n"
            .repeat(5)
    )
}

fn schema(index: usize) -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["path"],
        "properties": {
            "path": {"type": "string", "description": "Absolute path (\"/like/this\") of what to work on"},
            "offset": {"type": "integer", "minimum": 0, "description": "First line, counted from zero"},
            "limit": {"type": "integer", "maximum": 2000 + index, "description": "Most lines to return"},
            "mode": {"type": "string", "enum": ["plain", "regex", "glob"], "default": "plain"},
            "edits": {"type": "array", "maxItems": 64, "items": {"type": "object", "required": ["old", "new"],
                "properties": {"old": {"type": "string"}, "new": {"type": "string"}}}},
        },
    })
}

/// Adds turns until the rendered body has its size.
fn grow(
    messages: &mut Vec<Value>,
    turn: impl Fn(usize) -> Vec<Value>,
    render: impl Fn(&[Value]) -> String,
) -> String {
    let mut index = 0;
    loop {
        let body = render(messages);
        if body.len() >= AGENT_BYTES {
            return body;
        }
        messages.extend(turn(index));
        index += 1;
    }
}
