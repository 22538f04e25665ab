//! What reads usage out of a stream while it passes.

use crate::exchange::account::Account;
use crate::exchange::coding::Decoder;
use crate::exchange::route::Target;
use crate::upstream::head::{Coding, Head};
use bytes::Bytes;
use narrows_llm::endpoint::Operation;
use narrows_llm::stream::{StreamDecoder, StreamEnd, StreamOptions};

/// What reads usage out of the stream.
pub(super) enum Meter {
    /// The stream itself passes through the machine.
    Inline(Box<StreamDecoder>),
    /// The stream is compressed: a decoded copy passes through the machine, as long as it can be decoded.
    Beside(Box<(Option<Decoder>, StreamDecoder)>),
    /// Nothing can: it is compressed in a way that we do not read.
    Blind,
    /// Nothing does, for there is nothing to meter.
    Off,
}

impl Meter {
    pub(super) fn new(account: &Account, target: &Target, head: &Head) -> Meter {
        if !matches!(target.operation, Operation::Generate | Operation::Compact) {
            return Meter::Off;
        }
        let hide_usage = target.asks_for_usage && head.coding == Coding::Identity;
        let machine = StreamDecoder::new(target.dialect, StreamOptions { hide_usage, hear: false });
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

    /// Ends metering: usage goes on the account, held bytes to `parts`. Returns how the stream itself ended.
    pub(super) fn finish(&mut self, account: &mut Account, parts: &mut Vec<Bytes>) -> Option<StreamEnd> {
        let mut seen_whole = true;
        let outcome = match std::mem::replace(self, Meter::Off) {
            Meter::Inline(machine) => machine.finish(&mut |part| parts.push(part)),
            Meter::Beside(pair) => {
                let (decoder, mut machine) = *pair;
                match decoder.map(Decoder::finish) {
                    Some(Ok(text)) => machine.push(Bytes::from(text), &mut |_copy| {}),
                    Some(Err(_)) | None => seen_whole = false,
                }
                machine.finish(&mut |_copy| {})
            }
            Meter::Blind => {
                account.take_unmetered();
                return None;
            }
            Meter::Off => return None,
        };
        account.take_id(outcome.id);
        account.take_items(outcome.items);
        account.take_usage(&outcome.usage, outcome.reported, outcome.unreported_text_bytes, outcome.model);
        seen_whole.then_some(outcome.end)
    }
}
