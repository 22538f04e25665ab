//! The answer: passed on as it comes, or held as far as something in it has to be known.

use super::beside::Copy;
use super::find::Way;
use super::inspect::{self, Looks};
use super::send::Answered;
use crate::buffers::Share;
use crate::downstream::{Length, Session};
use crate::exchange::account::Account;
use crate::exchange::relay::{Ending, Next, Stop, Upstream, ending_reason, send_head};
use crate::exchange::{coding, objects};
use crate::gateway::Gateway;
use crate::guard::Tap;
use crate::respond::Refusal;
use crate::upstream::body::Framing;
use crate::upstream::head::{Coding, Content, Head};
use bytes::{Bytes, BytesMut};
use narrows_ledger::Object;
use narrows_llm::paths::{Answer, ids};
use narrows_llm::stream::{StreamDecoder, StreamOptions};
use narrows_llm::{Dialect, unary};

/// Relays an answer, binds what it names and takes what usage it reports.
pub(super) async fn answer(
    gateway: &Gateway,
    session: &mut Session<'_>,
    account: &mut Account,
    answered: Answered,
) -> Result<Ending, Refusal> {
    let Answered { target, way, object, connection, mut head, early, share } = answered;
    session.set_write_timeout(target.provider.timeouts.idle);
    let mut upstream = Upstream::new(account, &target, connection);
    account.streamed = head.status.is_success() && head.content == Content::Events;
    if account.streamed {
        let tap = inspect::tap(account, &way, &head)?;
        let metered = way.row.answer == Answer::Metered;
        return Ok(pass(
            session,
            account,
            upstream,
            head,
            Passing { metered, early, tap, ..Passing::default() },
        )
        .await);
    }
    let (waits, copy) = match inspect::answer(account, &head)? {
        Looks::Not => (false, None),
        Looks::First => (true, None),
        Looks::Beside(copy) => (false, Some(copy)),
    };
    let reads = match way.row.answer {
        _ if !head.status.is_success() => false,
        Answer::Plain | Answer::Bytes => false,
        Answer::Deleted => {
            // The last id of the path is what was deleted.
            if let Some(id) = way.ids.last() {
                gateway.ledger.objects().unbind(&target.provider.name, id);
            }
            false
        }
        Answer::Metered | Answer::Made(_) | Answer::Seen | Answer::List => is_json(&head),
    };
    if !reads && !waits {
        let passing = Passing { early, copy, ..Passing::default() };
        return Ok(pass(session, account, upstream, head, passing).await);
    }
    let share = share.unwrap_or_else(|| gateway.buffers.share());
    let held = hold(session, account, &mut upstream, share).await?;
    let whole = match held {
        Held::Whole(body) => body,
        Held::Part(parts) => {
            if reads {
                learn_start(account, &way, &head, &parts);
            }
            if waits {
                inspect::too_large_to_hold(account)?;
            }
            let passing = Passing { held: parts, early, copy, ..Passing::default() };
            return Ok(pass(session, account, upstream, head, passing).await);
        }
    };
    if reads && let Some(text) = plain(account, &head, &whole) {
        learn(account, &way, object.as_deref(), &text);
    }
    if waits && let Some(body) = inspect::shown(account, &head, &whole).await? {
        if !early {
            upstream.release();
        }
        head.forget_body();
        return Ok(replace(session, account, &head, body).await);
    }
    let passing = Passing { held: vec![whole], early, copy, ..Passing::default() };
    Ok(pass(session, account, upstream, head, passing).await)
}

/// Whether a head announces JSON.
fn is_json(head: &Head) -> bool {
    head.fields.split(|byte| *byte == b'\n').any(|line| {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let word = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        name.eq_ignore_ascii_case(b"content-type")
            && (word.eq_ignore_ascii_case(b"application/json") || word.ends_with(b"+json"))
    })
}

/// What was read of an answer.
pub(super) enum Held {
    /// All of it.
    Whole(Bytes),
    /// The beginning; it is too large, or there is no room for it.
    Part(Vec<Bytes>),
}

/// Reads an answer, up to the limit of copies that are made for reading, within `share` of the budget of buffers.
pub(super) async fn hold(
    session: &mut Session<'_>,
    account: &mut Account,
    upstream: &mut Upstream,
    mut share: Share,
) -> Result<Held, Refusal> {
    let limit = account.snapshot.limits.metered_copy;
    let mut body = BytesMut::new();
    loop {
        match part(upstream, session, account).await {
            Ok(Some(part)) => body.extend_from_slice(&part),
            Ok(None) => return Ok(Held::Whole(body.freeze())),
            Err(stop) => return Err(Refusal::new(stop.reason(), stop.message(upstream))),
        }
        if body.len() > limit || !share.grow_to(body.len()) {
            return Ok(Held::Part(vec![body.freeze()]));
        }
    }
}

/// The next part of an answer; `None` is its end.
async fn part(
    upstream: &mut Upstream,
    session: &mut Session<'_>,
    account: &mut Account,
) -> Result<Option<Bytes>, Stop> {
    loop {
        match upstream.next(session, account).await? {
            Next::Part(part) => return Ok(Some(part)),
            Next::End => return Ok(None),
            // Nobody asked to be told of silence.
            Next::Quiet => {}
        }
    }
}

/// An answer's text, unless it is compressed in a way that is not read.
pub(super) fn plain(account: &Account, head: &Head, body: &Bytes) -> Option<Bytes> {
    match head.coding {
        Coding::Identity => Some(body.clone()),
        coding => {
            coding::decode_answer(coding, body, account.snapshot.limits.metered_copy).ok().map(Bytes::from)
        }
    }
}

/// Takes out of an answer what has to be known.
fn learn(account: &mut Account, way: &Way, object: Option<&Object>, text: &Bytes) {
    match way.row.answer {
        Answer::Made(kind) => {
            let named = ids::named(way.family, text);
            objects::bind_named(account.gateway(), account, named, Some(kind));
        }
        // Of an object that nobody here is known to own, nothing else is owned either.
        Answer::Seen if object.is_some() => {
            let named = ids::named(way.family, text);
            objects::bind_named(account.gateway(), account, named, None);
        }
        Answer::Metered => {
            let answer = unary::read(METERED, text);
            account.mode = answer.mode;
            account.take_reported(&answer.usage, answer.reported, answer.model);
        }
        Answer::Seen | Answer::Plain | Answer::Bytes | Answer::Deleted | Answer::List => {}
    }
}

/// Takes out of the beginning of an answer whose object it is: one that is made belongs to its team however much the
/// provider says of it.
fn learn_start(account: &mut Account, way: &Way, head: &Head, parts: &[Bytes]) {
    let Answer::Made(kind) = way.row.answer else { return };
    let start = parts.first().filter(|_| head.coding == Coding::Identity);
    match start.and_then(|start| ids::named_at_start(way.family, start)) {
        Some(id) => objects::bind(account.gateway(), account, id, kind, None),
        None => tracing::warn!(
            exchange = %account.id_text(),
            "an answer cannot be read (limits.metered_copy): what it names is bound to nobody"
        ),
    }
}

/// Usage beside inference stands in a member `usage` of the body or of an event, as in this dialect.
const METERED: Dialect = Dialect::OpenaiResponses;

/// How an answer is passed on.
#[derive(Default)]
struct Passing {
    /// What was read of it.
    held: Vec<Bytes>,
    /// Whether its events say what was used.
    metered: bool,
    /// Whether it came before the request's end.
    early: bool,
    /// What looks at it.
    tap: Option<Tap>,
    /// What is looked at when it has passed.
    copy: Option<Copy>,
}

/// Passes an answer on as it comes, behind what was read of it.
async fn pass(
    session: &mut Session<'_>,
    account: &mut Account,
    mut upstream: Upstream,
    head: Head,
    passing: Passing,
) -> Ending {
    let Passing { held, metered, early, mut tap, mut copy } = passing;
    let reason = ending_reason(account);
    let _in_flight = account.streamed.then(|| account.stream_opened());
    let so_far: u64 = held.iter().map(|part| part.len() as u64).sum();
    let length = match head.framing {
        Framing::Length(length) => Length::Known(length),
        Framing::Empty => Length::Known(0),
        Framing::Chunked | Framing::UntilClose if upstream.is_done() => Length::Known(so_far),
        Framing::Chunked | Framing::UntilClose => Length::Open,
    };
    let mut meter = metered
        .then(|| Box::new(StreamDecoder::new(METERED, StreamOptions { hide_usage: false, hear: false })));
    let mut written = send_head(session, account, &head, length, !held.is_empty()).await;
    let mut parts = held.into_iter();
    let mut cut = None;
    while written.is_ok() {
        let part = match parts.next() {
            Some(part) => part,
            None => match part(&mut upstream, session, account).await {
                Ok(Some(part)) => part,
                Ok(None) => break,
                Err(stop) => {
                    cut = Some(stop.reason());
                    break;
                }
            },
        };
        if let Some(meter) = &mut meter {
            meter.push(part.clone(), &mut |_copy| {});
        }
        if let Some(tap) = &mut tap {
            tap.push(&part);
        }
        if let Some(copy) = &mut copy {
            copy.take(&part);
        }
        account.first_byte();
        account.response_bytes += part.len() as u64;
        written = session.write_body(part, false).await;
    }
    if let Some(meter) = meter {
        let outcome = meter.finish(&mut |_copy| {});
        account.mode = outcome.mode;
        account.take_reported(&outcome.usage, outcome.reported, outcome.model);
    }
    if cut.is_none() && written.is_ok() {
        written = session.finish_body().await;
    }
    let is_whole = cut.is_none() && written.is_ok();
    if cut.is_none() && !early {
        upstream.release();
    }
    // The client has what there is, and waits for nothing.
    inspect::tapped(account, tap).await;
    inspect::downloaded(account, copy, is_whole).await;
    match cut {
        Some(reason) => Ending { reason, clean: false },
        None => Ending::from_write(written, reason),
    }
}

/// Sends a body of our own making in the place of the provider's, under its head.
pub(super) async fn replace(
    session: &mut Session<'_>,
    account: &mut Account,
    head: &Head,
    body: Bytes,
) -> Ending {
    let reason = ending_reason(account);
    let mut written = send_head(session, account, head, Length::Known(body.len() as u64), true).await;
    if written.is_ok() {
        account.first_byte();
        account.response_bytes += body.len() as u64;
        written = session.write_body(body, true).await;
    }
    if written.is_ok() {
        written = session.finish_body().await;
    }
    Ending::from_write(written, reason)
}
