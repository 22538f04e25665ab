//! The texts of a stream, kept until it ends, for guardrails that are asked then.

use narrows_guard::Provenance;
use narrows_guard::body::{Passage, Passages};
use narrows_llm::deltas::{Block, Kind};
use narrows_policy::{Coverage, Gap};
use std::collections::BTreeMap;

/// Most text of one stream that is kept, in bytes. What is longer is not shown to guardrails: that is no verdict.
pub(super) const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// The texts so far; nothing is kept where nobody asks for them.
#[derive(Default)]
pub(super) struct Kept {
    texts: Option<BTreeMap<Block, String>>,
    bytes: usize,
    is_full: bool,
}

impl Kept {
    /// Keeps texts if they are asked for.
    pub(super) fn new(is_asked: bool) -> Kept {
        Kept { texts: is_asked.then(BTreeMap::new), ..Kept::default() }
    }

    /// Takes a piece of a text.
    pub(super) fn push(&mut self, block: Block, text: &str) {
        let Some(texts) = &mut self.texts else { return };
        if self.is_full || self.bytes + text.len() > KEPT_BYTES_MAX {
            self.is_full = true;
            texts.clear();
            return;
        }
        self.bytes += text.len();
        texts.entry(block).or_default().push_str(text);
    }

    /// The texts, or why they are not all there.
    pub(super) fn finish(self, coverage: Coverage) -> Result<Passages, Gap> {
        let Some(texts) = self.texts else { return Err(Gap::Off) };
        if self.is_full {
            return Err(Gap::TooLarge);
        }
        if let Some(gap) = coverage.gap() {
            return Err(gap);
        }
        let passage = |(block, text): (Block, String)| {
            let provenance = match block.kind {
                Kind::ToolResult => Provenance::ToolResult,
                Kind::Arguments | Kind::Input => Provenance::ToolInput,
                Kind::Text | Kind::Reasoning => super::stream::speaker(block),
            };
            Passage::plain(&block.to_string(), provenance, text)
        };
        let list = texts.into_iter().filter(|(_, text)| !text.trim().is_empty()).map(passage).collect();
        Ok(Passages { list, more: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrows_llm::Dialect;
    use narrows_llm::deltas::deltas;

    fn block(choice: u32) -> Block {
        let event = format!(r#"{{"choices":[{{"index":{choice},"delta":{{"content":"x"}}}}]}}"#);
        let mut found = None;
        deltas(Dialect::OpenaiChat, event.as_bytes(), &mut |block, _| found = Some(block));
        found.unwrap()
    }

    #[test]
    fn texts_are_put_together_by_block() {
        let mut kept = Kept::new(true);
        for (choice, text) in [(0, "zw"), (1, "other"), (0, "ölf"), (2, " \n")] {
            kept.push(block(choice), text);
        }
        let list = kept.finish(Coverage::Full).unwrap().list;
        let texts: Vec<&str> = list.iter().map(|passage| &*passage.text).collect();
        assert_eq!(texts, ["zwölf", "other"]);
        assert_ne!(list[0].path, list[1].path);
    }

    #[test]
    fn the_longest_is_kept_and_one_byte_more_is_not() {
        let mut kept = Kept::new(true);
        kept.push(block(0), &"x".repeat(KEPT_BYTES_MAX));
        assert_eq!(kept.finish(Coverage::Full).unwrap().list[0].text.len(), KEPT_BYTES_MAX);
        let mut kept = Kept::new(true);
        kept.push(block(0), &"x".repeat(KEPT_BYTES_MAX));
        kept.push(block(1), "x");
        kept.push(block(1), "");
        assert_eq!(kept.finish(Coverage::Full), Err(Gap::TooLarge));
    }

    #[test]
    fn what_was_not_seen_whole_is_not_shown() {
        let mut kept = Kept::new(true);
        kept.push(block(0), "half");
        assert_eq!(kept.finish(Coverage::Partial(Gap::QueueFull)), Err(Gap::QueueFull));
        assert_eq!(Kept::new(false).finish(Coverage::Full), Err(Gap::Off));
    }
}
