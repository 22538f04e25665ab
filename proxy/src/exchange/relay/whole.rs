//! An answer that is no stream is held whole.

use super::boundary::Boundary;
use super::inspect::{inspect, readable, unread};
use super::meter::Meter;
use super::stream::Stream;
use super::upstream::{Next, Upstream};
use super::{Ending, ending_reason, send_head};
use crate::downstream::{Length, Lost, Session};
use crate::exchange::account::Account;
use crate::exchange::attempt::Early;
use crate::exchange::route::Target;
use crate::exchange::tally::Counted;
use crate::gateway::Gateway;
use crate::respond::Refusal;
use crate::upstream::head::Head;
use bytes::{Bytes, BytesMut};
use narrows_llm::endpoint::Operation;
use narrows_llm::stream::Reported;
use narrows_llm::unary;
use narrows_policy::Gap;

/// Text of an answer without usage that is counted at once, in bytes, which takes a few milliseconds. What is beyond is
/// estimated.
const COUNTED_AT_ONCE_BYTES: usize = 128 << 10;

/// An answer that is no stream, as far as it has come.
pub(super) struct Arrived {
    pub(super) upstream: Upstream,
    pub(super) head: Head,
    /// What of its body was read already.
    pub(super) early: Option<Early>,
}

/// Holds an answer whole, reads its usage, and sends it. One that is too large to hold passes as it comes.
pub(super) async fn whole(
    gateway: &Gateway,
    session: &mut Session<'_>,
    account: &mut Account,
    arrived: Arrived,
    target: &Target,
) -> Result<Ending, Refusal> {
    let Arrived { mut upstream, mut head, early } = arrived;
    let limit = account.snapshot.limits.metered_copy;
    let mut share = gateway.buffers.share();
    let mut held = Held::default();
    let mut ended = false;
    if let Some(early) = early {
        ended = early.ended;
        held.push(early.bytes, None);
    }
    let complete = loop {
        if ended {
            break true;
        }
        match upstream.next(session, account).await {
            Ok(Next::Part(part)) => held.push(part, upstream.left()),
            Ok(Next::End) => break true,
            Ok(Next::Quiet) => continue,
            Err(stop) => {
                // The provider has read the prompt and begun to answer: that is not free because the rest is missing.
                account.take_prompt_if_asked(head.status.is_success());
                return Err(Refusal::new(stop.reason(), stop.message(&upstream)));
            }
        }
        if held.len() > limit || !share.grow_to(held.len()) {
            break false;
        }
    };
    if complete {
        let body = held.into_bytes();
        let trailers = upstream.trailers().filter(|_| session.takes_trailers());
        upstream.release();
        let text = readable(account, &head, &body);
        if head.status.is_success() {
            meter_whole(account, target, text.as_deref());
        }
        let shown = inspect(account, body, text).await?;
        if shown.is_changed {
            head.forget_body();
        }
        let written = send_whole(session, account, &head, shown.body, trailers).await;
        return Ok(Ending::from_write(written, ending_reason(account)));
    }
    let boundary = Boundary::of_no_events();
    let parts = vec![held.into_bytes()];
    let passing =
        Stream { upstream, meter: Meter::Off, parts, boundary, tap: None, rewrite: None, spent: None };
    account.take_prompt_if_asked(head.status.is_success());
    // What cannot be held cannot be inspected: policies that need it decide. It was asked for all the same.
    unread(account, Gap::TooLarge)?;
    if let Some(capture) = &mut account.capture {
        capture.answer(None);
    }
    Ok(passing.run_from_held(session, account, head).await)
}

/// Reads an answer's usage. Without a text it could not be decoded.
fn meter_whole(account: &mut Account, target: &Target, text: Option<&[u8]>) {
    if !matches!(target.operation, Operation::Generate | Operation::Compact | Operation::Embed) {
        return;
    }
    let Some(text) = text else { return account.take_unmetered() };
    let answer = unary::read(target.dialect, text);
    let is_known = answer.reported == Reported::Complete || answer.usage.output().is_some();
    let counted = if is_known { Counted::default() } else { count(account, target, text, &answer) };
    account.take_id(answer.id);
    account.take_items(answer.items);
    account.mode = answer.mode;
    account.take_usage(&answer.usage, answer.reported, &counted, answer.model);
}

/// Counts the text of an answer whose provider did not.
fn count(account: &Account, target: &Target, text: &[u8], answer: &unary::Answer) -> Counted {
    let model = answer.model.as_deref().unwrap_or(&target.model);
    let Some(encoder) = account.gateway().tokens.encoder(model) else {
        return Counted { missed_bytes: answer.output_text_bytes, ..Counted::default() };
    };
    let mut counted = Counted { encoding: Some(encoder.0), ..Counted::default() };
    let mut room = COUNTED_AT_ONCE_BYTES;
    unary::texts(target.dialect, text, &mut |text| {
        let (now, rest) = text.split_at_checked(room).unwrap_or((text, &[]));
        room -= now.len();
        counted.tokens = counted.tokens.saturating_add(encoder.1.count(now));
        counted.missed_bytes = counted.missed_bytes.saturating_add(rest.len() as u64);
    });
    counted
}

async fn send_whole(
    session: &mut Session<'_>,
    account: &mut Account,
    head: &Head,
    body: Bytes,
    trailers: Option<Bytes>,
) -> Result<(), Lost> {
    // Over HTTP/1.1 only a body in chunks can have fields behind it.
    let in_chunks = trailers.is_some() && matches!(session, Session::H1(_));
    let length = if in_chunks { Length::Open } else { Length::Known(body.len() as u64) };
    send_head(session, account, head, length, true).await?;
    account.first_byte();
    account.response_bytes += body.len() as u64;
    session.write_body(body, true).await?;
    session.finish_with(trailers.as_deref()).await
}

/// Parts of an answer: one is kept as it came, several are joined.
#[derive(Default)]
struct Held {
    first: Bytes,
    joined: BytesMut,
}

impl Held {
    fn push(&mut self, part: Bytes, left: Option<u64>) {
        if self.first.is_empty() && self.joined.is_empty() {
            self.first = part;
            return;
        }
        if self.joined.is_empty() {
            // The rest is known to come, so room for it is made once, within what may be held anyway.
            let more = usize::try_from(left.unwrap_or(0)).unwrap_or(0).min(1 << 20);
            self.joined.reserve(self.first.len() + part.len() + more);
            self.joined.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.joined.extend_from_slice(&part);
    }

    fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    fn into_bytes(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}
