//! What policies say to requests and answers beside inference. What is held is looked at, and masked or refused as
//! anywhere; what streams through because it is too large to be held, or is no text, is said not to have been.

use super::Payload;
use super::answer::plain;
use super::beside::{Copy, Looked, Reads};
use super::find::Way;
use super::read::{Held, Stream, too_large};
use crate::downstream::Session;
use crate::exchange::account::Account;
use crate::exchange::inspect::{Asked, Watch, begin, judge, look};
use crate::exchange::route::Target;
use crate::exchange::{coding, read};
use crate::guard::{About, Consulted, Decode, Otherwise, Pieces, Sight, Tap, Values, is_media};
use crate::respond::Refusal;
use crate::upstream::head::{Coding, Head};
use bytes::Bytes;
use http::header;
use narrows_guard::Provenance;
use narrows_guard::body::{Splice, splice};
use narrows_llm::Dialect;
use narrows_llm::request::Edit;
use narrows_policy::{Gap, Reason, Stage};
use std::sync::Arc;

/// Looks at a request's body; it is changed where it is masked. Only here is a file read that otherwise streams through,
/// and only where a policy asks.
pub(super) async fn request(
    session: &mut Session<'_>,
    account: &mut Account,
    target: &Target,
    way: &Way,
    payload: Payload,
) -> Result<Payload, Refusal> {
    if account.snapshot.guard.is_idle() {
        return Ok(payload);
    }
    let models = match &payload {
        Payload::Held(held) => super::place::models_in(way, &held.body.text).unwrap_or_default(),
        Payload::Streams(_) => Vec::new(),
    };
    let models: Vec<&str> = models.iter().map(|model| &**model).collect();
    begin(account, target, &Asked { dialect: way.dialect, models: &models, choice: None, stream: false })?;
    let Some(mut watch) = account.watch.take() else { return Ok(payload) };
    let seen = body(session, account, &mut watch, payload).await;
    account.watch = Some(watch);
    seen
}

async fn body(
    session: &mut Session<'_>,
    account: &mut Account,
    watch: &mut Watch,
    payload: Payload,
) -> Result<Payload, Refusal> {
    let kind = session.head().headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
    let mut stream = match payload {
        Payload::Held(held) => return held_body(account, watch, &kind, held).await.map(Payload::Held),
        Payload::Streams(stream) => stream,
    };
    if is_off(watch, Stage::Request) {
        unseen(account, watch, Stage::Request, Gap::Off)?;
    } else if is_media(&kind) {
        unseen(account, watch, Stage::Request, Gap::NotText)?;
    } else if !watch.holds_requests() {
        let coding = session.head().headers.get(header::CONTENT_ENCODING).map(|coding| coding.as_bytes());
        let coding = coding.filter(|coding| !coding.eq_ignore_ascii_case(b"identity")).map(<[u8]>::to_vec);
        stream.copy = Some(copy(account, watch, Reads { kind, coding, author: Provenance::Document }));
    } else if !hold(session, account, &mut stream, watch.guard.body_max).await? {
        unseen(account, watch, Stage::Request, Gap::TooLarge)?;
    } else {
        return complete(session, account, watch, &kind, stream).await;
    }
    Ok(Payload::Streams(stream))
}

/// A copy of what is about to pass.
fn copy(account: &Account, watch: &Watch, reads: Reads) -> Copy {
    let limit = watch.guard.body_max.min(account.snapshot.limits.metered_copy);
    Copy::new(reads, limit, account.gateway().buffers.share())
}

/// A body has streamed to the provider, as far as it came: its copy is looked at, beside the answer.
pub(super) fn uploaded(account: &mut Account, copy: Option<Copy>, ended: bool) {
    if let (Some(copy), Some(watch)) = (copy, &mut account.watch) {
        watch.beside = Some(copy.look(&watch.guard, &account.caller.organization, ended));
    }
}

/// What was seen of a request's copy is written down.
pub(super) async fn settled(account: &mut Account) {
    if let Some(looking) = account.watch.as_mut().and_then(|watch| watch.beside.take()) {
        let looked = looking.finish().await;
        copied(account, Stage::Request, &looked).await;
    }
}

/// An answer has passed, as far as it came: its copy is looked at, and what was seen is written down.
pub(super) async fn downloaded(account: &mut Account, copy: Option<Copy>, ended: bool) {
    let (Some(copy), Some(watch)) = (copy, &account.watch) else { return };
    let looked = copy.look(&watch.guard, &account.caller.organization, ended).finish().await;
    copied(account, Stage::Response, &looked).await;
}

async fn copied(account: &mut Account, stage: Stage, looked: &Looked) {
    let Some(mut watch) = account.watch.take() else { return };
    let guard = Arc::clone(&watch.guard);
    let consulted =
        guard.ask_of_pieces(&About::of(account), &watch.scope, stage, looked.pieces.as_ref()).await;
    // It has passed already: nothing is masked, and no policy refuses.
    let values = Values::In(looked.text());
    let _ = judge(account, &mut watch, stage, &looked.sight, values, &consulted);
    account.watch = Some(watch);
}

/// A body that was held in any case.
async fn held_body(
    account: &mut Account,
    watch: &mut Watch,
    kind: &str,
    mut held: Held,
) -> Result<Held, Refusal> {
    let text = held.body.text.clone();
    let splices = if held.is_json || text.is_empty() {
        look(account, watch, Stage::Request, &text, Otherwise::Unreadable).await?
    } else {
        look_at_pieces(account, watch, Stage::Request, &text, (kind, Provenance::Document)).await?
    };
    mask(&mut held.edits, splices);
    if watch.holds_requests() {
        // What was looked at, without what its coding may carry beside it.
        (held.body.wire, held.body.compressed) = (text, false);
    }
    Ok(held)
}

/// A file that was read to its end to be looked at.
async fn complete(
    session: &Session<'_>,
    account: &mut Account,
    watch: &mut Watch,
    kind: &str,
    stream: Stream,
) -> Result<Payload, Refusal> {
    let coding = session.head().headers.get(header::CONTENT_ENCODING);
    let coding = coding.filter(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let decoded =
        coding.map(|coding| coding::decode_body(coding.as_bytes(), &stream.ahead, watch.guard.body_max));
    let decoded = match decoded {
        None => None,
        Some(Ok(text)) => Some(Bytes::from(text)),
        Some(Err(fault)) => {
            let gap = match fault {
                coding::DecodeFault::TooLarge => Gap::ExpansionCap,
                coding::DecodeFault::Unknown | coding::DecodeFault::Corrupt => Gap::Undecodable,
            };
            unseen(account, watch, Stage::Request, gap)?;
            return Ok(Payload::Streams(stream));
        }
    };
    let Stream { ahead, mut share, .. } = stream;
    let wire = ahead.freeze();
    let compressed = decoded.is_some();
    let text = decoded.unwrap_or_else(|| wire.clone());
    if compressed && !share.grow_to(wire.len() + text.len()) {
        return Err(read::buffers_full());
    }
    let splices = look_at_pieces(account, watch, Stage::Request, &text, (kind, Provenance::Document)).await?;
    let mut edits = Vec::new();
    mask(&mut edits, splices);
    // What was looked at, without what its coding may carry beside it.
    let body = read::Body { wire: text.clone(), text, compressed: false, share };
    Ok(Payload::Held(Held { body, is_json: false, field: None, edits }))
}

/// Reads the rest of a body, as far as it may be inspected. False when there is more.
async fn hold(
    session: &mut Session<'_>,
    account: &mut Account,
    stream: &mut Stream,
    most: usize,
) -> Result<bool, Refusal> {
    let most_length = u64::try_from(most).unwrap_or(u64::MAX);
    if stream.length.is_some_and(|length| length > most_length) {
        return Ok(false);
    }
    let limit = account.snapshot.limits.upload_body as u64;
    let within = account.snapshot.timeouts.request_body;
    while !stream.complete && stream.ahead.len() <= most {
        let part = tokio::time::timeout(within, session.read_body(0)).await;
        let part = part.map_err(|_elapsed| read::lost(crate::downstream::Lost::Stalled))?;
        let Some(part) = part.map_err(read::lost)? else {
            stream.complete = true;
            break;
        };
        account.request_bytes += part.len() as u64;
        if account.request_bytes > limit {
            return Err(too_large(limit));
        }
        if !stream.share.grow_to(stream.ahead.len() + part.len()) {
            return Err(read::buffers_full());
        }
        stream.ahead.extend_from_slice(&part);
    }
    let length = stream.ahead.len();
    if stream.complete && stream.length.is_some_and(|announced| announced != length as u64) {
        let message = "the body is shorter than its content-length says";
        return Err(Refusal::new(Reason::BodyMalformed, message).closing());
    }
    Ok(stream.complete && length <= most)
}

/// Adds masks to what else changes. What is replaced as a whole already needs none.
fn mask(edits: &mut Vec<Edit>, splices: Vec<Splice>) {
    let masks = splices.into_iter().filter(|splice| {
        let meets = |edit: &Edit| edit.range.start < splice.range.end && splice.range.start < edit.range.end;
        !edits.iter().any(meets)
    });
    let masks: Vec<Edit> =
        masks.map(|splice| Edit { range: splice.range, replacement: splice.with.into() }).collect();
    edits.extend(masks);
}

fn is_off(watch: &Watch, stage: Stage) -> bool {
    watch.guard.policies.needs(&watch.scope, stage).is_nothing()
}

/// Writes down that a body was not looked at, and why; policies that need it inspected refuse it.
fn unseen(account: &mut Account, watch: &mut Watch, stage: Stage, gap: Gap) -> Result<(), Refusal> {
    judge(account, watch, stage, &Sight::none(gap), Values::In(""), &Consulted::nobody()).map(drop)
}

/// Looks at a body of this content type, which `of` has written where it is no field of a form.
async fn look_at_pieces(
    account: &mut Account,
    watch: &mut Watch,
    stage: Stage,
    body: &Bytes,
    (kind, of): (&str, Provenance),
) -> Result<Vec<Splice>, Refusal> {
    if is_off(watch, stage) {
        unseen(account, watch, stage, Gap::Off)?;
        return Ok(Vec::new());
    }
    let guard = Arc::clone(&watch.guard);
    let pieces = Arc::new(Pieces::of(kind, body, of));
    let (sight, consulted) = guard.look_at_pieces(&About::of(account), &watch.scope, stage, &pieces).await;
    judge(account, watch, stage, &sight, Values::In(pieces.text()), &consulted)
}

/// How an answer is looked at.
pub(super) enum Looks {
    /// Nobody does.
    Not,
    /// It is held until policies have said what becomes of it.
    First,
    /// It passes, and a copy of it is looked at.
    Beside(Copy),
}

/// How an answer is to be looked at. What policies say by place alone is said here, and of what is not looked at that it
/// is not.
pub(super) fn answer(account: &mut Account, head: &Head) -> Result<Looks, Refusal> {
    crate::exchange::inspect::admit_answer(account, Stage::Response)?;
    let Some(mut watch) = account.watch.take() else { return Ok(Looks::Not) };
    let gap = match () {
        () if is_off(&watch, Stage::Response) => Some(Gap::Off),
        () if is_media(&content_type(head)) => Some(Gap::NotText),
        () => None,
    };
    let waits =
        watch.guard.policies.needs(&watch.scope, Stage::Response).hold || watch.placeholders().is_some();
    let looks = match gap {
        Some(gap) => unseen(account, &mut watch, Stage::Response, gap).map(|()| Looks::Not),
        None if waits => Ok(Looks::First),
        None => {
            let coding = coding::word(head.coding).map(<[u8]>::to_vec);
            let reads = Reads { kind: content_type(head), coding, author: Provenance::Assistant };
            Ok(Looks::Beside(copy(account, &watch, reads)))
        }
    };
    account.watch = Some(watch);
    looks
}

/// An answer that turned out to be too large to be held.
pub(super) fn too_large_to_hold(account: &mut Account) -> Result<(), Refusal> {
    let Some(mut watch) = account.watch.take() else { return Ok(()) };
    let said = unseen(account, &mut watch, Stage::Response, Gap::TooLarge);
    account.watch = Some(watch);
    said
}

/// Looks at an answer that is held whole: gives what is sent in its place, or nothing where it is sent as it is.
pub(super) async fn shown(
    account: &mut Account,
    head: &Head,
    body: &Bytes,
) -> Result<Option<Bytes>, Refusal> {
    let Some(mut watch) = account.watch.take() else { return Ok(None) };
    let shown = shown_by(account, &mut watch, head, body).await;
    account.watch = Some(watch);
    shown
}

async fn shown_by(
    account: &mut Account,
    watch: &mut Watch,
    head: &Head,
    body: &Bytes,
) -> Result<Option<Bytes>, Refusal> {
    let Some(text) = plain(account, head, body) else {
        unseen(account, watch, Stage::Response, Gap::Undecodable)?;
        return Ok(None);
    };
    let splices = if text.is_empty() {
        look(account, watch, Stage::Response, &text, Otherwise::Unreadable).await?
    } else {
        let kind = content_type(head);
        look_at_pieces(account, watch, Stage::Response, &text, (&kind, Provenance::Assistant)).await?
    };
    let masked = (!splices.is_empty()).then(|| Bytes::from(splice(&text, splices.clone())));
    let restored = watch.put_back(masked.as_ref().unwrap_or(&text), splices);
    Ok(restored.or(masked))
}

/// What looks at a stream of events beside the bytes that pass, where it is one of which the texts are known.
pub(super) fn tap(account: &mut Account, way: &Way, head: &Head) -> Result<Option<Tap>, Refusal> {
    crate::exchange::inspect::admit_answer(account, Stage::Stream)?;
    let Some(mut watch) = account.watch.take() else { return Ok(None) };
    if watch.guard.policies.needs(&watch.scope, Stage::Stream).hold {
        // Streams of these paths are not gated: a policy that wants that refuses, or lets them pass uninspected.
        let said = unseen(account, &mut watch, Stage::Stream, Gap::Undecodable);
        account.watch = Some(watch);
        return said.map(|()| None);
    }
    let is_known = ["openai.audio", "openai.stored_responses"].contains(&way.dialect);
    let decoder = |coding| coding::Decoder::new(coding, account.snapshot.limits.metered_copy);
    let decode = Some(head.coding).filter(|coding| *coding != Coding::Identity).and_then(decoder);
    let gap = match () {
        () if is_off(&watch, Stage::Stream) => Some(Gap::Off),
        () if !is_known => Some(Gap::PassThrough),
        () if head.coding != Coding::Identity && decode.is_none() => Some(Gap::Undecodable),
        () => None,
    };
    let tap = match gap {
        Some(gap) => {
            // Nothing in a stream is refused for what is in it.
            let _ = unseen(account, &mut watch, Stage::Stream, gap);
            None
        }
        None => {
            let decode = decode.map(|decoder| Box::new(decoder) as Box<dyn Decode>);
            let tap = Tap::new(&watch.guard, &account.caller.organization, Dialect::OpenaiResponses, decode);
            let asks = !watch.guard.policies.needs(&watch.scope, Stage::Stream).validators.is_empty();
            Some(if asks { tap.keeping() } else { tap })
        }
    };
    account.watch = Some(watch);
    Ok(tap)
}

/// A stream has ended: what was seen of it is judged, and written down.
pub(super) async fn tapped(account: &mut Account, tap: Option<Tap>) {
    let Some(tap) = tap else { return };
    let seen = tap.finish().await;
    if let Some(mut watch) = account.watch.take() {
        let guard = Arc::clone(&watch.guard);
        let consulted = guard.ask_of_stream(&About::of(account), &watch.scope, seen.texts).await;
        // It is with the client already: nothing is masked, and nothing refused.
        let values = Values::Prints(&seen.prints);
        let _ = judge(account, &mut watch, Stage::Stream, &seen.sight, values, &consulted);
        account.watch = Some(watch);
    }
}

/// The content type of an answer; empty where it has none.
fn content_type(head: &Head) -> String {
    let line = head.fields.split(|byte| *byte == b'\n').find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        name.eq_ignore_ascii_case(b"content-type").then(|| value.get(1..).unwrap_or_default())
    });
    String::from_utf8_lossy(line.unwrap_or_default().trim_ascii()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_replaced_as_a_whole_is_not_masked_too() {
        let mut edits = vec![Edit { range: 10..20, replacement: "m".to_owned().into() }];
        let splice = |range: std::ops::Range<usize>| Splice { range, with: "[X]".into() };
        mask(&mut edits, vec![splice(0..10), splice(12..15), splice(20..25)]);
        let ranges: Vec<_> = edits.iter().map(|edit| edit.range.clone()).collect();
        assert_eq!(ranges, [10..20, 0..10, 20..25]);
    }
}
