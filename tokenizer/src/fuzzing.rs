//! Fuzz targets. Each takes any bytes and panics only when a promise is broken.

use crate::counter::{BLOCK_BYTES, Counter, PIECE_LIMIT};
use crate::encoding::Encoding;

/// The first byte chooses the vocabulary and the length of chunks, the rest is a text of any bytes: it counts alike
/// however it is cut, no byte makes more than one token, and what is kept is bounded.
pub fn count_split(input: &[u8]) {
    let Some((choice, text)) = input.split_first() else { return };
    let encoding = if *choice >= 128 { Encoding::O200k } else { Encoding::Cl100k };
    let Some(encoder) = encoding.load() else { return };
    let mut whole = Counter::new(encoder);
    whole.push(text);
    let mut cut = Counter::new(encoder);
    for chunk in text.chunks(usize::from(*choice % 128).max(1)) {
        cut.push(chunk);
        assert!(cut.held_bytes() < PIECE_LIMIT + BLOCK_BYTES);
    }
    let tokens = encoder.count(text);
    assert!(tokens <= text.len() as u64, "a token has a byte at least");
    if text.len() < BLOCK_BYTES {
        assert_eq!(cut.count(), tokens, "a running total is exact");
    }
    let (whole, cut) = (whole.finish(), cut.finish());
    assert_eq!(whole, cut, "the count does not depend on the cutting");
    if text.len() < PIECE_LIMIT {
        assert_eq!(whole, tokens, "what is counted at once is the same");
    }
}
