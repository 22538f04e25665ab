//! What is held on to of one exchange, and what it becomes.

use super::Terms;
use crate::buffers::Share;
use crate::config::settings::Sides;
use crate::exchange::coding;
use crate::guard::{Gate, Rewrite, Scrubber};
use crate::upstream::head::Coding;
use bytes::Bytes;
use narrows_ledger::content::SIDE_BYTES_MAX;
use narrows_ledger::{ContentState, ContentStates, NewContent, NewSide, Pending};
use narrows_llm::Dialect;
use narrows_policy::Caller;
use std::sync::Arc;

/// Bytes of a stream that are held beyond what is kept of it: what decides whether the end of that is a secret.
const BEYOND_BYTES: usize = narrows_guard::engine::SLICE_AFTER;

/// Bytes that pass a gate at once.
const GATED_AT_ONCE: usize = 16 << 10;

/// What is held on to.
pub(crate) struct Capture {
    terms: Terms,
    scrubber: Arc<Scrubber>,
    /// Out of the budget of buffered bytes; held until all of it is sealed.
    share: Share,
    held: usize,
    request: Request,
    answer: Answer,
}

#[derive(Default)]
enum Request {
    #[default]
    None,
    /// There was no room.
    Lost(u64),
    Held(Vec<Bytes>),
}

#[derive(Default)]
enum Answer {
    #[default]
    None,
    /// There was no room, or nothing that could be read.
    Lost(u64),
    /// One that came whole, as it reads.
    Whole(Bytes),
    Stream(Box<Stream>),
}

/// A stream, as it came.
struct Stream {
    dialect: Dialect,
    /// Whether it is of events.
    events: bool,
    coding: Coding,
    /// What policies do to it on its way; not yet to what is held.
    gate: Option<Gate>,
    /// Its beginning.
    held: Vec<u8>,
    /// Bytes that came, held or not.
    whole: u64,
    /// Whether it came to its end.
    ended: bool,
}

impl Capture {
    pub(crate) fn new(terms: Terms, scrubber: Arc<Scrubber>, share: Share) -> Capture {
        Capture { terms, scrubber, share, held: 0, request: Request::None, answer: Answer::None }
    }

    /// Room for so many bytes more; half of the budget is left to those who need it more.
    fn hold(&mut self, bytes: usize) -> bool {
        let room = self.share.grow_spare(self.held.saturating_add(bytes));
        if room {
            self.held += bytes;
        }
        room
    }

    /// What goes to the provider, as it reads.
    pub(crate) fn request(&mut self, parts: &[Bytes]) {
        if self.terms.sides == Sides::Answers {
            return;
        }
        let bytes: usize = parts.iter().map(Bytes::len).sum();
        self.request = match self.hold(bytes) {
            true => Request::Held(parts.to_vec()),
            false => Request::Lost(bytes as u64),
        };
    }

    /// What came back whole, as it reads and as it is shown to be kept; without a text it could not be read.
    pub(crate) fn answer(&mut self, text: Option<&Bytes>) {
        if self.terms.sides == Sides::Requests {
            return;
        }
        let bytes = text.map_or(0, Bytes::len);
        self.answer = match text.filter(|_| self.hold(bytes)) {
            Some(text) => Answer::Whole(text.clone()),
            None => Answer::Lost(bytes as u64),
        };
    }

    /// A stream begins.
    pub(crate) fn stream(&mut self, dialect: Dialect, events: bool, coding: Coding, gate: Option<Gate>) {
        if self.terms.sides != Sides::Requests {
            let stream = Stream { dialect, events, coding, gate, held: Vec::new(), whole: 0, ended: false };
            self.answer = Answer::Stream(Box::new(stream));
        }
    }

    /// A stream goes on. Its beginning is copied: the parts of a stream are small pieces of large buffers.
    pub(crate) fn push(&mut self, part: &Bytes) {
        let Capture { share, held, answer, terms, .. } = self;
        let Answer::Stream(stream) = answer else { return };
        stream.whole = stream.whole.saturating_add(part.len() as u64);
        let room = terms.bytes_max.saturating_add(BEYOND_BYTES).saturating_sub(stream.held.len());
        let taken = part.get(..room).unwrap_or(part);
        if taken.is_empty() {
            return;
        }
        if !share.grow_spare(held.saturating_add(taken.len())) {
            *answer = Answer::Lost(stream.whole);
            return;
        }
        *held += taken.len();
        stream.held.extend_from_slice(taken);
    }

    /// The stream came to its end.
    pub(crate) fn ended(&mut self) {
        if let Answer::Stream(stream) = &mut self.answer {
            stream.ended = true;
        }
    }

    /// What came back is not kept: policies refused it.
    pub(crate) fn forget_answer(&mut self) {
        self.answer = Answer::None;
    }

    /// What the record says, as far as it is known before anybody has looked at it.
    pub(crate) fn states(&self) -> ContentStates {
        let by_size = |bytes: u64, ended: bool| match ended && bytes <= self.terms.bytes_max as u64 {
            true => ContentState::Stored,
            false => ContentState::Cut,
        };
        let request = match &self.request {
            Request::None => ContentState::None,
            Request::Lost(_) => ContentState::Dropped,
            Request::Held(parts) => by_size(length(parts), true),
        };
        let answer = match &self.answer {
            Answer::None => ContentState::None,
            Answer::Lost(_) => ContentState::Dropped,
            Answer::Whole(text) => by_size(text.len() as u64, true),
            Answer::Stream(stream) => by_size(stream.whole, stream.ended),
        };
        ContentStates { request, answer }
    }

    /// Everything that is needed to keep it.
    pub(crate) fn of(self, record: u128, caller: Arc<Caller>, at_us: i64) -> Box<Captured> {
        Box::new(Captured { capture: self, record, caller, at_us })
    }
}

fn length(parts: &[Bytes]) -> u64 {
    parts.iter().map(|part| part.len() as u64).sum()
}

/// What was captured of an exchange that has ended.
pub(crate) struct Captured {
    capture: Capture,
    record: u128,
    caller: Arc<Caller>,
    at_us: i64,
}

impl Pending for Captured {
    fn bytes(&self) -> usize {
        self.capture.held
    }

    fn ready(self: Box<Self>) -> NewContent {
        let Captured { capture, record, caller, at_us } = *self;
        let Capture { terms, scrubber, request, answer, share, .. } = capture;
        let limit = terms.bytes_max;
        let content = NewContent {
            record,
            caller,
            at_us,
            retention: terms.retention,
            request: request_side(request, &scrubber, limit),
            answer: answer_side(answer, &scrubber, limit),
        };
        drop(share);
        content
    }
}

fn lost(whole_bytes: u64) -> NewSide {
    NewSide { state: ContentState::Dropped, whole_bytes, bytes: Vec::new() }
}

fn request_side(request: Request, scrubber: &Scrubber, limit: usize) -> NewSide {
    match request {
        Request::None => NewSide::default(),
        Request::Lost(whole) => lost(whole),
        Request::Held(parts) => {
            let whole = length(&parts);
            let scrubbed = match parts.as_slice() {
                [one] => scrubber.body(one),
                several => scrubber.body(&several.concat()),
            };
            scrubbed.map_or_else(|| lost(whole), |bytes| side(bytes, whole, limit, true))
        }
    }
}

fn answer_side(answer: Answer, scrubber: &Scrubber, limit: usize) -> NewSide {
    match answer {
        Answer::None => NewSide::default(),
        Answer::Lost(whole) => lost(whole),
        Answer::Whole(text) => {
            let whole = text.len() as u64;
            scrubber.body(&text).map_or_else(|| lost(whole), |bytes| side(bytes, whole, limit, true))
        }
        Answer::Stream(stream) => {
            let stream = *stream;
            let (whole, all_here) = (stream.whole, stream.whole == stream.held.len() as u64);
            let complete = stream.ended && all_here;
            let text = match (stream.coding, stream.gate) {
                (Coding::Identity, None) => Some(stream.held),
                (Coding::Identity, Some(gate)) => gated(stream.dialect, gate, stream.held),
                (coding, _) => decoded(coding, &stream.held),
            };
            let scrubbed = text.and_then(|text| match stream.events {
                true => scrubber.events(stream.dialect, &text),
                false => scrubber.documents(stream.dialect, &text),
            });
            scrubbed.map_or_else(|| lost(whole), |bytes| side(bytes, whole, limit, complete))
        }
    }
}

/// What a gate lets through; `None` if it refuses.
fn gated(dialect: Dialect, gate: Gate, held: Vec<u8>) -> Option<Vec<u8>> {
    let mut rewrite = Rewrite::new(dialect, None, Some(gate));
    let (mut held, mut out) = (Bytes::from(held), Vec::new());
    // In steps: a gate holds back a limited number of bytes.
    while !held.is_empty() {
        rewrite.push(held.split_to(held.len().min(GATED_AT_ONCE)), &mut out);
    }
    let rest = rewrite.finish();
    out.extend([rest.events, rest.begun]);
    (!rest.refuses).then(|| out.concat())
}

/// As much of a compressed stream as can be read.
fn decoded(coding: Coding, wire: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = coding::Decoder::new(coding, SIDE_BYTES_MAX)?;
    let mut text = decoder.push(wire).ok()?;
    // Of one that was cut there is no end.
    text.extend(decoder.finish().unwrap_or_default());
    Some(text)
}

/// A side, cut at its limit. Of a text the end is a character's.
fn side(mut bytes: Vec<u8>, whole_bytes: u64, limit: usize, complete: bool) -> NewSide {
    let fits = bytes.len() <= limit;
    if !fits {
        let is_start = |at: &usize| bytes.get(*at).is_none_or(|byte| byte & 0xC0 != 0x80);
        let end = (limit.saturating_sub(3)..=limit).rev().find(is_start).unwrap_or(limit);
        bytes.truncate(end);
    }
    let state = if fits && complete { ContentState::Stored } else { ContentState::Cut };
    NewSide { state, whole_bytes, bytes }
}
