//! A stream passes as it comes.

use super::boundary::Boundary;
use super::inspect::{self, Watchers};
use super::meter::Meter;
use super::upstream::{Next, Stop, Upstream};
use super::{Ending, error_reason, head_is_error, send_head};
use crate::downstream::{Length, Lost, Session};
use crate::exchange::account::Account;
use crate::exchange::admit;
use crate::exchange::route::Target;
use crate::guard::{Rewrite, Seen, Tap};
use crate::respond::Refusal;
use crate::upstream::Fault;
use crate::upstream::head::{Coding, Content, Head};
use bytes::Bytes;
use narrows_llm::fault::{self, Fault as ErrorBody};
use narrows_llm::stream::StreamEnd;
use narrows_policy::Reason;

/// What the client gets while the provider is silent: a comment, which its parser passes over, and a blank line, so
/// that what follows starts a line of its own. It is none of the provider's bytes and is not counted among them.
const PING: Bytes = Bytes::from_static(b": ping\n\n");

/// Most bytes of a begun event that a client still gets when a budget has no room for more, so that it can be told why the
/// answer ends. An event that is longer is broken off, and its client told nothing.
const EVENT_REST_BYTES_MAX: usize = 1024 * 1024;

/// What waits for the end of an event.
pub(super) struct Spent {
    refusal: Refusal,
    /// Bytes that have passed since.
    passed: usize,
}

/// A stream on its way.
pub(super) struct Stream {
    pub(super) upstream: Upstream,
    pub(super) meter: Meter,
    /// Parts to write, reused from chunk to chunk.
    pub(super) parts: Vec<Bytes>,
    /// Whether the bytes sent so far end between two events.
    pub(super) boundary: Boundary,
    /// Where policies look at it.
    pub(super) tap: Option<Tap>,
    /// What changes it on its way.
    pub(super) rewrite: Option<Box<Rewrite>>,
    /// Why it ends with the event that passes, where a budget has no room for more. Boxed, for it is rare.
    pub(super) spent: Option<Box<Spent>>,
}

impl Stream {
    pub(super) fn new(
        account: &mut Account,
        mut upstream: Upstream,
        target: &Target,
        head: &Head,
    ) -> Result<Stream, Refusal> {
        let readable = head.content == Content::Events && head.coding == Coding::Identity;
        if readable && target.dialect.takes_comments() {
            upstream.tell_quiet(target.provider.ping);
        }
        let boundary = if readable { Boundary::of_events() } else { Boundary::of_no_events() };
        let Watchers { tap, rewrite } = inspect::watchers(account, target, head, readable)?;
        let meter = Meter::new(account, target, head);
        if account.capture.is_some() {
            let gate = inspect::gate(account, readable);
            if let Some(capture) = &mut account.capture {
                capture.stream(target.dialect, head.content == Content::Events, head.coding, gate);
            }
        }
        Ok(Stream { upstream, meter, parts: Vec::new(), boundary, tap, rewrite, spent: None })
    }

    pub(super) async fn run(
        mut self,
        session: &mut Session<'_>,
        account: &mut Account,
        mut head: Head,
    ) -> Ending {
        if self.rewrite.is_some() {
            head.forget_body();
        }
        let in_flight = account.stream_opened();
        // A first chunk that is here already travels with the head. A fault does not: it may have nothing to say, and
        // the head would never leave.
        let first = self.upstream.ready();
        // What may have to wait is not waited for either.
        let more = matches!(first, Some(Ok(_))) && self.rewrite.is_none();
        if let Err(lost) = self.write_head(session, account, head, more).await {
            return self.stopped(session, account, lost.reason()).await;
        }
        session.slim();
        let mut next = match first {
            Some(first) => first,
            None => self.upstream.next(session, account).await,
        };
        loop {
            match next {
                Ok(Next::Part(chunk)) => {
                    self.meter.push(chunk, &mut self.parts);
                    let progress = self.meter.progress();
                    if let Some(progress) = progress {
                        in_flight.note(progress);
                    }
                    self.seen(account);
                    if self.rewrite.as_ref().is_some_and(|rewrite| rewrite.refuses()) {
                        return self.refused(session, account).await;
                    }
                    if self.upstream.is_done() {
                        return self.end(session, account).await;
                    }
                    if self.spent.is_none()
                        && account.hold.ends_streams()
                        && let Some(progress) = progress
                        && let Err(refusal) = admit::go_on(account, &progress)
                    {
                        self.spent = Some(Box::new(Spent { refusal, passed: 0 }));
                    }
                    if self.spent.is_some() && self.ends_here() {
                        return self.spent(session, account).await;
                    }
                    if let Err(lost) = self.write(session, account, false).await {
                        return self.stopped(session, account, lost.reason()).await;
                    }
                }
                Ok(Next::End) => return self.end(session, account).await,
                Ok(Next::Quiet) => {
                    if let Err(lost) = self.ping(session).await {
                        return self.stopped(session, account, lost.reason()).await;
                    }
                }
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

    /// Tells the client, and whatever stands between, that the stream is alive: it is, for its connection is open and
    /// the provider has time left. Never within an event.
    async fn ping(&mut self, session: &mut Session<'_>) -> Result<(), Lost> {
        if self.boundary.is_between() { session.write_body(PING, false).await } else { Ok(()) }
    }

    /// The parts are what the provider said: so they are looked at. What the client gets of them stays.
    fn seen(&mut self, account: &mut Account) {
        if let Some(capture) = &mut account.capture {
            self.parts.iter().for_each(|part| capture.push(part));
        }
        if let Some(tap) = &mut self.tap {
            self.parts.iter().for_each(|part| tap.push(part));
        }
        if let Some(rewrite) = &mut self.rewrite {
            let parts = std::mem::take(&mut self.parts);
            parts.into_iter().for_each(|part| rewrite.push(part, &mut self.parts));
        }
    }

    /// Ends metering, and sees to what it had held back.
    fn metered(&mut self, account: &mut Account) -> Option<StreamEnd> {
        let seen = std::mem::take(&mut self.parts);
        let end = self.meter.finish(account, &mut self.parts);
        self.seen(account);
        self.parts.splice(0..0, seen);
        end
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
            self.boundary.sent(&part);
            session.write_body(part, end_follows || index < last).await?;
        }
        Ok(())
    }

    /// The provider's body came to its end.
    async fn end(mut self, session: &mut Session<'_>, account: &mut Account) -> Ending {
        let end = self.metered(account);
        if end == Some(StreamEnd::Cut) && !self.upstream.is_done() {
            // Nothing but its closing told that the answer has ended, and it has not.
            return self.stop(session, account, &Stop::Upstream(Fault::Cut)).await;
        }
        if let Some(capture) = account.capture.as_mut().filter(|_| end != Some(StreamEnd::Cut)) {
            capture.ended();
        }
        let reason = match end {
            Some(StreamEnd::ErrorEvent { .. }) => Reason::ProviderErrorEvent,
            Some(StreamEnd::Cut) => Reason::ProviderCut,
            Some(StreamEnd::Terminal | StreamEnd::Unseen) | None => Reason::Completed,
        };
        if let Some(rewrite) = self.rewrite.take() {
            let rest = rewrite.finish();
            let refusal = gated(account, rest.seen.as_ref());
            debug_assert_eq!(rest.refuses, refusal.is_some(), "what waits is held back if it is refused");
            self.parts.extend([rest.events, rest.begun]);
            if let Some(refusal) = refusal {
                forget(account);
                return self.refuse(session, account, &refusal).await;
            }
        }
        let mut written = self.write(session, account, true).await;
        if written.is_ok() {
            written = session.finish_with(self.upstream.trailers().as_deref()).await;
        }
        self.upstream.release();
        inspect::tapped(account, self.tap.take()).await;
        Ending::from_write(written, reason)
    }

    /// The stream cannot go on. Between two events the client is told why, in its dialect; then the connection
    /// ends without a proper end, because the answer has none.
    async fn stop(mut self, session: &mut Session<'_>, account: &mut Account, stop: &Stop) -> Ending {
        let reason = stop.reason();
        self.metered(account);
        if reason == Reason::ClientGone {
            self.watched(account);
        }
        if reason != Reason::ClientGone {
            if let Some(rewrite) = self.rewrite.take() {
                let rest = rewrite.finish();
                // Cut or refused, this is its end.
                let _ = gated(account, rest.seen.as_ref());
                self.parts.push(rest.events);
                let _ = self.write(session, account, false).await;
                self.parts.push(rest.begun);
            }
            let message = stop.message(&self.upstream);
            tracing::warn!(exchange = %account.id_text(), "a stream was cut: {message}");
            if let Some(dialect) = account.dialect.filter(|_| self.boundary.is_between()) {
                // What was held back is the beginning of an event that never came whole.
                self.parts.clear();
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
        inspect::tapped(account, self.tap.take()).await;
        Ending { reason, clean: false }
    }

    /// Policies have refused the stream: its client is told so, in its dialect, and it ends. The provider is left.
    async fn refused(mut self, session: &mut Session<'_>, account: &mut Account) -> Ending {
        self.metered(account);
        forget(account);
        let seen = self.rewrite.take().and_then(|rewrite| rewrite.finish().seen);
        match gated(account, seen.as_ref()) {
            Some(refusal) => self.refuse(session, account, &refusal).await,
            // Not so: what has refused does so still.
            None => Ending { reason: Reason::GatewayBug, clean: false },
        }
    }

    /// Whether the stream may end with what stands to be written, for its last event is whole there. What follows that event
    /// is left out.
    fn ends_here(&mut self) -> bool {
        // What is rewritten is made of whole events, and what is none cannot be told anything.
        if self.rewrite.is_some() || self.boundary.is_never() {
            return true;
        }
        match self.boundary.last_between(&self.parts) {
            Some(whole) => {
                truncate(&mut self.parts, whole);
                true
            }
            None => {
                let next = self.parts.iter().map(Bytes::len).sum::<usize>();
                let Some(spent) = &mut self.spent else { return false };
                spent.passed = spent.passed.saturating_add(next);
                spent.passed > EVENT_REST_BYTES_MAX
            }
        }
    }

    /// A budget has no room for more: the client gets what there is, and is told so in its dialect. The provider is left.
    async fn spent(mut self, session: &mut Session<'_>, account: &mut Account) -> Ending {
        let Some(spent) = self.spent.take() else {
            return Ending { reason: Reason::GatewayBug, clean: false };
        };
        let refusal = spent.refusal;
        let is_cut = self.rewrite.is_none() && !self.boundary.is_never();
        let whole = self.parts.len();
        self.metered(account);
        if is_cut {
            // What was held back is the beginning of an event.
            self.parts.truncate(whole);
        }
        if let Some(rewrite) = self.rewrite.take() {
            let rest = rewrite.finish();
            // Whatever policies say of it, it ends here.
            let _ = gated(account, rest.seen.as_ref());
            self.parts.push(rest.events);
        }
        let tap = self.tap.take();
        let ending = self.refuse(session, account, &refusal).await;
        inspect::tapped(account, tap).await;
        ending
    }

    async fn refuse(mut self, session: &mut Session<'_>, account: &mut Account, refusal: &Refusal) -> Ending {
        // What stands before it was looked at.
        let mut written = self.write(session, account, false).await;
        if let Some(dialect) = account.dialect.filter(|_| self.boundary.is_between()) {
            let request_id = account.id_text();
            let body = ErrorBody {
                status: refusal.status(),
                reason: refusal.reason.as_str(),
                message: refusal.message(),
                request_id: &request_id,
            };
            self.parts.push(fault::render_event(dialect, &body).into());
        }
        if written.is_ok() {
            written = self.write(session, account, true).await;
        }
        if written.is_ok() {
            written = session.finish_with(None).await;
        }
        Ending::from_write(written, refusal.reason)
    }

    /// The client has gone: what was seen until then is written down.
    fn watched(&mut self, account: &mut Account) {
        if let Some(rewrite) = self.rewrite.take() {
            let _ = gated(account, rewrite.finish().seen.as_ref());
        }
    }

    /// The client does not read any more.
    async fn stopped(mut self, session: &mut Session<'_>, account: &mut Account, reason: Reason) -> Ending {
        if self.upstream.is_read_to_end() {
            // Boxed, like every future of a rare path.
            Box::pin(self.read_on(session, account)).await;
        }
        self.metered(account);
        self.watched(account);
        inspect::tapped(account, self.tap.take()).await;
        Ending { reason, clean: false }
    }

    /// Reads what the provider still says, for what it costs; nobody gets it.
    async fn read_on(&mut self, session: &mut Session<'_>, account: &mut Account) {
        self.parts.clear();
        while let Ok(next) = self.upstream.next(session, account).await {
            let chunk = match next {
                Next::Part(chunk) => chunk,
                Next::Quiet => continue,
                Next::End => return,
            };
            self.meter.push(chunk, &mut self.parts);
            self.seen(account);
            self.parts.clear();
            let has_room = !account.hold.ends_streams()
                || self.meter.progress().is_none_or(|progress| admit::go_on(account, &progress).is_ok());
            if self.upstream.is_done() || !has_room {
                return;
            }
        }
    }

    /// Goes on with an answer of which the first parts were held.
    pub(super) async fn run_from_held(
        mut self,
        session: &mut Session<'_>,
        account: &mut Account,
        head: Head,
    ) -> Ending {
        let reason = if head_is_error(account) { error_reason(account) } else { Reason::Completed };
        let mut written = self.write_head(session, account, head, true).await;
        while written.is_ok() {
            written = self.write(session, account, false).await;
            if written.is_err() {
                break;
            }
            match self.upstream.next(session, account).await {
                Ok(Next::Part(part)) => self.parts.push(part),
                Ok(Next::Quiet) => {}
                Ok(Next::End) => {
                    written = session.finish_with(self.upstream.trailers().as_deref()).await;
                    self.upstream.release();
                    return Ending::from_write(written, reason);
                }
                Err(stop) => return Ending { reason: stop.reason(), clean: false },
            }
        }
        Ending::from_write(written, reason)
    }
}

/// Leaves the first `bytes` of the parts.
fn truncate(parts: &mut Vec<Bytes>, mut bytes: usize) {
    parts.retain_mut(|part| {
        part.truncate(bytes);
        bytes -= part.len();
        !part.is_empty()
    });
}

/// What policies refuse is not kept.
fn forget(account: &mut Account) {
    if let Some(capture) = &mut account.capture {
        capture.forget_answer();
    }
}

/// What was seen of a gated stream is written down. Gives its refusal.
fn gated(account: &mut Account, seen: Option<&Seen>) -> Option<Refusal> {
    inspect::gated(account, seen?).err()
}
