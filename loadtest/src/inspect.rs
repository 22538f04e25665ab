//! What a client looks for in a body while it passes: markers and the stamps of chunks.

use memchr::memmem;
use narrows_fake::{STAMP_DIGITS, STAMP_PREFIX};

/// Longest marker, in bytes.
pub const MAX_MARKER_BYTES: usize = 32;
/// A stamp whole: prefix, digits, semicolon.
const STAMP_BYTES: usize = STAMP_PREFIX.len() + STAMP_DIGITS + 1;

/// Finds one marker in a stream of slices, also across their borders.
#[derive(Debug, Clone)]
pub struct Marker {
    text: Vec<u8>,
    tail: Vec<u8>,
    found: bool,
}

impl Marker {
    /// A marker of at most [`MAX_MARKER_BYTES`]; a longer one is cut to that.
    pub fn new(text: &str) -> Marker {
        let text = text.as_bytes().iter().copied().take(MAX_MARKER_BYTES).collect();
        Marker { text, tail: Vec::with_capacity(2 * MAX_MARKER_BYTES), found: false }
    }

    /// Starts over.
    pub fn reset(&mut self) {
        self.tail.clear();
        self.found = false;
    }

    /// Whether it has been seen. An empty marker always has.
    pub fn found(&self) -> bool {
        self.found || self.text.is_empty()
    }

    /// Looks at the next bytes.
    pub fn push(&mut self, data: &[u8]) {
        if self.found() {
            return;
        }
        let keep = self.text.len() - 1;
        if !self.tail.is_empty() {
            self.tail.extend_from_slice(data.get(..keep.min(data.len())).unwrap_or_default());
            self.found = memmem::find(&self.tail, &self.text).is_some();
        }
        self.found = self.found || memmem::find(data, &self.text).is_some();
        if data.len() >= keep {
            self.tail.clear();
            self.tail.extend_from_slice(data.get(data.len() - keep..).unwrap_or_default());
        } else {
            if self.tail.is_empty() {
                self.tail.extend_from_slice(data);
            }
            self.tail.drain(..self.tail.len().saturating_sub(keep));
        }
    }
}

/// Reads the stamps in a stream of slices, also across their borders.
#[derive(Debug, Default)]
pub struct Stamps {
    held: Vec<u8>,
}

impl Stamps {
    /// Starts over.
    pub fn reset(&mut self) {
        self.held.clear();
    }

    /// Hands every stamp completed by `data` to `sink`, in nanoseconds of the monotonic clock.
    pub fn push(&mut self, data: &[u8], mut sink: impl FnMut(u64)) {
        self.held.extend_from_slice(data);
        let mut at = 0;
        while let Some(found) = self.held.get(at..).and_then(|rest| memmem::find(rest, STAMP_PREFIX)) {
            let from = at + found;
            let Some(stamp) = self.held.get(from..from + STAMP_BYTES) else {
                at = from;
                break;
            };
            at = from + STAMP_PREFIX.len();
            if let Some(time) = decimal(stamp) {
                at = from + STAMP_BYTES;
                sink(time);
            }
        }
        let keep_from = at.max(self.held.len().saturating_sub(STAMP_BYTES - 1)).min(self.held.len());
        self.held.drain(..keep_from);
    }
}

fn decimal(stamp: &[u8]) -> Option<u64> {
    let digits = stamp.get(STAMP_PREFIX.len()..STAMP_BYTES - 1)?;
    if stamp.last() != Some(&b';') || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_at_every_split() {
        let text = b"data: {\"a\":1}\n\ndata: [DONE]\n\n";
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let mut marker = Marker::new("[DONE]");
                let mut absent = Marker::new("[DONT]");
                for piece in [&text[..first], &text[first..second], &text[second..]] {
                    marker.push(piece);
                    absent.push(piece);
                }
                assert!(marker.found() && !absent.found(), "{first} {second}");
            }
        }
        let mut marker = Marker::new("[DONE]");
        text.chunks(1).for_each(|byte| marker.push(byte));
        assert!(marker.found());
    }

    #[test]
    fn a_marker_is_cut_at_its_limit() {
        assert_eq!(Marker::new(&"x".repeat(MAX_MARKER_BYTES)).text.len(), MAX_MARKER_BYTES);
        assert_eq!(Marker::new(&"x".repeat(MAX_MARKER_BYTES + 1)).text.len(), MAX_MARKER_BYTES);
    }

    #[test]
    fn stamps_are_read_once_at_every_split() {
        let text = b"xts=00000000000000000007;ats=ts=00000000000000000042;bbts=0000000000000000000x;";
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let (mut stamps, mut found) = (Stamps::default(), Vec::new());
                for piece in [&text[..first], &text[first..second], &text[second..]] {
                    stamps.push(piece, |time| found.push(time));
                }
                assert_eq!(found, [7, 42], "{first} {second}");
                assert!(stamps.held.len() < STAMP_BYTES);
            }
        }
    }
}
