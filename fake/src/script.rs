//! The text of an answer and the tokens it costs, before any dialect dresses it.
//!
//! One rule everywhere, so that every figure can be checked by hand: a token is four bytes, rounded up. The
//! prompt is the request's body, the answer is its text.

use crate::ask::Ask;
use crate::clock::STAMP_EMPTY;
use crate::knobs::{Fault, Knobs};
use crate::schema;

/// Bytes per token.
pub const BYTES_PER_TOKEN: usize = 4;

/// Text that answers are cut from: plain words with what parsers trip over (escapes, two- to four-byte characters).
const SAMPLE: &str = "The gateway passed the words along, \"one by one\", and counted them as they went.\n\
    Nothing was held back: naïve cafés, 東京 at night, a path C:\\tmp and an arrow → reached the reader 🙂 whole. ";

/// What will be said, in order.
#[derive(Debug)]
pub(crate) struct Script {
    /// Text of each content chunk. An answer that is not streamed has one.
    pub(crate) texts: Vec<String>,
    /// Tokens generated after each chunk, reasoning included.
    pub(crate) totals: Vec<u64>,
    /// All prompt tokens.
    pub(crate) input: u64,
    pub(crate) cached: u64,
    pub(crate) cache_write: u64,
    pub(crate) reasoning: u64,
    /// Whether usage is told.
    pub(crate) tells_usage: bool,
}

impl Script {
    /// The script of a streamed answer (`streamed`) or of one in one piece.
    pub(crate) fn new(ask: &Ask, knobs: &Knobs, streamed: bool) -> Script {
        let structured = ask.schema.as_ref().filter(|_| ask.tool.is_none()).map(schema::answer);
        let texts = if let Some(text) = structured {
            if streamed { cut(&text, knobs.chunk_bytes) } else { vec![text] }
        } else if streamed {
            chunk_texts(knobs.chunks, knobs.chunk_bytes, knobs.stamp)
        } else {
            chunk_texts(1, knobs.text_bytes(), false)
        };
        let mut bytes = 0usize;
        let mut totals = Vec::with_capacity(texts.len());
        for text in &texts {
            bytes += text.len();
            totals.push(knobs.reasoning.saturating_add(tokens(bytes)));
        }
        let input = knobs.input.unwrap_or_else(|| tokens(ask.body_bytes));
        let cached = knobs.cached.min(input);
        Script {
            texts,
            totals,
            input,
            cached,
            cache_write: knobs.cache_write.min(input - cached),
            reasoning: knobs.reasoning,
            tells_usage: knobs.fault != Some(Fault::NoUsage),
        }
    }

    /// All tokens generated when the answer is whole.
    pub(crate) fn output(&self) -> u64 {
        self.totals.last().copied().unwrap_or(self.reasoning)
    }

    /// The chunks' texts with the tokens generated once each has been said.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&str, u64)> {
        self.texts.iter().map(String::as_str).zip(self.totals.iter().copied())
    }

    /// The whole text.
    pub(crate) fn whole(&self) -> String {
        self.texts.concat()
    }
}

/// Tokens of so many bytes.
pub(crate) fn tokens(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u64::MAX)
}

fn chunk_texts(chunks: usize, chunk_bytes: usize, stamp: bool) -> Vec<String> {
    let mut sample = SAMPLE.chars().cycle().peekable();
    (0..chunks)
        .map(|_| {
            let mut text = String::with_capacity(chunk_bytes.max(STAMP_EMPTY.len()));
            if stamp {
                text.push_str(STAMP_EMPTY);
            }
            while let Some(next) = sample.peek() {
                if text.len() + next.len_utf8() > chunk_bytes {
                    break;
                }
                text.push(*next);
                sample.next();
            }
            text
        })
        .collect()
}

/// `text` in pieces of at most so many bytes, but at least one character.
fn cut(text: &str, bytes: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for next in text.chars() {
        match pieces.last_mut() {
            Some(piece) if piece.is_empty() || piece.len() + next.len_utf8() <= bytes => piece.push(next),
            _ => pieces.push(next.to_string()),
        }
    }
    pieces
}

/// `text` as a JSON string with its quotes.
pub(crate) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_fill_their_size_without_splitting_a_character() {
        let texts = chunk_texts(400, 24, false);
        assert!(texts.iter().all(|text| (21..=24).contains(&text.len())));
        assert!(texts.concat().contains("🙂"));
    }

    #[test]
    fn cutting_loses_nothing() {
        for bytes in [0, 1, 3, 100] {
            let pieces = cut("{\"a\":\"東🙂\"}", bytes);
            assert_eq!(pieces.concat(), "{\"a\":\"東🙂\"}");
            assert!(pieces.iter().all(|piece| piece.len() <= bytes || piece.chars().count() == 1));
        }
    }

    #[test]
    fn a_stamp_leads_the_text_even_of_a_short_chunk() {
        assert_eq!(chunk_texts(1, 0, true), [STAMP_EMPTY]);
        assert_eq!(chunk_texts(1, 27, true), [format!("{STAMP_EMPTY}The")]);
    }
}
