//! The tokens of text that no report of a provider accounts for.

use narrows_llm::deltas::Block;
use narrows_llm::stream::Heard;
use narrows_tokenizer::{Counter, Encoder, Encoding};

/// Texts of one answer that are counted side by side: choices, blocks, tools' arguments. When another one begins, the one
/// that began first is taken to have ended.
const TEXTS_MAX: usize = 8;

/// What was counted, in tokens of a public vocabulary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) tokens: u64,
    /// The vocabulary they were counted with.
    pub(crate) encoding: Option<Encoding>,
    /// Bytes of text that could not be counted.
    pub(crate) missed_bytes: u64,
}

/// Counts an answer's text while it comes.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    encoder: Option<(Encoding, &'static Encoder)>,
    texts: Vec<(Block, Counter)>,
    /// Tokens of texts that have ended.
    settled: u64,
    missed: u64,
}

impl Tally {
    /// A tally that counts with this vocabulary.
    pub(crate) fn with(encoder: (Encoding, &'static Encoder)) -> Tally {
        Tally { encoder: Some(encoder), ..Tally::default() }
    }

    /// Takes what was heard since the last time. `encoder` is asked until it gives one; what comes before is known by
    /// its length only.
    pub(crate) fn take(
        &mut self,
        heard: &Heard,
        encoder: impl FnOnce() -> Option<(Encoding, &'static Encoder)>,
    ) {
        if heard.covers_taken() {
            self.forget();
        }
        self.missed = self.missed.saturating_add(heard.missed_bytes());
        if self.encoder.is_none() {
            self.encoder = encoder();
        }
        heard.unreported().for_each(|(block, piece)| self.add(block, piece));
    }

    /// Goes on with one of the texts.
    pub(crate) fn add(&mut self, block: Block, piece: &[u8]) {
        let Some((_, encoder)) = self.encoder else {
            self.missed = self.missed.saturating_add(piece.len() as u64);
            return;
        };
        if let Some((_, counter)) = self.texts.iter_mut().find(|text| text.0 == block) {
            return counter.push(piece);
        }
        if self.texts.len() == TEXTS_MAX {
            self.settled = self.settled.saturating_add(self.texts.remove(0).1.finish());
        }
        let mut counter = Counter::new(encoder);
        counter.push(piece);
        self.texts.push((block, counter));
    }

    /// The provider has accounted for all of it.
    fn forget(&mut self) {
        *self = Tally { encoder: self.encoder, ..Tally::default() };
    }

    /// What it comes to.
    pub(crate) fn finish(self) -> Counted {
        let texts = self.texts.into_iter().map(|text| text.1.finish());
        Counted {
            tokens: texts.fold(self.settled, u64::saturating_add),
            encoding: self.encoder.map(|encoder| encoder.0),
            missed_bytes: self.missed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use narrows_llm::Dialect;
    use narrows_llm::stream::{StreamDecoder, StreamOptions};

    fn o200k() -> Option<(Encoding, &'static Encoder)> {
        Encoding::O200k.load().map(|encoder| (Encoding::O200k, encoder))
    }

    fn count(text: &str) -> u64 {
        o200k().unwrap().1.count(text.as_bytes())
    }

    fn event(index: usize, content: &str) -> Bytes {
        let content = serde_json::Value::from(content);
        format!("data: {{\"choices\":[{{\"index\":{index},\"delta\":{{\"content\":{content}}}}}]}}\n\n")
            .into()
    }

    const WORDS: [&str; 5] = ["unbeliev", "able str", "eams o", "f «tokens»\n", "\"done\""];

    fn decoder() -> StreamDecoder {
        StreamDecoder::new(Dialect::OpenaiChat, StreamOptions { hide_usage: false, hear: true })
    }

    #[test]
    fn a_text_is_counted_as_a_whole_however_often_it_is_taken() {
        let mut decoder = decoder();
        let mut tally = Tally::default();
        for word in WORDS {
            decoder.push(event(0, word), &mut |_| ());
            tally.take(&decoder.take_heard(), o200k);
        }
        tally.take(&decoder.finish(&mut |_| ()).heard, o200k);
        let counted = tally.finish();
        assert_eq!(
            counted,
            Counted { tokens: count(&WORDS.concat()), encoding: Some(Encoding::O200k), missed_bytes: 0 }
        );
        let pieces: u64 = WORDS.iter().map(|word| count(word)).sum();
        assert!(pieces > counted.tokens, "the words were cut where it matters");
    }

    #[test]
    fn texts_are_counted_side_by_side_up_to_the_limit() {
        for (texts, exact) in [(TEXTS_MAX, true), (TEXTS_MAX + 1, false)] {
            let mut decoder = decoder();
            for word in WORDS {
                (0..texts).for_each(|index| decoder.push(event(index, word), &mut |_| ()));
            }
            let mut tally = Tally::default();
            tally.take(&decoder.take_heard(), o200k);
            let counted = tally.finish().tokens;
            let expected = count(&WORDS.concat()) * texts as u64;
            assert!(counted >= expected && (counted == expected) == exact, "{texts}: {counted} {expected}");
        }
    }

    #[test]
    fn what_comes_before_a_vocabulary_is_known_by_its_length() {
        let mut decoder = decoder();
        let mut tally = Tally::default();
        decoder.push(event(0, "four"), &mut |_| ());
        tally.take(&decoder.take_heard(), || None);
        decoder.push(event(0, " more"), &mut |_| ());
        tally.take(&decoder.take_heard(), o200k);
        assert_eq!(tally.finish(), Counted { tokens: 1, encoding: Some(Encoding::O200k), missed_bytes: 4 });
    }

    #[test]
    fn what_the_provider_reports_is_not_counted_again() {
        let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
        let mut decoder = decoder();
        let mut tally = Tally::default();
        decoder.push(event(0, "one"), &mut |_| ());
        tally.take(&decoder.take_heard(), o200k);
        decoder.push(event(0, " two"), &mut |_| ());
        decoder.push(Bytes::from(usage), &mut |_| ());
        decoder.push(event(0, " three four"), &mut |_| ());
        tally.take(&decoder.finish(&mut |_| ()).heard, o200k);
        assert_eq!(tally.finish().tokens, count(" three four"));
    }
}
