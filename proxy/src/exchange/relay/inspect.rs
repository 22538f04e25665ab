//! What policies say to an answer that is held whole.

use crate::exchange::Account;
use crate::exchange::coding;
use crate::exchange::inspect::{Watch, admit_answer, judge, look};
use crate::exchange::route::Target;
use crate::guard::{About, Consulted, Decode, Gate, Otherwise, Rewrite, Seen, Sight, Tap, Values, emptied};
use crate::respond::Refusal;
use crate::upstream::head::{Coding, Head};
use bytes::Bytes;
use narrows_guard::Provenance;
use narrows_guard::body::{Splice, splice};
use narrows_policy::{Coverage, Decision, Evidence, Gap, Stage};

/// An answer as it is sent on.
pub(super) struct Shown {
    pub(super) body: Bytes,
    /// Whether it was changed, and is no longer compressed.
    pub(super) is_changed: bool,
}

/// Looks at an answer before the caller sees it: it is passed on as it is, masked, or refused. `text` is what it reads
/// as, if it can be read.
pub(super) async fn inspect(
    account: &mut Account,
    body: Bytes,
    text: Option<Bytes>,
) -> Result<Shown, Refusal> {
    let Some(mut watch) = account.watch.take() else {
        capture(account, text.as_ref());
        return Ok(Shown { body, is_changed: false });
    };
    let shown = shown(account, &mut watch, body, text).await;
    account.watch = Some(watch);
    shown
}

async fn shown(
    account: &mut Account,
    watch: &mut Watch,
    body: Bytes,
    text: Option<Bytes>,
) -> Result<Shown, Refusal> {
    let Some(text) = text else {
        let (sight, nobody) = (Sight::none(Gap::Undecodable), Consulted::nobody());
        judge(account, watch, Stage::Response, &sight, Values::In(""), &nobody)?;
        capture(account, None);
        return Ok(Shown { body, is_changed: false });
    };
    let otherwise = Otherwise::Text(Provenance::Assistant);
    let splices = look(account, watch, Stage::Response, &text, otherwise).await?;
    let masked = if splices.is_empty() { None } else { Some(masked(&text, splices)) };
    let (masked, masks) = masked.unzip();
    let readable = masked.as_ref().unwrap_or(&text);
    // Before anything that was masked is put back.
    capture(account, Some(readable));
    let restored = watch.put_back(readable, masks.unwrap_or_default());
    match restored.or(masked) {
        Some(body) => Ok(Shown { body, is_changed: true }),
        None => Ok(Shown { body, is_changed: false }),
    }
}

/// Holds on to an answer that is passed on, where it is to be kept.
fn capture(account: &mut Account, text: Option<&Bytes>) {
    if let Some(capture) = &mut account.capture {
        capture.answer(text);
    }
}

/// An answer with its masks, and without what would repeat the masked words; and all that was changed in it.
fn masked(text: &Bytes, mut splices: Vec<Splice>) -> (Bytes, Vec<Splice>) {
    splices.extend(emptied(simdutf8::basic::from_utf8(text).unwrap_or_default()));
    (splice(text, splices.clone()).into(), splices)
}

/// What policies say to an answer by its place alone.
pub(super) fn admit(account: &mut Account) -> Result<(), Refusal> {
    let stage = if account.streamed { Stage::Stream } else { Stage::Response };
    admit_answer(account, stage)
}

/// An answer that is passed on without being looked at, and why: policies that need it inspected refuse it.
pub(super) fn unread(account: &mut Account, gap: Gap) -> Result<(), Refusal> {
    let Some(mut watch) = account.watch.take() else { return Ok(()) };
    let (sight, nobody) = (Sight::none(gap), Consulted::nobody());
    let judged = judge(account, &mut watch, Stage::Response, &sight, Values::In(""), &nobody);
    account.watch = Some(watch);
    judged.map(drop)
}

/// Who looks at a stream, and who changes it on its way.
#[derive(Default)]
pub(super) struct Watchers {
    /// Looks at it beside the bytes that pass.
    pub(super) tap: Option<Tap>,
    pub(super) rewrite: Option<Box<Rewrite>>,
}

/// What policies ask for of a stream. One that a policy wants to gate and that cannot be read is refused, unless the policy
/// lets pass what cannot be inspected.
pub(super) fn watchers(
    account: &mut Account,
    target: &Target,
    head: &Head,
    is_readable: bool,
) -> Result<Watchers, Refusal> {
    let Some(watch) = &account.watch else { return Ok(Watchers::default()) };
    let needs = watch.guard.policies.needs(&watch.scope, Stage::Stream);
    let (gate, tap) = match (needs.hold, is_readable) {
        (true, true) => (Some(Gate::new(&watch.guard, watch.scope, &account.caller.organization)), None),
        (true, false) if ungated(watch).refuses() => {
            account.take_prompt_if_asked(true);
            stream_seen(account, &Sight::none(Gap::Undecodable), &[], &Consulted::nobody())?;
            (None, None)
        }
        _ => (None, tap(account, target, head)),
    };
    let placeholders = account.watch.as_ref().filter(|_| is_readable).and_then(|watch| watch.placeholders());
    let is_changed = gate.is_some() || placeholders.is_some();
    let rewrite = is_changed.then(|| Box::new(Rewrite::new(target.dialect, placeholders, gate)));
    Ok(Watchers { tap, rewrite })
}

/// The gate that policies ask for, for a copy of the stream that is kept: it passes it without what is put back.
pub(super) fn gate(account: &Account, is_readable: bool) -> Option<Gate> {
    let watch = account.watch.as_ref().filter(|_| is_readable)?;
    let needs = watch.guard.policies.needs(&watch.scope, Stage::Stream);
    needs.hold.then(|| Gate::new(&watch.guard, watch.scope, &account.caller.organization))
}

/// What policies say to a stream that they cannot gate.
fn ungated(watch: &Watch) -> Decision {
    let evidence = Evidence::local(&[], Coverage::None(Gap::Undecodable));
    watch.guard.policies.decide(&watch.scope, Stage::Stream, &evidence)
}

/// What looks at a stream beside the bytes that pass, if policies ask for it. What cannot be read says so.
fn tap(account: &mut Account, target: &Target, head: &Head) -> Option<Tap> {
    let watch = account.watch.as_ref()?;
    let needs = watch.guard.policies.needs(&watch.scope, Stage::Stream);
    if needs.is_nothing() {
        look_away(account, Gap::Off);
        return None;
    }
    let decode: Option<Box<dyn Decode>> = match head.coding {
        Coding::Identity => None,
        coding => match coding::Decoder::new(coding, account.snapshot.limits.metered_copy) {
            Some(decoder) => Some(Box::new(decoder)),
            None => {
                look_away(account, Gap::Undecodable);
                return None;
            }
        },
    };
    let tap = Tap::new(&watch.guard, &account.caller.organization, target.dialect, decode);
    Some(if needs.validators.is_empty() { tap } else { tap.keeping() })
}

fn look_away(account: &mut Account, gap: Gap) {
    // It goes on: a policy that could refuse it has been asked.
    let _ = stream_seen(account, &Sight::none(gap), &[], &Consulted::nobody());
}

/// The stream has ended: what was seen of it beside is judged, and written down.
pub(super) async fn tapped(account: &mut Account, tap: Option<Tap>) {
    if let Some(tap) = tap {
        let seen = tap.finish().await;
        let consulted = match &account.watch {
            Some(watch) => watch.guard.ask_of_stream(&About::of(account), &watch.scope, seen.texts).await,
            None => Consulted::nobody(),
        };
        // It is with the client already: nothing is masked, and nothing refused.
        let _ = stream_seen(account, &seen.sight, &seen.prints, &consulted);
    }
}

/// What was seen of a stream is judged, and written down. Gives the refusal of a gated one.
pub(super) fn gated(account: &mut Account, seen: &Seen) -> Result<(), Refusal> {
    stream_seen(account, &seen.sight, &seen.prints, &Consulted::nobody())
}

fn stream_seen(
    account: &mut Account,
    sight: &Sight,
    prints: &[u64],
    consulted: &Consulted,
) -> Result<(), Refusal> {
    let Some(mut watch) = account.watch.take() else { return Ok(()) };
    let judged = judge(account, &mut watch, Stage::Stream, sight, Values::Prints(prints), consulted);
    account.watch = Some(watch);
    judged.map(drop)
}

/// What an answer reads as; `None` if it cannot be read.
pub(super) fn readable(account: &Account, head: &Head, body: &Bytes) -> Option<Bytes> {
    match head.coding {
        Coding::Identity => Some(body.clone()),
        coding => {
            coding::decode_answer(coding, body, account.snapshot.limits.metered_copy).ok().map(Bytes::from)
        }
    }
}
