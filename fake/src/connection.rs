//! One client's connection: requests in, answers out, at the asked pace and with the asked faults.

use crate::billed::{End, Line};
use crate::clock::monotonic_ns;
use crate::knobs::Fault;
use crate::prepared::{Key, Prepared};
use crate::provider::{Seen, Server};
use crate::request::{self, Request};
use crate::wire::Served;
use anyhow::Result;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep, sleep_until};

/// Pieces of a slow head.
const SLOW_HEAD_PIECES: usize = 16;

/// Why the sending of an answer ended before its end.
enum Stop {
    /// Close the connection after what was sent (FIN).
    Close,
    /// The client has left.
    Gone,
}

/// Serves a connection until either side closes it.
pub(crate) async fn serve(mut stream: Served, server: Arc<Server>) -> Result<()> {
    let (mut input, mut body, mut out) = (Vec::new(), Vec::new(), Vec::new());
    let mut last: Option<Arc<Prepared>> = None;
    while let Some(request) = request::read(&mut stream, &mut input, &mut body).await? {
        let prepared = choose(&server, &request, &input, &body, last.take());
        let close = request.head.close;
        input.drain(..request.consumed);
        let id = server.next_id();
        let line = server.ledger.open(|| {
            let mut bill = prepared.bill.clone();
            bill.id = id;
            bill
        });
        let mut sender = Sender { stream: &mut stream, out: &mut out, prepared: &prepared };
        let ended = sender.answer(id, &line).await;
        let refused = prepared.bill.end == End::Refused;
        match ended {
            Ok(()) => line.end(if refused { End::Refused } else { End::Complete }),
            Err(Stop::Close) => {
                line.end(End::Cut);
                return Ok(());
            }
            Err(Stop::Gone) => {
                line.end(End::ClientGone);
                return Ok(());
            }
        }
        if close {
            return Ok(());
        }
        last = Some(prepared);
    }
    Ok(())
}

/// The answer to a request: the connection's last one if it is the same request again.
fn choose(
    server: &Server,
    request: &Request,
    input: &[u8],
    body: &[u8],
    last: Option<Arc<Prepared>>,
) -> Arc<Prepared> {
    let head = &request.head;
    let part = |place: &std::ops::Range<usize>| input.get(place.clone()).unwrap_or_default();
    let credential = part(&head.credential);
    let refused = server.config.require_key.as_deref().is_some_and(|key| key.as_bytes() != credential);
    let key = Key {
        method: part(&head.method),
        target: part(&head.target),
        knobs: if refused { b"status=401;fault=none" } else { part(&head.knobs) },
        anthropic: head.anthropic,
        body: request.body.as_ref().map_or(body, part),
    };
    server.capture(|| Seen::new(part(&(0..head.end)), key.body));
    if let Some(prepared) = Prepared::of_guardrail(&key, &server.config.knobs) {
        return Arc::new(prepared);
    }
    if key.knobs.is_empty()
        && let Some(draft) = server.objects.answer(&key)
    {
        return Arc::new(Prepared::of_object(&key, draft));
    }
    if key.method == b"POST" && key.target.ends_with(b"/responses") {
        server.objects.keep_response(crate::dialect::RESPONSE_ID);
    }
    match last.filter(|last| last.is_for(&key) && last.answer.status != 401) {
        Some(same) => same,
        None => server.store.get(&key, &server.config.knobs, &String::from_utf8_lossy(credential)),
    }
}

struct Sender<'c> {
    stream: &'c mut Served,
    out: &'c mut Vec<u8>,
    prepared: &'c Prepared,
}

impl Sender<'_> {
    async fn answer(&mut self, id: u64, line: &Line<'_>) -> Result<(), Stop> {
        let (knobs, answer) = (&self.prepared.knobs, &self.prepared.answer);
        if knobs.first_ms > 0 {
            self.pause(Instant::now() + Duration::from_millis(knobs.first_ms)).await?;
        }
        match knobs.fault {
            Some(Fault::CloseBeforeHead) => return Err(Stop::Close),
            Some(Fault::Reset(0)) => return Err(self.reset()),
            _ => {}
        }
        self.out.clear();
        self.out.extend_from_slice(&answer.wire);
        answer.number(self.out, id);
        let mut sent = 0;
        if let Some(Fault::SlowHead(gap_ms)) = knobs.fault {
            self.slow_head(gap_ms).await?;
            sent = answer.head_end;
        }
        let said_limit = match knobs.fault {
            Some(
                Fault::CutAfter(limit)
                | Fault::StallAfter(limit)
                | Fault::Reset(limit)
                | Fault::BadChunk(limit),
            ) => Some(limit),
            _ => None,
        };
        match said_limit {
            None if knobs.burst || answer.steps.len() == 1 => {
                self.at_once(sent, line).await?;
            }
            Some(_) if !self.prepared.streamed => {
                line.generated(answer.steps.last().map_or(0, |step| step.output));
                let half = answer.head_end + (answer.wire.len() - answer.head_end) / 2;
                self.write(sent, half).await?;
                return Err(self.fail().await);
            }
            _ => {
                if !self.by_steps(sent, said_limit, line).await? {
                    return Err(self.fail().await);
                }
            }
        }
        Ok(())
    }

    /// The whole answer in as few writes as possible.
    async fn at_once(&mut self, sent: usize, line: &Line<'_>) -> Result<(), Stop> {
        let answer = &self.prepared.answer;
        if self.prepared.knobs.stamp {
            let now = monotonic_ns();
            answer.steps.iter().for_each(|step| step.stamp(self.out, now));
        }
        line.generated(answer.steps.last().map_or(0, |step| step.output));
        self.write(sent, answer.wire.len()).await
    }

    /// Step by step: each content step waits for its time and is written alone. False when `limit` content steps
    /// were sent and more would follow.
    async fn by_steps(
        &mut self,
        mut sent: usize,
        limit: Option<usize>,
        line: &Line<'_>,
    ) -> Result<bool, Stop> {
        let (knobs, answer) = (&self.prepared.knobs, &self.prepared.answer);
        let gap = Duration::from_millis(knobs.gap_ms);
        let mut due = Instant::now();
        let mut said = 0;
        if answer.steps.first().is_some_and(|first| first.content) && sent < answer.head_end {
            self.write(sent, answer.head_end).await?;
            sent = answer.head_end;
        }
        for step in &answer.steps {
            if step.content {
                if limit == Some(said) {
                    let start = if knobs.burst { self.step_start(said).max(sent) } else { sent };
                    let half = if knobs.within { step.end.saturating_sub(start) / 2 } else { 0 };
                    if knobs.within {
                        // It was generated, though not all of it leaves.
                        line.generated(step.output);
                    }
                    self.write(sent, start + half).await?;
                    return Ok(false);
                }
                said += 1;
                if knobs.gap_ms > 0 {
                    due += gap;
                    self.pause(due).await?;
                }
            }
            if knobs.stamp {
                step.stamp(self.out, monotonic_ns());
            }
            line.generated(step.output);
            if !knobs.burst {
                self.write(sent, step.end).await?;
                sent = step.end;
                if knobs.gap_ms == 0 {
                    // Others get their turn, so that undelayed chunks leave one by one and not back to back.
                    tokio::task::yield_now().await;
                }
            }
        }
        if knobs.burst {
            self.write(sent, answer.wire.len()).await?;
        }
        // A limit past the last chunk still cuts the end of the stream off.
        Ok(limit.is_none())
    }

    /// Where the content step after `said` content steps starts.
    fn step_start(&self, said: usize) -> usize {
        let mut start = 0;
        let mut before = 0;
        for step in &self.prepared.answer.steps {
            if step.content {
                if before == said {
                    break;
                }
                before += 1;
            }
            start = step.end;
        }
        start
    }

    /// What a cutting fault does once it has sent all it will send.
    async fn fail(&mut self) -> Stop {
        match self.prepared.knobs.fault {
            Some(Fault::Reset(_)) => self.reset(),
            Some(Fault::BadChunk(_)) => {
                // The connection closes whether or not the client wanted it.
                let _gone = self.stream.write_all(b"no chunk\r\n").await;
                Stop::Close
            }
            Some(Fault::StallAfter(_)) => {
                let forever = Instant::now() + Duration::from_millis(crate::knobs::MAX_DELAY_MS);
                match self.pause(forever).await {
                    Ok(()) => Stop::Close,
                    Err(stop) => stop,
                }
            }
            _ => Stop::Close,
        }
    }

    fn reset(&self) -> Stop {
        // A linger time of zero makes closing a reset; if the socket refuses, the client sees a plain close.
        let _best_effort = self.stream.set_zero_linger();
        Stop::Close
    }

    async fn slow_head(&mut self, gap_ms: u64) -> Result<(), Stop> {
        let end = self.prepared.answer.head_end;
        for piece in 0..SLOW_HEAD_PIECES {
            let place = |index: usize| end * index / SLOW_HEAD_PIECES;
            self.write(place(piece), place(piece + 1)).await?;
            sleep(Duration::from_millis(gap_ms)).await;
        }
        Ok(())
    }

    async fn write(&mut self, from: usize, to: usize) -> Result<(), Stop> {
        let bytes = self.out.get(from..to).unwrap_or_default();
        let size = match self.prepared.knobs.write_bytes {
            0 => bytes.len().max(1),
            size => size,
        };
        for piece in bytes.chunks(size) {
            self.stream.write_all(piece).await.map_err(|_gone| Stop::Gone)?;
            self.stream.flush().await.map_err(|_gone| Stop::Gone)?;
            if piece.len() < bytes.len() {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Waits until `due`, or until the client closes its connection.
    async fn pause(&mut self, due: Instant) -> Result<(), Stop> {
        let mut byte = [0u8; 1];
        tokio::select! {
            biased;
            () = sleep_until(due) => Ok(()),
            peeked = self.stream.peek(&mut byte) => match peeked {
                // A request sent ahead of its turn; it is read when this answer is done.
                Ok(1..) => { sleep_until(due).await; Ok(()) }
                Ok(0) | Err(_) => Err(Stop::Gone),
            },
        }
    }
}
