//! Searches text that comes in pieces soon, while a window of it waits.
//!
//! [`StreamScanner`](crate::stream::StreamScanner) waits for whole slices and misses nothing. Here somebody reads the text
//! as it comes: it is decided after [`Window::size`] more bytes, and a value that is longer is told when a part of it was
//! decided already.

use crate::anchor::MAX_REACH;
use crate::engine::{Engine, SLICE_BEFORE, Scratch, floor};
use crate::finding::{Hit, Provenance};

/// A value that may still grow is waited for up to this many bytes, whatever the window: as far as a rule reaches.
pub const GROWING_BYTES_MAX: usize = MAX_REACH;

/// A search waits for this part of what waits already, so that a long value is not searched over and over.
const STEP_PART: usize = 32;

/// One text of a stream, and the part of it that waits.
pub struct Window {
    provenance: Provenance,
    size: usize,
    /// Text from `offset` of the stream on: what was decided last, as context, and what waits.
    held: String,
    offset: usize,
    decided: usize,
    /// Bytes that came since the last search.
    news: usize,
    /// What was told and may be found again.
    told: Vec<Hit>,
    hits: Vec<Hit>,
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Window")
            .field("held", &self.held.len())
            .field("decided", &self.decided)
            .finish_non_exhaustive()
    }
}

/// A finding in a text.
#[derive(Debug)]
pub struct Told<'a> {
    /// Its range counts from the beginning of the text.
    pub hit: &'a Hit,
    /// What was found.
    pub value: &'a str,
    /// Whether all of it still waits.
    pub whole: bool,
}

impl Window {
    /// At the beginning of a text that waits for `size` bytes.
    pub fn new(provenance: Provenance, size: usize) -> Window {
        Window {
            provenance,
            size,
            held: String::new(),
            offset: 0,
            decided: 0,
            news: 0,
            told: Vec::new(),
            hits: Vec::new(),
        }
    }

    /// Bytes of text that wait for what comes after them.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Up to where the text is decided, in bytes: what begins before was told.
    pub fn decided(&self) -> usize {
        self.decided
    }

    /// Takes the next piece and calls `told` with what was found in the part that is decided now.
    pub fn push(
        &mut self,
        engine: &Engine,
        piece: &str,
        scratch: &mut Scratch,
        told: &mut impl FnMut(Told<'_>),
    ) {
        self.held.push_str(piece);
        self.news += piece.len();
        let waiting = self.offset + self.held.len() - self.decided;
        // Not at every piece: a search looks at the context too.
        if waiting > self.size && self.news > (self.size / 8).max(waiting / STEP_PART) {
            self.search(engine, false, scratch, told);
        }
    }

    /// The text has ended, for now: all of it is decided.
    pub fn end(&mut self, engine: &Engine, scratch: &mut Scratch, told: &mut impl FnMut(Told<'_>)) {
        if self.decided < self.offset + self.held.len() {
            self.search(engine, true, scratch, told);
        }
    }

    fn search(
        &mut self,
        engine: &Engine,
        ended: bool,
        scratch: &mut Scratch,
        told: &mut impl FnMut(Told<'_>),
    ) {
        self.news = 0;
        let Window { held, offset, hits, .. } = self;
        let offset = *offset;
        hits.clear();
        engine.scan(held, self.provenance, scratch, hits);
        let end = offset + held.len();
        // What ends behind here may be something else with what comes: longer, or another rule's.
        let certain = match ended {
            true => end,
            false => offset + floor(held, (end - offset).saturating_sub(self.size)),
        };
        let mut decided = certain.max(self.decided);
        for hit in hits.iter_mut() {
            hit.range = hit.range.start + offset..hit.range.end + offset;
            if hit.range.start >= decided || hit.range.end <= self.decided {
                continue;
            }
            let whole = hit.range.start >= self.decided;
            let may_grow = hit.range.end > certain && hit.range.len() < GROWING_BYTES_MAX;
            if may_grow && whole {
                decided = hit.range.start;
                continue;
            }
            decided = decided.max(hit.range.end);
            if self.told.iter().any(|known| known.rule == hit.rule && known.range.start == hit.range.start) {
                continue;
            }
            let value = held.get(hit.range.start - offset..hit.range.end - offset).unwrap_or_default();
            told(Told { hit, value, whole });
            self.told.push(hit.clone());
        }
        self.decided = decided;
        let keep = floor(held, (decided - offset).saturating_sub(SLICE_BEFORE));
        held.drain(..keep);
        self.offset += keep;
        let from = self.offset;
        self.told.retain(|hit| hit.range.end > from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::secret::built_in;
    use crate::rules::RuleSet;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    fn engine() -> Engine {
        let rules = "[[rules]]\nid = 'a'\nregex = '''\\btok_[a-z0-9]{8,}\\b'''\nkeywords = ['tok_']\n";
        Engine::builder().secrets(RuleSet::gitleaks(rules).unwrap()).build().unwrap()
    }

    /// What is told of a text in pieces of these sizes: ranges, and whether they waited whole.
    fn told(text: &str, size: usize, pieces: &[usize]) -> Vec<(usize, usize, bool)> {
        let engine = engine();
        let (mut window, mut scratch, mut all) =
            (Window::new(Provenance::Assistant, size), Scratch::default(), Vec::new());
        let mut at = 0;
        for piece in pieces.iter().cycle() {
            let end = (at..text.len())
                .find(|to| *to >= at + piece && text.is_char_boundary(*to))
                .unwrap_or(text.len());
            let decided = window.decided();
            window.push(&engine, &text[at..end], &mut scratch, &mut |told| {
                assert_eq!(&text[told.hit.range.clone()], told.value);
                assert!(told.hit.range.end > decided);
                all.push((told.hit.range.start, told.hit.range.end, told.whole));
            });
            at = end;
            let bound = SLICE_BEFORE + 2 * size + GROWING_BYTES_MAX + GROWING_BYTES_MAX / STEP_PART + 4;
            assert!(window.held.len() <= bound.max(piece + bound) && window.decided() <= at);
            if at == text.len() {
                break;
            }
        }
        window.end(&engine, &mut scratch, &mut |told| {
            all.push((told.hit.range.start, told.hit.range.end, told.whole))
        });
        assert_eq!(window.decided(), text.len());
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_shorter_than_the_window_is_told_whole_however_it_comes(
            parts in proptest::collection::vec((0..3_usize, 0..400_usize), 1..30),
            pieces in proptest::collection::vec(prop_oneof![1..20_usize, 1..2_000_usize], 1..6),
        ) {
            let mut text = String::new();
            for (part, filler) in parts {
                text.push_str(&"fü ller ".repeat(filler / 9));
                text.push_str(["tok_abcdefgh12 ", "tok_", "tok_abcdefgh1234567890abcdefgh1234567890é "][part]);
            }
            let mut hits = Vec::new();
            engine().scan(&text, Provenance::Assistant, &mut Scratch::default(), &mut hits);
            let wanted: Vec<_> = hits.iter().map(|hit| (hit.range.start, hit.range.end, true)).collect();
            prop_assert_eq!(told(&text, 64, &pieces), wanted);
        }
    }

    #[test]
    fn a_value_at_the_border_is_told_whole_up_to_the_window_and_a_longer_one_grows() {
        for before in 0..150 {
            let text = format!("{} tok_{} {}", "x".repeat(before), "a1".repeat(30), "y ".repeat(200));
            assert_eq!(told(&text, 64, &[1]), [(before + 1, before + 65, true)]);
            let text = format!("{} tok_{} {}", "x".repeat(before), "a1".repeat(500), "y ".repeat(200));
            assert_eq!(
                told(&text, 64, &[1]),
                [(before + 1, before + 1005, true)],
                "it is waited for as it grows"
            );
        }
    }

    /// Lines of so many letters and digits, of about so many bytes together.
    fn lines(bytes: usize, long: usize, letters: &[u8; 64]) -> String {
        let mut state = 0x9E37_79B9_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            letters[(state >> 26) as usize] as char
        };
        (0..bytes / (long + 1)).map(|_| (0..long).map(|_| next()).chain(['\n']).collect::<String>()).collect()
    }

    const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const HEXADECIMAL: &[u8; 64] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// A private key of about so many bytes: in PEM, of PuTTY, of OpenVPN.
    fn key(kind: usize, bytes: usize) -> String {
        let frame = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}-----END {label}-----");
        match kind {
            0 => frame("PRIVATE KEY", &lines(bytes, 64, BASE64)),
            1 => frame("OpenVPN Static key V1", &lines(bytes, 32, HEXADECIMAL)),
            _ => format!(
                "PuTTY-User-Key-File-2: ssh-rsa\nEncryption: none\nComment: mine\nPublic-Lines: 6\n{0}Private-Lines: \
                 14\n{0}Private-MAC: {1}",
                lines(bytes / 2, 64, BASE64),
                lines(41, 40, HEXADECIMAL).trim_end(),
            ),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_long_private_key_is_told_once_and_whole_however_it_comes(
            kind in 0..3_usize,
            bytes in prop_oneof![Just(600_usize), Just(1_700), Just(3_300), Just(8_200), Just(15_000)],
            before in 0..900_usize,
            pieces in proptest::collection::vec(prop_oneof![1..9_usize, 1..80_usize, 1..6_000_usize], 1..6),
            escaped in any::<bool>(),
        ) {
            static ENGINE: LazyLock<Engine> =
                LazyLock::new(|| Engine::builder().secrets(built_in().unwrap()).build().unwrap());
            let engine = &*ENGINE;
            let key = key(kind, bytes);
            let key = if escaped { key.replace('\n', "\\n") } else { key };
            let text = format!("{}\nHere it is:\n{key}\n{}", "wörds ".repeat(before / 7), "and so on ".repeat(90));
            let (mut window, mut scratch) = (Window::new(Provenance::Assistant, 512), Scratch::default());
            let (mut all, mut at) = (Vec::new(), 0);
            for piece in pieces.iter().cycle() {
                let end = (at + piece..text.len()).find(|to| text.is_char_boundary(*to)).unwrap_or(text.len());
                window.push(engine, &text[at..end], &mut scratch, &mut |told| {
                    all.push((told.value.to_owned(), told.whole))
                });
                at = end;
                if at == text.len() {
                    break;
                }
            }
            window.end(engine, &mut scratch, &mut |told| all.push((told.value.to_owned(), told.whole)));
            prop_assert_eq!(all, vec![(key, true)]);
        }
    }

    #[test]
    fn what_only_its_end_shows_is_told_when_a_part_has_gone() {
        let rules = "[[rules]]\nid = 'pem'\nregex = '''BEGIN[a-z ]{10,900}END'''\nkeywords = ['BEGIN']\n";
        let engine = Engine::builder().secrets(RuleSet::gitleaks(rules).unwrap()).build().unwrap();
        for (length, whole) in [(50, true), (300, false)] {
            let text = format!("key BEGIN{}END", "a ".repeat(length / 2));
            let (mut window, mut scratch) = (Window::new(Provenance::Assistant, 64), Scratch::default());
            let mut all = Vec::new();
            for piece in text.as_bytes().chunks(3) {
                window.push(&engine, std::str::from_utf8(piece).unwrap(), &mut scratch, &mut |told| {
                    all.push(told.whole)
                });
            }
            window.end(&engine, &mut scratch, &mut |told| all.push(told.whole));
            assert_eq!(all, [whole], "{length}");
        }
    }
}
