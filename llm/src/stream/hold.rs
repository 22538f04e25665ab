//! Hiding the one event that asking for usage adds, without delaying anything else.

use super::text::{KEYS, value_of};
use bytes::Bytes;

/// Longest event that is hidden, and so the most that is ever held back, in bytes. Usage events are below two
/// kilobytes; a longer event is passed on.
pub const HOLD_LIMIT: usize = 16 * 1024;

/// Whether the beginning of an event rules out that the whole of it is a usage-only event. What is ruled out by a
/// beginning stays ruled out by every longer one, so the verdict on the whole event does not depend on the cutting.
pub(crate) fn is_ruled_out(event: &[u8]) -> bool {
    if event.len() > HOLD_LIMIT || event.starts_with(b":") {
        return true;
    }
    let data = event.strip_prefix(b"data:").unwrap_or_default().trim_ascii_start();
    if data.first().is_some_and(|first| *first != b'{') {
        return true;
    }
    let mut from = 0;
    while let Some(at) = value_of(&KEYS.choices, event, from) {
        match event.get(at..).unwrap_or_default() {
            [] => return false,
            [b'[', inside @ ..] => match inside.trim_ascii_start() {
                [] | [b']', ..] => from = at,
                _ => return true,
            },
            _ => return true,
        }
    }
    false
}

/// Passes chunks on, except ranges that are cut out and a tail that is held back.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    /// Bytes not passed on yet, directly before the next chunk.
    held: Vec<u8>,
    /// A hidden event ended with a CR at the end of a chunk: an LF that follows belongs to it.
    drop_lf: bool,
    /// Bytes cut out so far.
    hidden: u64,
}

impl Hold {
    pub(crate) fn hidden(&self) -> u64 {
        self.hidden
    }

    /// Passes on what is held and `chunk` (which starts at stream offset `base`), up to offset `keep`, leaving out `cut`
    /// (events in order of the stream); what follows `keep` is held.
    pub(crate) fn pass(
        &mut self,
        chunk: &Bytes,
        base: u64,
        cut: &[Cut],
        keep: u64,
        out: &mut impl FnMut(Bytes),
    ) {
        let mut at = base - self.held.len() as u64;
        let end = base + chunk.len() as u64;
        if std::mem::take(&mut self.drop_lf) && chunk.first() == Some(&b'\n') {
            // Nothing is held behind a hidden event, so the chunk's first byte comes next.
            at += 1;
            self.hidden += 1;
        }
        for one in cut.iter().filter(|one| one.start >= base - self.held.len() as u64) {
            self.emit(chunk, base, at, one.start, out);
            self.hidden += one.end - one.start;
            at = one.end;
            self.drop_lf = one.ends_with_cr && one.end == end;
        }
        let keep = keep.min(end).max(at);
        self.emit(chunk, base, at, keep, out);
        if keep >= base {
            self.held.clear();
            self.held.extend_from_slice(chunk.get(offset(keep, base)..).unwrap_or_default());
        } else {
            self.held.drain(..self.held.len().min(offset(keep, base - self.held.len() as u64)));
            self.held.extend_from_slice(chunk);
        }
    }

    /// Passes on what is held.
    pub(crate) fn release(self, out: &mut impl FnMut(Bytes)) {
        if !self.held.is_empty() {
            out(Bytes::from(self.held));
        }
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    fn emit(&self, chunk: &Bytes, base: u64, from: u64, to: u64, out: &mut impl FnMut(Bytes)) {
        let held_from = base - self.held.len() as u64;
        if from < base {
            let part = self.held.get(offset(from, held_from)..offset(to.min(base), held_from));
            if let Some(part) = part.filter(|part| !part.is_empty()) {
                out(Bytes::copy_from_slice(part));
            }
        }
        let from = from.max(base);
        if from < to {
            out(chunk.slice(offset(from, base)..offset(to, base)));
        }
    }
}

/// An event to leave out, by its offsets in the stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) ends_with_cr: bool,
}

/// Distance of two offsets that lie within one chunk and what is held before it.
fn offset(at: u64, base: u64) -> usize {
    usize::try_from(at.saturating_sub(base)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_beginning_rules_out_stays_ruled_out() {
        for event in [
            "data: {\"choices\" : [ ], \"usage\":{\"choices\":[{}]}}\n\n",
            "data:\r\ndata: {\"choices\":[{}]}\r\n\r\n",
            "event: x\ndata: {\"choices\":null}\n\n",
            "data: [DONE]\n\n",
            "id: 1\ndata: {\"usage\":{},\"choices\":[]}\n\n",
        ] {
            let verdicts: Vec<bool> =
                (0..=event.len()).map(|end| is_ruled_out(&event.as_bytes()[..end])).collect();
            assert!(verdicts.is_sorted(), "{event:?}");
        }
        assert!(!is_ruled_out(b"data: {\"choices\":[],\"usage\":{}}\n\n"));
    }

    #[test]
    fn ranges_are_cut_out_across_chunks() {
        let stream = b"abcdefghij";
        for first in 0..=stream.len() {
            let (mut hold, mut sent) = (Hold::default(), Vec::new());
            let (one, two) =
                (Bytes::copy_from_slice(&stream[..first]), Bytes::copy_from_slice(&stream[first..]));
            let mut out = |bytes: Bytes| sent.extend_from_slice(&bytes);
            // "def" is to be hidden; until its end is seen, its beginning is held.
            let cut = [Cut { start: 3, end: 6, ends_with_cr: false }];
            let known = if first >= 6 { &cut[..] } else { &[] };
            let keep = if (4..6).contains(&first) { 3 } else { first as u64 };
            hold.pass(&one, 0, known, keep, &mut out);
            assert_eq!(hold.held(), first - usize::try_from(keep).unwrap());
            let rest = if first >= 6 { &[] } else { &cut[..] };
            hold.pass(&two, first as u64, rest, 10, &mut out);
            assert_eq!((hold.held(), hold.hidden()), (0, 3));
            hold.release(&mut out);
            assert_eq!(sent, b"abcghij");
        }
    }

    #[test]
    fn the_line_feed_of_a_hidden_event_goes_with_it() {
        let (mut hold, mut sent) = (Hold::default(), Vec::new());
        let mut out = |bytes: Bytes| sent.extend_from_slice(&bytes);
        hold.pass(
            &Bytes::from_static(b"xy\r"),
            0,
            &[Cut { start: 0, end: 3, ends_with_cr: true }],
            3,
            &mut out,
        );
        hold.pass(&Bytes::from_static(b"\n\nz"), 3, &[], 6, &mut out);
        assert_eq!(hold.hidden(), 4);
        assert_eq!(sent, b"\nz");
    }
}
