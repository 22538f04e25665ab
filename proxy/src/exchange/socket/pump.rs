//! Bytes in both directions, until one side says that it is over.

use super::frames::{close, like};
use super::inspect::{Ear, Inspector, News};
use super::meter::{Answers, Inspects, Message, Pricing, Questions, Refused};
use crate::buffers::Buffers;
use crate::downstream::Session;
use crate::exchange::account::Account;
use crate::exchange::relay::Ending;
use crate::exchange::route::Target;
use crate::exchange::tally::Counted;
use crate::gateway::CutSignal;
use crate::respond::Refusal;
use crate::upstream::h1::H1;
use bytes::BytesMut;
use narrows_llm::stream::Reported;
use narrows_meter::Cost;
use narrows_policy::{Gap, Reason};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// Room for what one side sent and the other has not read, in bytes; one for each direction.
const PART_BYTES_MAX: usize = 16 * 1024;
/// Time the other side has to end the conversation when one has.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);

/// What the relaying needs to know.
pub(super) struct Pump<'p> {
    pub(super) target: &'p Target,
    /// Longest message of a client that is held to be looked at, in bytes.
    pub(super) message_bytes_max: usize,
    pub(super) allows: Option<&'p (dyn Fn(&str) -> bool + Send + Sync)>,
    pub(super) settled: bool,
    /// Whether budgets and rate limits are asked at the first message.
    pub(super) is_unadmitted: bool,
    /// Where the room for what is held comes from.
    pub(super) buffers: &'p Arc<Buffers>,
}

/// What both directions tell.
struct Flow {
    begun: Instant,
    up: AtomicU64,
    down: AtomicU64,
    /// When something last passed, in milliseconds after `begun`.
    last_ms: AtomicU64,
    /// Whether bytes of the provider are being written to the client.
    writing: AtomicBool,
    /// Whether the provider's, and whether the client's goodbye has passed.
    goodbyes: [AtomicBool; 2],
    /// The model that the client's messages name first.
    named: OnceLock<Box<str>>,
}

impl Flow {
    fn passed(&self, counter: &AtomicU64, bytes: usize) {
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Relaxed);
    }
}

/// Why a direction is at its end.
enum Stop {
    /// The side that speaks closed its connection, or the other does not read any more.
    Gone(Reason),
    Refused(Refused),
    /// A policy refuses a message.
    Blocked(Refusal),
}

impl Pump<'_> {
    /// Relays until the end; the account gets the sums.
    pub(super) async fn run(
        &self,
        session: &mut Session<'_>,
        account: &mut Account,
        upstream: &mut H1,
        fields: &[u8],
    ) -> Ending {
        let Session::H1(h1) = session else { return Ending { reason: Reason::GatewayBug, clean: false } };
        if let Err(lost) = h1.write_switch(fields).await {
            return Ending { reason: lost.reason(), clean: false };
        }
        account.first_byte();
        let (client, early) = h1.tunnel();
        let (wire, ahead) = upstream.tunnel();
        let flow = Flow {
            begun: Instant::now(),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            last_ms: AtomicU64::new(0),
            writing: AtomicBool::new(false),
            goodbyes: Default::default(),
            named: OnceLock::new(),
        };
        let family = self.target.dialect.family();
        let news = Arc::new(News::default());
        let ear = Ear::new(account, self.target.dialect, Arc::clone(&news));
        let pricing = Pricing {
            tariff: self.target.provider.tariff.clone(),
            at_us: account.started_at_us,
            asked: Arc::clone(&self.target.model),
        };
        let mut answers = Answers::new(family, pricing, ear);
        let inspects = match &account.watch {
            // What is not admitted yet must not pass, whatever policies say.
            _ if self.is_unadmitted => Inspects::Before,
            None => Inspects::Not,
            Some(watch) if watch.guard.policies.only_logs() => Inspects::Beside,
            Some(_) => Inspects::Before,
        };
        let mut questions =
            Questions::new(family, self.message_bytes_max, self.allows, self.settled, inspects);
        let clock = Clock { started: account.started, cut: account.cut_signal() };
        let outcome = {
            let (client_read, client_write) = tokio::io::split(&mut *client);
            let (wire_read, wire_write) = tokio::io::split(&mut *wire);
            let down = down(wire_read, client_write, ahead, &flow, &mut answers);
            let room = Room { buffers: self.buffers, message_bytes_max: self.message_bytes_max };
            let inspector = Inspector::new(account, self.target, &news, self.is_unadmitted);
            let up = up(client_read, wire_write, early, &flow, &mut questions, &room, inspector);
            self.both(clock, &flow, down, up).await
        };
        // One side said goodbye: nothing is missing, whoever closed first.
        let said = answers.closed || questions.closed;
        let blocked;
        let (reason, farewell) = match outcome {
            Stop::Gone(Reason::ProviderCut | Reason::ClientGone) if said => (Reason::Completed, None),
            Stop::Gone(reason @ (Reason::ClientGone | Reason::Completed)) => (reason, None),
            Stop::Gone(reason) => {
                (reason, Some((if reason == Reason::ShuttingDown { 1001 } else { 1011 }, reason.as_str())))
            }
            Stop::Refused(refused) => {
                let (reason, code, words) = ending(&refused);
                (reason, Some((code, words)))
            }
            Stop::Blocked(refusal) => {
                blocked = refusal.message().to_owned();
                (refusal.reason, Some((1008, shortened(&blocked))))
            }
        };
        let whole = answers.between_frames() && !flow.writing.load(Ordering::Relaxed);
        if let Some((code, words)) = farewell.filter(|_| whole) {
            let goodbye = async {
                client.write_all(&close(code, words)).await?;
                client.flush().await
            };
            // The client may be gone; it is told if it is there.
            let _ = tokio::time::timeout(CLOSE_TIME_MAX, goodbye).await;
        }
        let _ = tokio::time::timeout(CLOSE_TIME_MAX, wire.shutdown()).await;
        if let Some(ear) = answers.ear.take() {
            ear.finish(account).await;
        }
        settle(account, &flow, answers, questions.model);
        Ending { reason, clean: true }
    }

    /// Both directions, the clocks and the end of the gateway, in one wait.
    async fn both(
        &self,
        clock: Clock,
        flow: &Flow,
        down: impl Future<Output = Stop>,
        up: impl Future<Output = Stop>,
    ) -> Stop {
        let (mut down, mut up) = (pin!(down), pin!(up));
        let Clock { started, cut } = clock;
        let timeouts = &self.target.provider.timeouts;
        let total = Instant::from_std(started) + timeouts.total;
        let mut first: Option<(Stop, bool)> = None;
        let mut timer = pin!(tokio::time::sleep_until(total.min(flow.begun + timeouts.idle)));
        poll_fn(|cx| {
            let ended_down = matches!(first, Some((_, true)));
            let ended_up = matches!(first, Some((_, false)));
            for is_down in [true, false] {
                let done = if is_down { ended_down } else { ended_up };
                if done {
                    continue;
                }
                let polled = if is_down { down.as_mut().poll(cx) } else { up.as_mut().poll(cx) };
                let Poll::Ready(stop) = polled else { continue };
                match (first.take(), stop) {
                    // The other side may still say goodbye, for a moment.
                    (None, stop @ Stop::Gone(_)) => {
                        first = Some((stop, is_down));
                        timer.as_mut().reset(Instant::now() + CLOSE_TIME_MAX);
                    }
                    (None, stop) => return Poll::Ready(stop),
                    (Some((before, _)), _) => return Poll::Ready(before),
                }
            }
            // Both have said goodbye: the server's side ends the connection (RFC 6455 §7.1.1), and that is us.
            if flow.goodbyes.iter().all(|said| said.load(Ordering::Relaxed)) {
                return Poll::Ready(Stop::Gone(Reason::Completed));
            }
            if cut.poll_raised(cx).is_ready() {
                return Poll::Ready(Stop::Gone(Reason::ShuttingDown));
            }
            while timer.as_mut().poll(cx).is_ready() {
                if let Some((stop, _)) = first.take() {
                    return Poll::Ready(stop);
                }
                let last = flow.begun + Duration::from_millis(flow.last_ms.load(Ordering::Relaxed));
                let (now, idle) = (Instant::now(), last + timeouts.idle);
                if now >= total {
                    return Poll::Ready(Stop::Gone(Reason::TotalTimeout));
                }
                if now >= idle {
                    return Poll::Ready(Stop::Gone(Reason::ProviderIdleTimeout));
                }
                timer.as_mut().reset(total.min(idle));
            }
            Poll::Pending
        })
        .await
    }
}

/// When a conversation has to end.
struct Clock {
    started: std::time::Instant,
    cut: CutSignal,
}

/// As much of a reason as a frame that says goodbye has room for (RFC 6455 §5.5), in bytes.
const FAREWELL_BYTES_MAX: usize = 123;

fn shortened(words: &str) -> &str {
    let end = (0..=FAREWELL_BYTES_MAX.min(words.len())).rev().find(|at| words.is_char_boundary(*at));
    words.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// What becomes of a conversation with such a message: for the record, and for the client.
fn ending(refused: &Refused) -> (Reason, u16, &'static str) {
    match refused {
        Refused::Model => {
            (Reason::ModelNotAllowed, 1008, "this key may not use a model of the message, or it names none")
        }
        Refused::TooLong => (Reason::BodyTooLarge, 1009, "the message is larger than the gateway's limit"),
        Refused::Malformed => {
            let words = "the message is not JSON in a WebSocket's frames, or names a member twice";
            (Reason::BodyMalformed, 1007, words)
        }
        Refused::NoRoom => {
            let words = "the gateway holds as many buffered bodies as it may; try again shortly";
            (Reason::BuffersFull, 1013, words)
        }
    }
}

/// What the provider sends.
async fn down(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    ahead: BytesMut,
    flow: &Flow,
    answers: &mut Answers,
) -> Stop {
    let mut part = ahead;
    loop {
        if !part.is_empty() {
            answers.note(&part, flow.named.get().map(|model| &**model));
            flow.writing.store(true, Ordering::Relaxed);
            let written = async {
                to.write_all(&part).await?;
                to.flush().await
            };
            if written.await.is_err() {
                return Stop::Gone(Reason::ClientGone);
            }
            flow.writing.store(false, Ordering::Relaxed);
            flow.passed(&flow.down, part.len());
            flow.goodbyes[0].store(answers.closed, Ordering::Relaxed);
            part.clear();
        }
        part.reserve(PART_BYTES_MAX);
        match from.read_buf(&mut part).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Stop::Gone(Reason::ProviderCut),
        }
    }
}

/// Bounds of what is held.
struct Room<'p> {
    buffers: &'p Arc<Buffers>,
    /// Longest message, in bytes.
    message_bytes_max: usize,
}

/// What the client sends. Bytes of a message whose model is not known yet are held, within the room.
async fn up(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    early: BytesMut,
    flow: &Flow,
    questions: &mut Questions<'_>,
    room: &Room<'_>,
    mut inspector: Option<Inspector<'_>>,
) -> Stop {
    let mut held = early;
    let mut share = room.buffers.share();
    let mut known = 0;
    loop {
        if held.len() > known {
            let fresh = held.get(known..).unwrap_or_default();
            let passes = match questions.note(known, fresh) {
                Ok(passes) => passes.min(held.len()),
                Err(refused) => return Stop::Refused(refused),
            };
            if let Some(model) = questions.model.as_ref().filter(|_| flow.named.get().is_none()) {
                flow.named.get_or_init(|| model.clone());
            }
            let part = held.split_to(passes);
            known = held.len();
            let messages = questions.messages();
            let (first, then) =
                if questions.looks_first() { (messages, Vec::new()) } else { (Vec::new(), messages) };
            let (part, blocked) = inspected(&mut inspector, part, first).await;
            let written = async {
                to.write_all(&part).await?;
                to.flush().await
            };
            if !part.is_empty() && written.await.is_err() {
                return Stop::Gone(Reason::ProviderCut);
            }
            flow.passed(&flow.up, part.len());
            if let Some(refusal) = blocked {
                return Stop::Blocked(refusal);
            }
            if let Some(refused) = questions.refused() {
                return Stop::Refused(refused);
            }
            flow.goodbyes[1].store(questions.closed, Ordering::Relaxed);
            passed(&mut inspector, then, questions.missed()).await;
        }
        if held.len() > room.message_bytes_max.saturating_add(PART_BYTES_MAX) {
            return Stop::Refused(Refused::TooLong);
        }
        if held.is_empty() {
            share = room.buffers.share();
            if held.capacity() > PART_BYTES_MAX {
                held = BytesMut::new();
            }
        } else if !share.grow_to(2 * (held.len() + PART_BYTES_MAX)) {
            // Twice: as it came, and as it is put together to be read.
            return Stop::Refused(Refused::NoRoom);
        }
        held.reserve(PART_BYTES_MAX);
        match from.read_buf(&mut held).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Stop::Gone(Reason::ClientGone),
        }
    }
}

/// Looks at messages that have passed, because policies only write down what is in them.
async fn passed(inspector: &mut Option<Inspector<'_>>, messages: Vec<Message>, missed: Option<Gap>) {
    let Some(inspector) = inspector else { return };
    for message in messages {
        // Nothing refuses or masks it: policies that could would have had it held.
        let _ = inspector.look(message).await;
    }
    if let Some(gap) = missed {
        inspector.miss(gap);
    }
}

/// What may pass of bytes with these messages in them, and what does not.
async fn inspected(
    inspector: &mut Option<Inspector<'_>>,
    part: BytesMut,
    messages: Vec<Message>,
) -> (BytesMut, Option<Refusal>) {
    let Some(inspector) = inspector.as_mut().filter(|_| !messages.is_empty()) else { return (part, None) };
    let (mut passing, mut at) = (BytesMut::new(), 0);
    for message in messages {
        let (start, end) = (message.place.start, message.place.end);
        passing.extend_from_slice(part.get(at..start).unwrap_or_default());
        let came = part.get(start..end).unwrap_or_default();
        match inspector.look(message).await {
            Ok(None) => passing.extend_from_slice(came),
            Ok(Some(masked)) => match like(came, &masked) {
                Some(frame) => passing.extend_from_slice(&frame),
                None => {
                    let message = "a masked message could not be put into a frame";
                    return (passing, Some(Refusal::new(Reason::GatewayBug, message)));
                }
            },
            Err(refusal) => return (passing, Some(refusal)),
        }
        at = end;
    }
    passing.extend_from_slice(part.get(at..).unwrap_or_default());
    (passing, None)
}

fn settle(account: &mut Account, flow: &Flow, answers: Answers, model: Option<Box<str>>) {
    account.request_bytes += flow.up.load(Ordering::Relaxed);
    account.response_bytes += flow.down.load(Ordering::Relaxed);
    if account.model_requested.is_none() {
        account.model_requested = model.clone().map(Arc::from);
        account.model_sent = model.map(Arc::from);
    }
    let complete = answers.is_complete();
    if !complete {
        account.unread();
    }
    let mut shares = answers.shares.into_iter();
    let Some(own) = shares.next() else {
        let asked_nothing = account.is_responses_socket() && complete && answers.begun == 0;
        account.own_cost = asked_nothing.then_some(Cost::ZERO);
        return;
    };
    let reported = if complete { Reported::Complete } else { Reported::Partial };
    account.take_usage(&own.usage, reported, &Counted::default(), answers.model);
    (account.own_cost, account.mode) = (Some(own.cost), own.mode);
    for share in shares {
        account.also_use(share.model.map(Arc::from), share.usage, share.cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrows_llm::Family;

    /// A binary frame; masked with zeros, which changes nothing.
    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut wire = vec![0x82, 0x80 | 127];
        wire.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        wire.extend_from_slice(&[0; 4]);
        wire.extend_from_slice(payload);
        wire
    }

    fn flow() -> Flow {
        Flow {
            begun: Instant::now(),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            last_ms: AtomicU64::new(0),
            writing: AtomicBool::new(false),
            goodbyes: Default::default(),
            named: OnceLock::new(),
        }
    }

    #[tokio::test]
    async fn what_is_held_is_room_of_the_process_and_comes_back_when_it_passes() {
        let allows = |model: &str| model == "good";
        let padding = "x".repeat(100_000);
        let wire =
            frame(format!(r#"{{"type":"response.create","model":"good","x":"{padding}"}}"#).as_bytes());
        for (bytes, limit, refused) in [
            (1 << 20, 1 << 20, None),
            (150_000, 1 << 20, Some((1013, Reason::BuffersFull))),
            (1 << 20, 50_000, Some((1009, Reason::BodyTooLarge))),
        ] {
            let (buffers, flow) = (Buffers::new(bytes), flow());
            let mut questions = Questions::new(Family::Openai, limit, Some(&allows), false, Inspects::Not);
            let room = Room { buffers: &buffers, message_bytes_max: limit };
            let (client, near) = tokio::io::duplex(1 << 20);
            let (mut far, provider) = tokio::io::duplex(1 << 20);
            let (from, _) = tokio::io::split(near);
            let relaying = up(from, provider, BytesMut::new(), &flow, &mut questions, &room, None);
            let talking = async {
                let mut client = client;
                let (first, rest) = wire.split_at(60_000);
                client.write_all(first).await.unwrap();
                let mut rounds = 0;
                while refused.is_none() && buffers.used() < 2 * first.len() {
                    rounds += 1;
                    assert!(rounds < 1000, "both copies count: {}", buffers.used());
                    tokio::task::yield_now().await;
                }
                client.write_all(rest).await.unwrap();
                if refused.is_none() {
                    let mut heard = vec![0; wire.len()];
                    far.read_exact(&mut heard).await.unwrap();
                    assert!(heard == wire);
                    while buffers.used() > 0 {
                        rounds += 1;
                        assert!(rounds < 1000, "nothing is held any more: {}", buffers.used());
                        tokio::task::yield_now().await;
                    }
                }
                client.shutdown().await.unwrap();
                client
            };
            let (stop, _client) = tokio::join!(relaying, talking);
            match (stop, refused) {
                (Stop::Gone(Reason::ClientGone), None) => {}
                (Stop::Refused(how), Some(expected)) => {
                    let (reason, code, words) = ending(&how);
                    assert_eq!((code, reason), expected);
                    assert!(words.len() <= 123, "it fits into a frame");
                }
                _ => panic!("another end than {refused:?}"),
            }
            assert_eq!(buffers.used(), 0);
        }
    }

    #[tokio::test]
    async fn without_limits_of_the_key_nothing_is_held_and_no_room_taken() {
        let (buffers, flow) = (Buffers::new(0), flow());
        let mut questions = Questions::new(Family::Openai, 10, None, false, Inspects::Not);
        let room = Room { buffers: &buffers, message_bytes_max: 10 };
        let (wire, mut heard) = (frame(&[b'x'; 50_000]), Vec::new());
        let stop = up(&wire[..], &mut heard, BytesMut::new(), &flow, &mut questions, &room, None).await;
        assert!(matches!(stop, Stop::Gone(Reason::ClientGone)) && heard == wire);
    }
}
