//! Events of Anthropic's messages.

use super::{Block, Borrowed, Ended, Give, Kind, Shape, Words};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
pub(super) struct Message<'d> {
    #[serde(default, borrow, rename = "type")]
    kind: Option<Borrowed<'d>>,
    #[serde(default)]
    index: u32,
    #[serde(default, borrow)]
    delta: Option<MessageDelta<'d>>,
    #[serde(default, borrow)]
    content_block: Option<ContentBlock<'d>>,
}

#[derive(Deserialize)]
struct MessageDelta<'d> {
    #[serde(default, borrow)]
    text: Words<'d>,
    #[serde(default, borrow)]
    thinking: Words<'d>,
    #[serde(default, borrow)]
    partial_json: Words<'d>,
    /// What a conversation was shortened to (`compaction_delta`).
    #[serde(default, borrow)]
    content: Option<&'d RawValue>,
}

/// A block begins, some of them whole: results of the provider's own tools.
#[derive(Deserialize)]
struct ContentBlock<'d> {
    #[serde(default, borrow)]
    text: Words<'d>,
    #[serde(default, borrow)]
    thinking: Words<'d>,
    #[serde(default, borrow)]
    content: Option<&'d RawValue>,
}

impl Message<'_> {
    pub(super) fn give(self, to: &mut Give<'_, '_>) {
        let block = |kind| Block { outer: self.index, inner: 0, kind, shape: Shape::Content };
        if let Some(begun) = &self.content_block {
            to.words(&begun.text, block(Kind::Text));
            to.words(&begun.thinking, block(Kind::Reasoning));
            if let Some(content) = begun.content {
                to.value(content.get(), block(Kind::ToolResult));
            }
        }
        if let Some(delta) = &self.delta {
            to.words(&delta.text, block(Kind::Text));
            to.words(&delta.thinking, block(Kind::Reasoning));
            to.words(&delta.partial_json, block(Kind::Arguments));
            if let Some(content) = delta.content.filter(|content| content.get().starts_with('"')) {
                to.value(content.get(), block(Kind::Text));
            }
        }
        match self.kind.as_ref().map(|Borrowed(name)| &**name) {
            Some("content_block_stop") => to.ended(Ended::Outer(self.index)),
            Some("message_stop") => to.ended(Ended::All),
            _ => {}
        }
    }
}
