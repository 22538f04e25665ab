//! Events of a stream, as little of them as tests need.

use serde_json::Value;

/// The stream's events, each with the blank line that ends it.
pub(crate) fn events(stream: &[u8]) -> Vec<String> {
    let text = String::from_utf8(stream.to_vec()).unwrap();
    let end = if text.contains("\r\n\r\n") { "\r\n\r\n" } else { "\n\n" };
    text.split_inclusive(end).map(str::to_owned).collect()
}

/// The JSON of an event.
pub(crate) fn data(event: &str) -> Option<Value> {
    let line = event.lines().find_map(|line| line.strip_prefix("data: "))?;
    serde_json::from_str(line).ok()
}
