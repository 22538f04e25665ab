//! Events that wait, with the pieces of text in them and what is to be changed there.

use crate::guard::repeats::emptied;
use narrows_guard::body::{Splice, splice};
use narrows_guard::json::{decode, locate};
use narrows_llm::deltas::{Block, Piece};
use narrows_sse::{Frame, write};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// Texts of one stream that are followed; what belongs to others passes as it is.
pub(super) const BLOCKS_MAX: usize = 256;

/// A part of a text, in an event.
struct Stretch {
    block: Block,
    /// Where in the text.
    at: Range<usize>,
    /// As it stands in the event's data, without quotes, and where.
    raw: Box<str>,
    offset: usize,
}

/// Where an event has its data.
enum Data {
    /// On one line, so far from the event's first byte.
    At(usize),
    /// On several lines, joined here.
    Joined(Vec<u8>),
}

/// An event that came whole.
pub(super) struct Waiting {
    start: u64,
    end: u64,
    data: Data,
    stretches: Vec<Stretch>,
    /// What is to be changed in its data.
    splices: Vec<Splice>,
    /// Whether words in it are masked: what repeats them is emptied.
    masked: bool,
}

impl Waiting {
    pub(super) fn new(frame: &Frame<'_>) -> Waiting {
        let data = frame.data_at().map_or_else(|| Data::Joined(frame.data().into_owned()), Data::At);
        let (start, end) = (frame.start(), frame.end());
        Waiting { start, end, data, stretches: Vec::new(), splices: Vec::new(), masked: false }
    }

    /// Appends the event as it is to be sent. `raw` is how it came.
    fn write(mut self, raw: &[u8], out: &mut Vec<u8>) {
        if self.masked {
            let data = match &self.data {
                Data::At(offset) => raw.get(*offset..).unwrap_or_default(),
                Data::Joined(data) => data,
            };
            self.splices.extend(emptied(std::str::from_utf8(data).unwrap_or_default()));
        }
        match self.data {
            Data::At(offset) => {
                for splice in &mut self.splices {
                    splice.range = splice.range.start + offset..splice.range.end + offset;
                }
                out.extend_from_slice(&splice(raw, self.splices));
            }
            Data::Joined(data) => write::with_data(out, raw, &splice(&data, self.splices)),
        }
    }
}

/// The queue, in the order of the stream.
#[derive(Default)]
pub(super) struct Queue {
    events: VecDeque<Waiting>,
    /// How much of each text has come, in bytes as it reads.
    lengths: BTreeMap<Block, usize>,
}

impl Queue {
    pub(super) fn push(&mut self, event: Waiting) {
        self.events.push_back(event);
    }

    /// Notes a piece that stands in `event`, and gives what it reads as; `None` for what is not followed.
    pub(super) fn note(&mut self, event: &mut Waiting, piece: &Piece<'_>) -> Option<String> {
        let raw = piece.inside()?;
        if self.lengths.len() >= BLOCKS_MAX && !self.lengths.contains_key(&piece.block) {
            return None;
        }
        let mut text = String::with_capacity(raw.len());
        decode(raw, &mut text);
        let length = self.lengths.entry(piece.block).or_default();
        let at = *length..*length + text.len();
        *length = at.end;
        event.stretches.push(Stretch { block: piece.block, at, raw: raw.into(), offset: piece.at + 1 });
        Some(text)
    }

    /// Where the event begins that came last, if it waits.
    pub(super) fn last(&self) -> Option<u64> {
        self.events.back().map(|event| event.start)
    }

    /// Changes the data of the event that came last.
    pub(super) fn change_last(&mut self, splice: Splice) {
        if let Some(event) = self.events.back_mut() {
            event.splices.push(splice);
        }
    }

    /// Masks a value in the data of the event that came last, and what repeats it there.
    pub(super) fn mask_last(&mut self, splice: Splice) {
        if let Some(event) = self.events.back_mut() {
            event.splices.push(splice);
            event.masked = true;
        }
    }

    /// Masks a range of a text, as [`edit`](Queue::edit) does, and what repeats it in the same events.
    pub(super) fn mask(&mut self, block: &Block, range: &Range<usize>, with: &str) {
        self.change(block, range, with, true);
    }

    /// Puts `with` in the place of a range of a text, as far as its events wait. It stands in a JSON string there. Of a
    /// range in several events the first one gets it.
    pub(super) fn edit(&mut self, block: &Block, range: &Range<usize>, with: &str) {
        self.change(block, range, with, false);
    }

    fn change(&mut self, block: &Block, range: &Range<usize>, with: &str, masks: bool) {
        for event in &mut self.events {
            for stretch in event.stretches.iter().filter(|stretch| stretch.block == *block) {
                let (from, to) = (range.start.max(stretch.at.start), range.end.min(stretch.at.end));
                if from >= to {
                    continue;
                }
                let mut ends = [from - stretch.at.start, to - stretch.at.start];
                locate(&stretch.raw, &mut ends);
                let with = if from == range.start { with.to_owned() } else { String::new() };
                event.masked |= masks;
                event
                    .splices
                    .push(Splice { range: stretch.offset + ends[0]..stretch.offset + ends[1], with });
            }
        }
    }

    /// Where the first event begins that holds text from its `certain` place on.
    pub(super) fn undecided(&self, certain: impl Fn(&Block) -> usize) -> Option<u64> {
        let is_open =
            |event: &&Waiting| event.stretches.iter().any(|stretch| stretch.at.end > certain(&stretch.block));
        self.events.iter().find(is_open).map(|event| event.start)
    }

    /// Whether every event up to `end` goes out as it came.
    pub(super) fn is_unchanged(&self, end: u64) -> bool {
        self.events.iter().take_while(|event| event.end <= end).all(|event| event.splices.is_empty())
    }

    /// Lets go of the events up to `end`. Gives the bytes to send in the place of `came`, which begin at `base`.
    pub(super) fn release(&mut self, came: &[u8], base: u64, end: u64) -> Vec<u8> {
        let local = |at: u64| usize::try_from(at.saturating_sub(base)).unwrap_or(usize::MAX);
        let part = |from: u64, to: u64| came.get(local(from)..local(to)).unwrap_or_default();
        let (mut out, mut at) = (Vec::with_capacity(local(end)), base);
        while let Some(event) = self.next(end) {
            if event.splices.is_empty() {
                continue;
            }
            let (start, event_end) = (event.start, event.end);
            out.extend_from_slice(part(at, start));
            event.write(part(start, event_end), &mut out);
            at = event_end;
        }
        out.extend_from_slice(part(at, end));
        out
    }

    /// The first event, if it ends by `end`.
    fn next(&mut self, end: u64) -> Option<Waiting> {
        let is_due = self.events.front().is_some_and(|event| event.end <= end);
        if is_due { self.events.pop_front() } else { None }
    }

    /// Lets go of the events up to `end`, whose bytes go out as they came.
    pub(super) fn forget(&mut self, end: u64) {
        while self.next(end).is_some() {}
    }
}
