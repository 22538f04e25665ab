//! What reads usage out of a stream while it passes.

use crate::exchange::account::Account;
use crate::exchange::coding::Decoder;
use crate::exchange::route::Target;
use crate::exchange::tally::{Counted, Tally};
use crate::gateway::Shared;
use crate::upstream::head::{Coding, Head};
use bytes::Bytes;
use narrows_llm::endpoint::Operation;
use narrows_llm::stream::{Progress, Reported, StreamDecoder, StreamEnd, StreamOptions};
use std::sync::Arc;

/// Text that waits until it is known whether anybody has to count it, in bytes. Most providers report usage at the end, and
/// then nobody does; what is longer is counted as it comes.
const HEARD_BYTES_MAX: usize = 8 << 10;

/// What reads usage out of the stream.
pub(super) enum Meter {
    /// The stream itself passes through the machine.
    Inline(Box<Machine>),
    /// The stream is compressed: a decoded copy passes through the machine, as long as it can be decoded.
    Beside(Box<(Option<Decoder>, Machine)>),
    /// Nothing can: it is compressed in a way that we do not read.
    Blind,
    /// Nothing does, for there is nothing to meter.
    Off,
}

/// A stream's machine, and what its text comes to.
pub(super) struct Machine {
    decoder: StreamDecoder,
    tally: Tally,
    /// The model that is asked for.
    model: Arc<str>,
    gateway: Arc<Shared>,
}

impl Machine {
    fn push(&mut self, chunk: Bytes, out: &mut impl FnMut(Bytes)) {
        self.decoder.push(chunk, out);
        if self.decoder.heard_bytes() > HEARD_BYTES_MAX {
            let heard = self.decoder.take_heard();
            let model = self.decoder.model().unwrap_or(&self.model);
            self.tally.take(&heard, || self.gateway.tokens.encoder(model));
        }
    }

    /// Ends the stream: what it says, and what was counted if that matters.
    fn finish(mut self, account: &mut Account, out: &mut impl FnMut(Bytes)) -> StreamEnd {
        let outcome = self.decoder.finish(out);
        account.take_id(outcome.id);
        account.take_items(outcome.items);
        account.mode = outcome.mode;
        let model = outcome.model.as_deref().unwrap_or(&self.model);
        let encoder = || self.gateway.tokens.encoder(model);
        if outcome.reported == Reported::Complete {
            if !outcome.hides
                && account.may_learn(model, &outcome.usage)
                && let (Some(pieces), Some(encoder)) = (outcome.heard.whole(), encoder())
            {
                let mut tally = Tally::with(encoder);
                pieces.for_each(|(block, piece)| tally.add(block, piece));
                account.learn(model, &outcome.usage, &tally.finish());
            }
            account.take_usage(&outcome.usage, outcome.reported, &Counted::default(), outcome.model);
            return outcome.end;
        }
        if outcome.uninspected_bytes > 0 {
            account.unread();
        }
        self.tally.take(&outcome.heard, encoder);
        account.take_usage(&outcome.usage, outcome.reported, &self.tally.finish(), outcome.model);
        outcome.end
    }
}

impl Meter {
    pub(super) fn new(account: &Account, target: &Target, head: &Head) -> Meter {
        if !matches!(target.operation, Operation::Generate | Operation::Compact) {
            return Meter::Off;
        }
        let hide_usage = target.asks_for_usage && head.coding == Coding::Identity;
        let decoder = StreamDecoder::new(target.dialect, StreamOptions { hide_usage, hear: true });
        let gateway = Arc::clone(account.gateway());
        // By the time that something is to be counted it is loaded.
        let _ = gateway.tokens.encoder(&target.model);
        let machine = Machine { decoder, tally: Tally::default(), model: Arc::clone(&target.model), gateway };
        if head.coding == Coding::Identity {
            return Meter::Inline(Box::new(machine));
        }
        let limit = account.snapshot.limits.metered_copy;
        Decoder::new(head.coding, limit)
            .map_or(Meter::Blind, |decoder| Meter::Beside(Box::new((Some(decoder), machine))))
    }

    /// Passes a chunk through; what the client gets is appended to `parts`.
    pub(super) fn push(&mut self, chunk: Bytes, parts: &mut Vec<Bytes>) {
        match self {
            Meter::Inline(machine) => machine.push(chunk, &mut |part| parts.push(part)),
            Meter::Beside(pair) => {
                let (decoder, machine) = pair.as_mut();
                match decoder.as_mut().map(|decoder| decoder.push(&chunk)) {
                    Some(Ok(text)) => machine.push(Bytes::from(text), &mut |_copy| {}),
                    Some(Err(_fault)) => *decoder = None,
                    None => {}
                }
                parts.push(chunk);
            }
            Meter::Blind | Meter::Off => parts.push(chunk),
        }
    }

    /// What the stream has come to so far, as far as it is read.
    pub(super) fn progress(&self) -> Option<Progress> {
        match self {
            Meter::Inline(machine) => Some(machine.decoder.progress()),
            Meter::Beside(pair) => Some(pair.1.decoder.progress()),
            Meter::Blind | Meter::Off => None,
        }
    }

    /// Ends metering: usage goes on the account, held bytes to `parts`. Returns how the stream itself ended.
    pub(super) fn finish(&mut self, account: &mut Account, parts: &mut Vec<Bytes>) -> Option<StreamEnd> {
        match std::mem::replace(self, Meter::Off) {
            Meter::Inline(machine) => Some(machine.finish(account, &mut |part| parts.push(part))),
            Meter::Beside(pair) => {
                let (decoder, mut machine) = *pair;
                let mut seen_whole = true;
                match decoder.map(Decoder::finish) {
                    Some(Ok(text)) => machine.push(Bytes::from(text), &mut |_copy| {}),
                    Some(Err(_)) | None => seen_whole = false,
                }
                if !seen_whole {
                    account.unread();
                }
                let end = machine.finish(account, &mut |_copy| {});
                seen_whole.then_some(end)
            }
            Meter::Blind => {
                account.take_unmetered();
                None
            }
            Meter::Off => None,
        }
    }
}
