//! Entry points of the fuzz targets, so that the same bodies run as ordinary tests.

use crate::{Frame, Framer};

/// One event as plain values: name, data, start, end, incomplete.
type Seen = (Vec<u8>, Vec<u8>, u64, u64, bool);

/// Events of at most this many bytes are framed, small enough for a fuzzer to reach the limit.
pub const FUZZ_CARRY_LIMIT: usize = 96;

fn seen(frame: Frame<'_>) -> Seen {
    (frame.event().to_vec(), frame.data().into_owned(), frame.start(), frame.end(), frame.is_incomplete())
}

/// Frames `chunks` in order, checking on the way that nothing above the limit is held. Returns what was offered and
/// whether the limit was exceeded.
fn frame_all<'a>(chunks: impl Iterator<Item = &'a [u8]>, limit: usize) -> (Vec<Seen>, bool) {
    let mut framer = Framer::with_carry_limit(limit);
    let mut all = Vec::new();
    for chunk in chunks {
        framer.push(chunk, &mut |frame| all.push(seen(frame)));
        assert!(framer.pending().len() <= limit + 1, "the carry is bounded");
    }
    let overflowed = framer.overflowed();
    framer.finish(&mut |frame| all.push(seen(frame)));
    (all, overflowed)
}

/// The first byte chooses a chunk length, the rest is a stream: its events must not depend on the cutting.
/// (Only the end of an event whose last line end is a CR may, by the one LF that belongs to it.)
pub fn sse_split(input: &[u8]) {
    let Some((size, stream)) = input.split_first() else { return };
    let size = usize::from(*size).max(1);
    let whole = frame_all(std::iter::once(stream), FUZZ_CARRY_LIMIT);
    let cut = frame_all(stream.chunks(size), FUZZ_CARRY_LIMIT);
    assert_eq!(whole.1, cut.1, "the limit does not depend on the cutting");
    assert_eq!(whole.0.len(), cut.0.len(), "the events do not depend on the cutting");
    for (one, other) in whole.0.iter().zip(&cut.0) {
        assert_eq!((&one.0, &one.1, one.2, one.4), (&other.0, &other.1, other.2, other.4));
        let end = usize::try_from(other.3).unwrap_or(usize::MAX);
        assert!(one.3 == other.3 || (one.3 == other.3 + 1 && stream.get(end) == Some(&b'\n')));
    }
}
