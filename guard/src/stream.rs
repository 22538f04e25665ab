//! Searches text that comes in pieces, with bounded memory.
//!
//! A stream is searched slice by slice at the same places as a whole text is, each when it is complete, so any cutting
//! finds what a search of the whole finds, and every finding is reported once.

use crate::engine::{
    Engine, MAX_HITS, SLICE_AFTER, SLICE_BEFORE, SLICE_BYTES, Scanned, Scratch, floor, take,
};
use crate::finding::{Hit, Provenance};

/// Most bytes that are held of one text.
pub const MAX_HELD: usize = SLICE_BEFORE + SLICE_BYTES + SLICE_AFTER + 2 * CHARACTER;

/// Longest character, in bytes.
const CHARACTER: usize = 4;

/// One text of a stream, such as a content block.
pub struct StreamScanner {
    provenance: Provenance,
    /// Text from `offset` of the stream on.
    held: String,
    offset: usize,
    /// Where the next slice begins, in the stream.
    start: usize,
    /// Findings that may still meet others, and how many there were.
    recent: Vec<Hit>,
    count: usize,
    scanned: Scanned,
}

impl std::fmt::Debug for StreamScanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamScanner")
            .field("held", &self.held.len())
            .field("scanned", &self.scanned)
            .finish_non_exhaustive()
    }
}

impl StreamScanner {
    /// At the beginning of a text.
    pub fn new(provenance: Provenance) -> StreamScanner {
        StreamScanner {
            provenance,
            held: String::new(),
            offset: 0,
            start: 0,
            recent: Vec::new(),
            count: 0,
            scanned: Scanned::default(),
        }
    }

    /// Takes the next piece and calls `found` with each finding that is certain, and with the text that is held from the
    /// given place of the stream on: a finding's value is in it. Ranges count from the stream's beginning. All pieces must
    /// be searched by the same engine.
    pub fn push(
        &mut self,
        engine: &Engine,
        piece: &str,
        scratch: &mut Scratch,
        found: &mut impl FnMut(&Hit, &str, usize),
    ) {
        let mut rest = piece;
        while !rest.is_empty() {
            // The end of what a slice's search sees must be the same as in the whole text.
            let wanted = self.start + SLICE_BYTES + SLICE_AFTER + CHARACTER;
            let missing = wanted.saturating_sub(self.offset + self.held.len());
            let part = ceiling(rest, missing);
            let (taken, left) = rest.split_at(part);
            self.held.push_str(taken);
            rest = left;
            if self.offset + self.held.len() >= wanted {
                self.slice(engine, false, scratch, found);
            }
        }
    }

    /// The end of the text.
    pub fn finish(
        mut self,
        engine: &Engine,
        scratch: &mut Scratch,
        found: &mut impl FnMut(&Hit, &str, usize),
    ) -> Scanned {
        while !self.slice(engine, true, scratch, found) {}
        self.scanned
    }

    /// Bytes that are held; at most [`MAX_HELD`].
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Searches the next slice; says whether it is the last one.
    fn slice(
        &mut self,
        engine: &Engine,
        ended: bool,
        scratch: &mut Scratch,
        found: &mut impl FnMut(&Hit, &str, usize),
    ) -> bool {
        let known = self.offset + self.held.len();
        let end = self.start + SLICE_BYTES;
        let last = ended && end >= known;
        let local = |at: usize| floor(&self.held, at.saturating_sub(self.offset));
        let owned = self.start..if last { known } else { self.offset + local(end) };
        if !self.scanned.capped {
            let from = local(self.start.saturating_sub(SLICE_BEFORE));
            let seen = &self.held[from..local(end + SLICE_AFTER)];
            engine.slice(seen, self.offset + from, owned.clone(), self.provenance, scratch);
            let known = self.recent.len();
            let room = MAX_HITS - self.count;
            self.scanned.capped = take(scratch, 0, room, &mut self.recent);
            for hit in &self.recent[known..] {
                found(hit, &self.held, self.offset);
            }
            self.count += self.recent.len() - known;
            self.scanned.bytes = owned.end;
        }
        self.start = owned.end;
        let keep = self.start.saturating_sub(SLICE_BEFORE);
        self.recent.retain(|hit| hit.range.end > keep);
        let drop = floor(&self.held, keep.saturating_sub(self.offset));
        self.held.drain(..drop);
        self.offset += drop;
        last
    }
}

/// The smallest character boundary from `at` on.
fn ceiling(text: &str, at: usize) -> usize {
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::pii::{Pii, Settings};
    use crate::detector::secret::built_in;
    use crate::rules::RuleSet;
    use proptest::prelude::*;

    fn engine() -> Engine {
        let rules = "[[rules]]\nid = 'a'\nregex = '''\\btok_[a-z0-9]{8,}\\b'''\nkeywords = ['tok_']\n\
            [[rules]]\nid = 'b'\nregex = '''(?i)[\\w.-]{0,50}?(?:acme)[\\s'\"]{0,3}(?:=|:)\\s{0,5}([a-z0-9]{32})'''\n";
        let builder = Engine::builder().secrets(RuleSet::gitleaks(rules).unwrap());
        builder.detector(Pii::new(Settings::default())).build().unwrap()
    }

    fn whole(engine: &Engine, text: &str) -> (Vec<Hit>, Scanned) {
        let mut hits = Vec::new();
        let scanned = engine.scan(text, Provenance::Assistant, &mut Scratch::default(), &mut hits);
        (hits, scanned)
    }

    fn streamed(engine: &Engine, text: &str, sizes: &[usize]) -> (Vec<Hit>, Scanned) {
        let mut scanner = StreamScanner::new(Provenance::Assistant);
        let (mut hits, mut scratch, mut at) = (Vec::new(), Scratch::default(), 0);
        let mut check = |hit: &Hit, held: &str, offset: usize| {
            assert_eq!(held[hit.range.start - offset..hit.range.end - offset], text[hit.range.clone()]);
            hits.push(hit.clone());
        };
        for size in sizes.iter().cycle() {
            let end = ceiling(text, at + size);
            scanner.push(engine, &text[at..end], &mut scratch, &mut check);
            assert!(scanner.held() <= MAX_HELD);
            at = end;
            if at == text.len() {
                break;
            }
        }
        let scanned = scanner.finish(engine, &mut scratch, &mut check);
        (hits, scanned)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn any_cutting_finds_what_the_whole_has(
            parts in proptest::collection::vec((0..7_usize, 0..9_000_usize), 1..40),
            sizes in proptest::collection::vec(prop_oneof![1..40_usize, 1..200_000_usize], 1..6),
        ) {
            let engine = engine();
            let mut text = String::new();
            for (part, filler) in parts {
                text.push_str(&"fü ller ".repeat(filler / 9));
                text.push_str([
                    "tok_abcdefgh12", "acme_key = 0123456789abcdef0123456789abcdef", "ann@example.com", "4111 1111 1111 1111",
                    "acme", "+1 212 555 0123", "tok_",
                ][part]);
            }
            prop_assert_eq!(streamed(&engine, &text, &sizes), whole(&engine, &text));
        }
    }

    #[test]
    fn what_stands_at_the_border_of_slices_is_reported_once() {
        let engine = engine();
        for before in SLICE_BYTES - 20..SLICE_BYTES + 3 {
            let text = format!("{} tok_abcdefgh12 {}", "x".repeat(before), "y ".repeat(SLICE_BYTES));
            let (hits, _) = streamed(&engine, &text, &[1_000]);
            assert_eq!(hits.len(), 1, "{before}");
            assert_eq!(hits, whole(&engine, &text).0);
        }
    }

    #[test]
    fn a_private_key_of_8_kib_is_found_whole_however_it_comes() {
        let engine = Engine::builder().secrets(built_in().unwrap()).build().unwrap();
        let line = "q7Zp0WxkV3tGmJd9LfRb2sYhq7Zp0WxkV3tGmJd9LfRb2sYhq7Zp0WxkV3tGmJd9\n";
        let key = format!("-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----", line.repeat(126));
        for before in [0, 100, SLICE_BYTES - 8_000, SLICE_BYTES - 10, SLICE_BYTES + 10] {
            let text = format!("{} {key} {}", "x".repeat(before), "y ".repeat(20_000));
            for sizes in [&[1_usize, 7][..], &[4_096], &[1 << 20]] {
                let (hits, _) = streamed(&engine, &text, sizes);
                let ranges: Vec<_> = hits.iter().map(|hit| (hit.range.start, hit.range.end)).collect();
                assert_eq!(ranges, [(before + 1, before + 1 + key.len())], "{before} {sizes:?}");
            }
        }
    }

    #[test]
    fn the_cap_holds_for_streams_too() {
        let engine = engine();
        let text = "tok_abcdefgh12 ".repeat(MAX_HITS + 1);
        let (hits, scanned) = streamed(&engine, &text, &[5_000]);
        assert_eq!((hits.len(), scanned.capped), (MAX_HITS, true));
        let (hits, scanned) = streamed(&engine, &text[15..], &[5_000]);
        assert_eq!((hits.len(), scanned.capped), (MAX_HITS, false));
    }
}
