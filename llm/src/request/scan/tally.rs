//! How much of a body is text, and how much is media written as text.

use super::block::{BLOCK, Block};
use std::ops::Range;

/// Bytes from which an unbroken run inside a string counts as media. The longest unbroken runs of text (addresses,
/// tokens, paths) stay below; an image of 768 bytes is base64 of 1024.
pub const MIN_MEDIA_BYTES: usize = 1024;

/// One in this many quiet blocks in a row is looked at closely. A run of [`MIN_MEDIA_BYTES`] has at least 15 whole
/// blocks, wherever it begins, so it never slips through.
const PROBE_BLOCKS: usize = 8;
const _: () = assert!(PROBE_BLOCKS < MIN_MEDIA_BYTES / BLOCK);

/// Most media whose places are noted.
pub const MEDIA_PLACES: usize = 8;

/// Where media begins in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MediaPlaces([Option<usize>; MEDIA_PLACES]);

impl MediaPlaces {
    /// Byte offsets into the body, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.into_iter().flatten()
    }

    fn note(&mut self, at: usize) {
        if let Some(free) = self.0.iter_mut().find(|place| place.is_none()) {
            *free = Some(at);
        }
    }
}

/// What the strings of a body hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::request) struct Tally {
    /// Bytes between the quotes of strings, names included, media excluded.
    pub(in crate::request) text_bytes: u64,
    /// Unbroken runs that look like media.
    pub(in crate::request) media: u64,
    /// Their bytes.
    pub(in crate::request) media_bytes: u64,
    /// Where the first ones begin.
    pub(in crate::request) places: MediaPlaces,
}

impl Tally {
    /// Looks for media at a block, if its number in a row of blocks inside one string calls for it. Returns where
    /// the media stands.
    #[inline(always)]
    pub(super) fn probe(
        &mut self,
        body: &[u8],
        at: usize,
        block: &Block,
        number: usize,
    ) -> Option<Range<usize>> {
        if number.is_multiple_of(PROBE_BLOCKS) && !block.has_breaks() { self.measure(body, at) } else { None }
    }

    /// Measures the unbroken run around the block at `at` and counts it if it is long enough.
    #[inline(never)]
    fn measure(&mut self, body: &[u8], at: usize) -> Option<Range<usize>> {
        let run = run(body, at);
        if run.len() < MIN_MEDIA_BYTES {
            return None;
        }
        self.media += 1;
        self.places.note(run.start);
        self.media_bytes += run.len() as u64;
        Some(run)
    }
}

/// The unbroken run that the block at `at` is inside of.
fn run(body: &[u8], at: usize) -> Range<usize> {
    let mut start = at;
    loop {
        let before = body.get(..start).unwrap_or_default();
        let Some(bytes) = before.last_chunk() else {
            start -= before.iter().rev().take_while(|byte| unbroken(**byte)).count();
            break;
        };
        let block = Block::new(bytes);
        if block.has_breaks() {
            start -= block.breaks().leading_zeros() as usize;
            break;
        }
        start -= BLOCK;
    }
    let mut end = at + BLOCK;
    loop {
        let behind = body.get(end..).unwrap_or_default();
        let Some(bytes) = behind.first_chunk() else {
            end += behind.iter().take_while(|byte| unbroken(**byte)).count();
            break;
        };
        let block = Block::new(bytes);
        if block.has_breaks() {
            end += block.breaks().trailing_zeros() as usize;
            break;
        }
        end += BLOCK;
    }
    start..end
}

/// What [`Block::breaks`] leaves.
fn unbroken(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7F) && byte != b'"' && byte != b'\\'
}
