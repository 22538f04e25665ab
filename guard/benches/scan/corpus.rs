//! Texts as agents send them: this repository's own sources and documentation.

use std::fmt::Write;
use std::path::Path;

/// All sources and documents under a directory, in a fixed order, without the rules: they hold every word that is looked
/// for, and no agent sends them.
fn files(directory: &Path, out: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" && name != "rules" {
            files(&path, out);
        } else if name.ends_with(".rs") || name.ends_with(".md") || name.ends_with(".toml") {
            out.extend(std::fs::read_to_string(&path));
        }
    }
}

/// The files, in an order that mixes them.
fn mixed() -> Vec<String> {
    let mut all = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut all);
    let count = all.len().max(1);
    (0..count).filter_map(|at| all.get(at * 37 % count).cloned()).collect()
}

/// At least so many bytes of text, if there are files at all, with something to be found every twenty kilobytes or so.
pub(crate) fn text(bytes: usize) -> String {
    let files = mixed();
    let mut out = String::with_capacity(bytes + (1 << 20));
    while out.len() < bytes && !files.is_empty() {
        for file in &files {
            out.push_str(file);
            if out.len().is_multiple_of(3) {
                out.push_str("\nmail ann.smith@example.org, card 4111 1111 1111 1111\n");
            }
        }
    }
    out
}

/// A conversation of about so many bytes, as JSON: prompts, tool calls and tool results in turn.
pub(crate) fn conversation(bytes: usize) -> String {
    let mut out = String::from("{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[");
    let escape = |text: &str| {
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
            .replace('\t', "\\t")
            .replace('\r', "\\r")
    };
    for (number, file) in mixed().iter().enumerate() {
        if out.len() >= bytes {
            break;
        }
        let part: String = file.chars().take(4_000).collect();
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(
            out,
            "{comma}{{\"role\":\"assistant\",\"content\":[{{\"type\":\"text\",\"text\":\"I will look at it.\"}},\
             {{\"type\":\"tool_use\",\"id\":\"toolu_{number}\",\"name\":\"Read\",\"input\":{{\"file_path\":\"/src/{number}.rs\"}}}}]}},\
             {{\"role\":\"user\",\"content\":[{{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_{number}\",\"content\":\"{}\"}}]}}",
            escape(&part)
        );
    }
    out.push_str("]}");
    out
}
