//! Step 8: the answer, from the provider to the client.
//!
//! A stream passes as it comes: bytes that need no change are forwarded as the `Bytes` they came in, what was
//! readable together is written together, and nothing is waited for. Any other answer is held whole and sent with
//! its length, so that a provider that fails half-way gives the client an error and not half a body.

use super::account::{Account, micros};
use super::attempt::Answered;
use super::coding::{self, Decoder};
use super::route::Target;
use crate::downstream::{Length, Lost, OutHead, Session};
use crate::gateway::{CutSignal, Gateway};
use crate::respond::Refusal;
use crate::snapshot::Provider;
use crate::upstream::Fault;
use crate::upstream::body::BodyDecoder;
use crate::upstream::h1::{Coding, Content, H1, Head};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use narrows_llm::endpoint::Operation;
use narrows_llm::fault::{self, Fault as ErrorBody};
use narrows_llm::stream::{StreamDecoder, StreamEnd, StreamOptions};
use narrows_llm::{Dialect, unary};
use narrows_policy::Reason;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// How an exchange ended, and whether the client's connection is in a state to be used again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    pub(crate) reason: Reason,
    /// Whether the answer reached its proper end.
    pub(crate) clean: bool,
}

impl Ending {
    /// The ending of an exchange whose answer was written whole, or not.
    pub(crate) fn from_write(written: Result<(), Lost>, reason: Reason) -> Ending {
        match written {
            Ok(()) => Ending { reason, clean: true },
            Err(lost) => Ending { reason: lost.reason(), clean: false },
        }
    }
}

/// Relays the answer and leaves its usage on the account.
pub(crate) async fn relay(
    gateway: &Gateway,
    session: &mut Session<'_>,
    account: &mut Account,
    answered: Answered,
) -> Result<Ending, Refusal> {
    let Answered { target, connection, head } = answered;
    let success = head.status.is_success();
    // What the provider answers decides, not what was asked. Gemini streams a JSON array to those who do not ask
    // for events.
    let array = target.stream && target.dialect == Dialect::GeminiGenerate;
    account.streamed = success && (head.content == Content::Events || array);
    session.set_write_timeout(target.provider.timeouts.idle);
    let upstream = Upstream::new(account, &target.provider, connection, &head);
    if account.streamed {
        return Ok(Stream::new(account, upstream, &target, &head).run(session, account, head).await);
    }
    whole(gateway, session, account, upstream, &target, head).await
}

/// The body that is still to come, and how long it may take.
struct Upstream {
    provider: Arc<Provider>,
    /// Raised when the gateway stops and waits no longer; made when something has to be waited for.
    cut: Option<CutSignal>,
    connection: H1,
    decoder: BodyDecoder,
    reusable: bool,
    idle: Duration,
    total_until: Instant,
    last_read: Instant,
    /// One timer for the whole body, made when something has to be waited for. It is moved only when it fires, so a
    /// chunk costs no timer work.
    timer: Option<Pin<Box<Sleep>>>,
}

/// Why no more of a body comes.
enum Stop {
    Upstream(Fault),
    Idle,
    Total,
    ClientGone,
    ShuttingDown,
}

impl Stop {
    fn reason(&self) -> Reason {
        match self {
            Stop::Upstream(fault) => fault.reason(),
            Stop::Idle => Reason::ProviderIdleTimeout,
            Stop::Total => Reason::TotalTimeout,
            Stop::ClientGone => Reason::ClientGone,
            Stop::ShuttingDown => Reason::ShuttingDown,
        }
    }

    fn message(&self, provider: &Provider) -> String {
        let name = &provider.name;
        match self {
            Stop::Upstream(fault) => format!("the provider {name} failed: {fault}"),
            Stop::Idle => {
                let seconds = provider.timeouts.idle.as_secs();
                format!("the provider {name} sent nothing for {seconds} seconds")
            }
            Stop::Total => "the exchange took longer than timeouts.total allows".to_owned(),
            Stop::ClientGone => "the client is gone".to_owned(),
            Stop::ShuttingDown => "the gateway is shutting down".to_owned(),
        }
    }
}

impl Upstream {
    fn new(account: &Account, provider: &Arc<Provider>, connection: H1, head: &Head) -> Upstream {
        let now = Instant::now();
        let total_until = Instant::from_std(account.started) + provider.timeouts.total;
        let idle = provider.timeouts.idle;
        Upstream {
            provider: Arc::clone(provider),
            cut: None,
            connection,
            decoder: BodyDecoder::new(head.framing),
            reusable: head.keep_alive,
            idle,
            total_until,
            last_read: now,
            timer: None,
        }
    }

    /// What can be had without waiting.
    fn ready(&mut self) -> Option<Result<Option<Bytes>, Stop>> {
        let read = self.connection.read_body(&mut self.decoder).now_or_never()?;
        Some(read.map_err(Stop::Upstream))
    }

    /// The next part of the body; `None` is its end.
    async fn next(
        &mut self,
        session: &mut Session<'_>,
        account: &mut Account,
    ) -> Result<Option<Bytes>, Stop> {
        let Upstream { connection, decoder, timer, cut, idle, total_until, last_read, .. } = self;
        let mut read = pin!(connection.read_body(decoder));
        let mut gone = pin!(session.gone());
        let mut waiting = None;
        // One pass over everything that can happen, the likely first; nothing is set up before it is waited for.
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(read) = read.as_mut().poll(cx) {
                return Poll::Ready(read.map_err(Stop::Upstream));
            }
            let since = *waiting.get_or_insert_with(Instant::now);
            if gone.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(Stop::ClientGone));
            }
            if cut.get_or_insert_with(|| account.cut_signal()).poll_raised(cx).is_ready() {
                return Poll::Ready(Err(Stop::ShuttingDown));
            }
            let limit = (*total_until).min(*last_read + *idle);
            let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(limit)));
            while timer.as_mut().poll(cx).is_ready() {
                let now = Instant::now().max(since);
                if now >= *total_until {
                    return Poll::Ready(Err(Stop::Total));
                }
                if now >= *last_read + *idle {
                    return Poll::Ready(Err(Stop::Idle));
                }
                timer.as_mut().reset(limit);
            }
            Poll::Pending
        })
        .await;
        if let Some(since) = waiting {
            *last_read = Instant::now();
            account.upstream_wait_us += micros(*last_read - since);
        }
        outcome
    }

    /// Gives a connection whose answer was read to its end back to the pool.
    fn release(self) {
        if self.reusable && self.decoder.is_done() && !self.connection.has_leftover() {
            self.provider.pool.put(self.connection);
        }
    }
}

/// A stream on its way.
struct Stream {
    upstream: Upstream,
    meter: Meter,
    /// Parts to write, reused from chunk to chunk.
    parts: Vec<Bytes>,
    /// Whether the bytes sent so far end between two events.
    at_boundary: bool,
}

/// What reads usage out of the stream.
enum Meter {
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
    fn new(account: &Account, target: &Target, head: &Head) -> Meter {
        if target.operation != Operation::Generate {
            return Meter::Off;
        }
        let hide_usage = target.asks_for_usage && head.coding == Coding::Identity;
        let machine = StreamDecoder::new(target.dialect, StreamOptions { hide_usage });
        if head.coding == Coding::Identity {
            return Meter::Inline(Box::new(machine));
        }
        let limit = account.snapshot.limits.metered_copy;
        Decoder::new(head.coding, limit)
            .map_or(Meter::Blind, |decoder| Meter::Beside(Box::new((Some(decoder), machine))))
    }

    /// Passes a chunk through; what the client gets is appended to `parts`.
    fn push(&mut self, chunk: Bytes, parts: &mut Vec<Bytes>) {
        match self {
            Meter::Inline(machine) => machine.push(chunk, &mut |part| parts.push(part)),
            Meter::Beside(pair) => {
                let (decoder, machine) = pair.as_mut();
                match decoder.as_mut().map(|decoder| decoder.push(&chunk)) {
                    Some(Some(text)) => machine.push(Bytes::from(text), &mut |_copy| {}),
                    Some(None) => *decoder = None,
                    None => {}
                }
                parts.push(chunk);
            }
            Meter::Blind | Meter::Off => parts.push(chunk),
        }
    }

    /// Ends metering: usage goes on the account, held bytes to `parts`. Returns how the stream itself ended.
    fn finish(&mut self, account: &mut Account, parts: &mut Vec<Bytes>) -> Option<StreamEnd> {
        let mut seen_whole = true;
        let outcome = match std::mem::replace(self, Meter::Off) {
            Meter::Inline(machine) => machine.finish(&mut |part| parts.push(part)),
            Meter::Beside(pair) => {
                seen_whole = pair.0.is_some();
                pair.1.finish(&mut |_copy| {})
            }
            Meter::Blind => {
                account.take_unmetered();
                return None;
            }
            Meter::Off => return None,
        };
        account.take_usage(&outcome.usage, outcome.reported, outcome.unreported_text_bytes, outcome.model);
        seen_whole.then_some(outcome.end)
    }
}

impl Stream {
    fn new(account: &Account, upstream: Upstream, target: &Target, head: &Head) -> Stream {
        Stream { upstream, meter: Meter::new(account, target, head), parts: Vec::new(), at_boundary: true }
    }

    async fn run(mut self, session: &mut Session<'_>, account: &mut Account, head: Head) -> Ending {
        let _in_flight = account.stream_opened();
        // A first chunk that is here already travels with the head.
        let first = self.upstream.ready();
        if let Err(lost) = self.write_head(session, account, head, first.is_some()).await {
            return self.stopped(account, lost.reason());
        }
        session.slim();
        let mut next = match first {
            Some(first) => first,
            None => self.upstream.next(session, account).await,
        };
        loop {
            match next {
                Ok(Some(chunk)) => {
                    self.meter.push(chunk, &mut self.parts);
                    if self.upstream.decoder.is_done() {
                        return self.end(session, account).await;
                    }
                    if let Err(lost) = self.write(session, account, false).await {
                        return self.stopped(account, lost.reason());
                    }
                }
                Ok(None) => return self.end(session, account).await,
                Err(stop) => return self.stop(session, account, &stop).await,
            }
            next = self.upstream.next(session, account).await;
        }
    }

    async fn write_head(
        &mut self,
        session: &mut Session<'_>,
        account: &mut Account,
        head: Head,
        more_follows: bool,
    ) -> Result<(), Lost> {
        send_head(session, account, &head, Length::Open, more_follows).await
    }

    /// Writes the parts in one go. With `end_follows` they leave together with the end of the body.
    async fn write(
        &mut self,
        session: &mut Session<'_>,
        account: &mut Account,
        end_follows: bool,
    ) -> Result<(), Lost> {
        let last = self.parts.len().saturating_sub(1);
        for (index, part) in self.parts.drain(..).enumerate() {
            if part.is_empty() {
                continue;
            }
            account.first_byte();
            account.response_bytes += part.len() as u64;
            self.at_boundary = part.ends_with(b"\n\n") || part.ends_with(b"\r\n\r\n");
            session.write_body(part, end_follows || index < last).await?;
        }
        Ok(())
    }

    /// The provider's body came to its end.
    async fn end(mut self, session: &mut Session<'_>, account: &mut Account) -> Ending {
        let end = self.meter.finish(account, &mut self.parts);
        let reason = match end {
            Some(StreamEnd::ErrorEvent { .. }) => Reason::ProviderErrorEvent,
            Some(StreamEnd::Cut) => Reason::ProviderCut,
            Some(StreamEnd::Terminal | StreamEnd::Unseen) | None => Reason::Completed,
        };
        let mut written = self.write(session, account, true).await;
        if written.is_ok() {
            written = session.finish_body().await;
        }
        self.upstream.release();
        Ending::from_write(written, reason)
    }

    /// The stream cannot go on. Between two events the client is told why, in its dialect; then the connection
    /// ends without a proper end, because the answer has none.
    async fn stop(mut self, session: &mut Session<'_>, account: &mut Account, stop: &Stop) -> Ending {
        let reason = stop.reason();
        self.meter.finish(account, &mut self.parts);
        if reason != Reason::ClientGone {
            let message = stop.message(&self.upstream.provider);
            tracing::warn!(exchange = %account.id_text(), "a stream was cut: {message}");
            if let Some(dialect) = account.dialect.filter(|_| self.at_boundary && self.parts.is_empty()) {
                let request_id = account.id_text();
                let body = ErrorBody {
                    status: 502,
                    reason: reason.as_str(),
                    message: &message,
                    request_id: &request_id,
                };
                self.parts.push(fault::render_event(dialect, &body).into());
            }
            // The connection ends next; that the farewell did not arrive changes nothing.
            let _ = self.write(session, account, false).await;
        }
        Ending { reason, clean: false }
    }

    fn stopped(mut self, account: &mut Account, reason: Reason) -> Ending {
        self.meter.finish(account, &mut self.parts);
        Ending { reason, clean: false }
    }
}

/// Sends a provider's head on, with our id on it.
async fn send_head(
    session: &mut Session<'_>,
    account: &mut Account,
    head: &Head,
    length: Length,
    more_follows: bool,
) -> Result<(), Lost> {
    let fields = account.name_fields(head);
    account.answered(head.status.as_u16());
    let out = OutHead {
        status: head.status,
        reason: head.reason.as_deref(),
        fields: &fields,
        has_date: head.has_date,
        length,
    };
    session.write_head(&out, more_follows).await
}

/// Holds an answer whole, reads its usage, and sends it. One that is too large to hold passes as it comes.
async fn whole(
    gateway: &Gateway,
    session: &mut Session<'_>,
    account: &mut Account,
    mut upstream: Upstream,
    target: &Target,
    head: Head,
) -> Result<Ending, Refusal> {
    let limit = account.snapshot.limits.metered_copy;
    let mut share = gateway.buffers.share();
    let mut held = Held::default();
    let complete = loop {
        match upstream.next(session, account).await {
            Ok(Some(part)) => held.push(part, upstream.decoder.left()),
            Ok(None) => break true,
            Err(stop) => {
                // The provider has read the prompt and begun to answer: that is not free because the rest is missing.
                account.take_prompt_if_asked(head.status.is_success());
                return Err(Refusal::new(stop.reason(), stop.message(&upstream.provider)));
            }
        }
        if held.len() > limit || !share.grow_to(held.len()) {
            break false;
        }
    };
    if complete {
        let body = held.into_bytes();
        if head.status.is_success() {
            meter_whole(account, target, &head, &body);
        }
        let written = send_whole(session, account, &head, body).await;
        upstream.release();
        let reason = if head_is_error(account) { error_reason(account) } else { Reason::Completed };
        return Ok(Ending::from_write(written, reason));
    }
    let passing = Stream { upstream, meter: Meter::Off, parts: vec![held.into_bytes()], at_boundary: false };
    account.take_prompt_if_asked(head.status.is_success());
    Ok(passing.run_from_held(session, account, head).await)
}

fn head_is_error(account: &Account) -> bool {
    account.attempts.last().is_some_and(|attempt| attempt.reason != Reason::Completed)
}

fn error_reason(account: &Account) -> Reason {
    account.attempts.last().map_or(Reason::ProviderError, |attempt| attempt.reason)
}

impl Stream {
    /// Goes on with an answer of which the first parts were held.
    async fn run_from_held(mut self, session: &mut Session<'_>, account: &mut Account, head: Head) -> Ending {
        let reason = if head_is_error(account) { error_reason(account) } else { Reason::Completed };
        let mut written = self.write_head(session, account, head, true).await;
        while written.is_ok() {
            written = self.write(session, account, false).await;
            if written.is_err() {
                break;
            }
            match self.upstream.next(session, account).await {
                Ok(Some(part)) => self.parts.push(part),
                Ok(None) => {
                    written = session.finish_body().await;
                    self.upstream.release();
                    return Ending::from_write(written, reason);
                }
                Err(stop) => return Ending { reason: stop.reason(), clean: false },
            }
        }
        Ending::from_write(written, reason)
    }
}

fn meter_whole(account: &mut Account, target: &Target, head: &Head, body: &Bytes) {
    if !matches!(target.operation, Operation::Generate | Operation::Embed) {
        return;
    }
    let decoded;
    let text: &[u8] = if head.coding == Coding::Identity {
        body
    } else {
        match coding::decode_answer(head.coding, body, account.snapshot.limits.metered_copy) {
            Ok(text) => {
                decoded = text;
                &decoded
            }
            Err(_fault) => return account.take_unmetered(),
        }
    };
    let answer = unary::read(target.dialect, text);
    account.take_usage(&answer.usage, answer.reported, answer.output_text_bytes, answer.model);
}

async fn send_whole(
    session: &mut Session<'_>,
    account: &mut Account,
    head: &Head,
    body: Bytes,
) -> Result<(), Lost> {
    send_head(session, account, head, Length::Known(body.len() as u64), true).await?;
    account.first_byte();
    account.response_bytes += body.len() as u64;
    session.write_body(body, true).await?;
    session.finish_body().await
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
