//! The document as it is in force: for people, and as a hash.

use super::tree::{Content, Node};
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

/// A number for this content, the same on every machine: the first eight bytes of the SHA-256 of its JSON with keys
/// in order. Secrets stand in it as `[redacted]`, so it does not change when only they do.
pub(super) fn hash(shown: &Json) -> u64 {
    let mut text = String::new();
    write_ordered(shown, &mut text);
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn write_ordered(value: &Json, out: &mut String) {
    match value {
        Json::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (key, value) in entries {
                out.push_str(&Json::from(key.as_str()).to_string());
                out.push(':');
                write_ordered(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Json::Array(items) => {
            out.push('[');
            for item in items {
                write_ordered(item, out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// Puts templates (`${VAR}`) back in the place of what they expanded to, so that no value of the environment shows.
pub(super) fn with_templates(shown: &mut Json, node: &Node) {
    match (&node.content, shown) {
        (Content::Scalar(scalar), shown) => {
            if let Some(template) = &scalar.template
                && shown.as_str() != Some(super::secret::REDACTED)
            {
                *shown = Json::from(template.as_str());
            }
        }
        (Content::List(nodes), Json::Array(items)) => {
            for (node, item) in nodes.iter().zip(items) {
                with_templates(item, node);
            }
        }
        (Content::Map(entries), Json::Object(object)) => restore_entries(entries, object),
        _ => {}
    }
}

fn restore_entries(entries: &[(super::tree::Key, Node)], object: &mut Map<String, Json>) {
    for (key, node) in entries {
        if let Some(shown) = object.get_mut(&key.text) {
            with_templates(shown, node);
        }
    }
}

/// Writes JSON as YAML in block style.
pub(super) fn to_yaml(value: &Json) -> String {
    let mut out = String::new();
    write_yaml(value, 0, &mut out);
    out
}

fn write_yaml(value: &Json, indent: usize, out: &mut String) {
    match value {
        Json::Object(object) => {
            for (key, value) in object {
                out.push_str(&" ".repeat(indent));
                out.push_str(&scalar(key));
                out.push(':');
                write_below(value, indent, out);
            }
        }
        Json::Array(items) => {
            for item in items {
                out.push_str(&" ".repeat(indent));
                out.push('-');
                write_below(item, indent, out);
            }
        }
        _ => {}
    }
}

fn write_below(value: &Json, indent: usize, out: &mut String) {
    match value {
        Json::Object(object) if object.is_empty() => out.push_str(" {}\n"),
        Json::Array(items) if items.is_empty() => out.push_str(" []\n"),
        Json::Object(_) | Json::Array(_) => {
            out.push('\n');
            write_yaml(value, indent + 2, out);
        }
        Json::String(text) => {
            out.push(' ');
            out.push_str(&scalar(text));
            out.push('\n');
        }
        other => {
            out.push(' ');
            out.push_str(&other.to_string());
            out.push('\n');
        }
    }
}

/// A scalar as YAML: plain where that is safe, else quoted as JSON (which YAML reads).
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && !matches!(text, "true" | "false" | "null" | "yes" | "no" | "on");
    if plain { text.to_owned() } else { Json::from(text).to_string() }
}
