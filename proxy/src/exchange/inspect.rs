//! Step 6: what policies say to the request, and what changes in its body before it goes upstream. Everything else stays
//! byte for byte.

use super::Account;
use super::admit::Admitted;
use super::choice::Choice;
use super::pass::Looking;
use super::read::Body;
use super::route::{Target, Upstream};
use crate::buffers::Share;
use crate::downstream::Session;
use crate::guard::{
    About, Consulted, Guard, Judged, Judging, Otherwise, Reading, Sight, Subject, Values, content_of,
    minted_in,
};
use crate::respond::Refusal;
use bytes::Bytes;
use narrows_guard::body::Splice;
use narrows_guard::placeholder::Minter;
use narrows_guard::unmask::Placeholders;
use narrows_ledger::Inspection;
use narrows_llm::request::{self, Edit, Segments};
use narrows_policy::{Coverage, Decision, Facts, Gap, Mode, Reason, Scope, Stage};
use std::sync::Arc;

/// A request ready to be sent.
pub(crate) struct Inspected {
    pub(crate) target: Target,
    /// The body to send.
    pub(crate) segments: Segments,
    /// Whether `segments` are as compressed as the client sent them.
    pub(crate) compressed: bool,
    /// Held until the body is released.
    pub(crate) share: Share,
    /// Where else the request may go, if its model has targets.
    pub(crate) choice: Option<Box<Choice>>,
}

/// The policies that apply to an exchange, and what masking it has left behind.
pub(crate) struct Watch {
    pub(crate) guard: Arc<Guard>,
    pub(crate) scope: Scope,
    /// Placeholders that were made of requests, and what they stand for.
    pub(crate) minter: Option<Minter>,
    /// Those that were made of answers: what was masked there is never put back.
    pub(crate) answered: Option<Minter>,
    /// Entities whose placeholders are put back into the answer.
    pub(crate) restored: Vec<Box<str>>,
    /// What looks at a copy of a request that streamed.
    pub(super) beside: Option<Looking>,
}

impl Watch {
    /// Whether a policy may refuse or change a request for what is in it.
    pub(super) fn holds_requests(&self) -> bool {
        self.guard.policies.needs(&self.scope, Stage::Request).hold
    }

    /// What is put back into the answer; `None` for nothing.
    pub(crate) fn placeholders(&self) -> Option<Placeholders> {
        let minter = self.minter.as_ref().filter(|_| !self.restored.is_empty())?;
        let placeholders =
            Placeholders::new(minter, |_, entity| self.restored.iter().any(|known| **known == *entity));
        (!placeholders.is_empty()).then_some(placeholders)
    }

    /// An answer with the values that were masked in the request, where any comes back: `masks` are what policies changed
    /// in it before, and stay.
    pub(super) fn put_back(&self, answer: &[u8], masks: Vec<Splice>) -> Option<Bytes> {
        let placeholders = self.placeholders()?;
        self.guard.put_back(answer, &placeholders, &minted_in(masks, self.answered.as_ref()))
    }
}

/// Inspects the request and settles the bytes to send. Edits are spliced into the text; a body without edits goes on as
/// it came. One that was compressed goes on as it reads where a policy may refuse or mask it: what its coding carries
/// beside the text (bytes behind its end, frames to be skipped, names of files) was not looked at.
///
/// # Errors
/// Policies refuse it, or the client has gone while guardrails were asked: then nothing is sent.
pub(crate) async fn inspect(
    session: &mut Session<'_>,
    account: &mut Account,
    admitted: Admitted,
) -> Result<Inspected, Refusal> {
    let Upstream { target, body, mut edits, mut choice } = admitted.0;
    let Body { mut wire, text, mut compressed, share } = body;
    if !account.snapshot.guard.is_idle() {
        let asked = Asked {
            dialect: target.dialect.as_str(),
            models: &[],
            choice: choice.as_deref(),
            stream: target.stream,
        };
        begin(account, &target, &asked)?;
        let masks = tokio::select! {
            biased;
            masks = request(account, &text) => masks?,
            () = session.gone() => return Err(Refusal::new(Reason::ClientGone, "the client is gone")),
        };
        if !masks.is_empty() {
            if let Some(choice) = &mut choice {
                choice.masks.clone_from(&masks);
            }
            edits.extend(masks);
        }
        if compressed && account.watch.as_ref().is_some_and(|watch| watch.holds_requests()) {
            (wire, compressed) = (text.clone(), false);
            choice.iter_mut().for_each(|choice| choice.decompress());
        }
    }
    let edited = !edits.is_empty();
    let segments = spliced(wire, &text, edits)?;
    if !account.snapshot.content.is_idle() {
        // As it reads: what goes on compressed is not edited.
        let as_sent = if edited { segments.parts() } else { std::slice::from_ref(&text) };
        account.capture_request(as_sent);
    }
    Ok(Inspected { target, segments, compressed: compressed && !edited, share, choice })
}

/// The bytes to send: the text with its edits, or the body as it came if there are none.
pub(super) fn spliced(wire: Bytes, text: &Bytes, edits: Vec<Edit>) -> Result<Segments, Refusal> {
    if edits.is_empty() {
        return Ok(Segments::from(wire));
    }
    request::apply(text, edits)
        .map_err(|fault| Refusal::new(Reason::GatewayBug, format!("the body could not be edited: {fault}")))
}

/// What an exchange is, for those who ask which policies apply.
pub(super) struct Asked<'a> {
    /// The word for how the client speaks.
    pub(super) dialect: &'a str,
    /// Models that are asked for beside the target's.
    pub(super) models: &'a [&'a str],
    /// Where else it may go.
    pub(super) choice: Option<&'a Choice>,
    /// Whether a stream is asked for.
    pub(super) stream: bool,
}

/// Finds the policies that apply from here on, and asks what they say by place alone.
pub(super) fn begin(account: &mut Account, target: &Target, asked: &Asked<'_>) -> Result<(), Refusal> {
    let guard = Arc::clone(&account.snapshot.guard);
    let scope = scope(&guard, account, target, asked);
    admit(account, &guard, &scope, asked.stream)?;
    // What was masked before stays known.
    let (minter, answered, restored) = match account.watch.take() {
        Some(watch) => (watch.minter, watch.answered, watch.restored),
        None => (None, None, Vec::new()),
    };
    account.watch = Some(Box::new(Watch { guard, scope, minter, answered, restored, beside: None }));
    Ok(())
}

/// The policies that apply.
fn scope(guard: &Guard, account: &Account, target: &Target, asked: &Asked<'_>) -> Scope {
    // A path beside inference and a conversation may have no model, or have it in what is said later.
    let mut models: Vec<&str> = Some(&*target.model).filter(|model| !model.is_empty()).into_iter().collect();
    models.extend(asked.models);
    let mut providers: Vec<&str> = vec![&target.provider.name];
    if let Some(choice) = asked.choice {
        for (provider, model) in choice.places() {
            models.push(model);
            providers.push(provider);
        }
    }
    models.extend(account.model_requested.as_deref());
    let facts =
        Facts { models: &models, providers: &providers, dialect: Some(asked.dialect), ..account.facts() };
    guard.policies.scope(&facts)
}

/// What policies say to the exchange by its place alone, before anything is looked at.
fn admit(account: &mut Account, guard: &Guard, scope: &Scope, stream: bool) -> Result<(), Refusal> {
    for stage in [Some(Stage::Request), stream.then_some(Stage::Stream)].into_iter().flatten() {
        let decision = guard.policies.admit(scope, stage);
        if decision.refuses() {
            return Err(denied(account, guard, stage, &decision));
        }
        // What is said of a stream is written down when it turns out to be one.
        if stage == Stage::Request && !decision.is_nothing() {
            note_place(account, guard, stage, &decision);
        }
    }
    Ok(())
}

/// What policies say by place alone to an answer, now that its head tells what kind it is.
pub(super) fn admit_answer(account: &mut Account, stage: Stage) -> Result<(), Refusal> {
    let Some(watch) = account.watch.take() else { return Ok(()) };
    let decision = watch.guard.policies.admit(&watch.scope, stage);
    let refuses = decision.refuses();
    if !refuses && !decision.is_nothing() {
        note_place(account, &watch.guard, stage, &decision);
    }
    let admitted = if refuses { Err(denied(account, &watch.guard, stage, &decision)) } else { Ok(()) };
    account.watch = Some(watch);
    admitted
}

/// The refusal of an exchange, or of its answer, by its place alone.
pub(super) fn denied(account: &mut Account, guard: &Guard, stage: Stage, decision: &Decision) -> Refusal {
    let explanation = guard.policies.explain(decision, &|_| None);
    note_place(account, guard, stage, decision);
    let message = decision.message.as_deref().map_or(explanation, str::to_owned);
    Refusal::new(Reason::PolicyDenied, message)
}

/// Writes down what policies say by place alone.
fn note_place(account: &mut Account, guard: &Guard, stage: Stage, decision: &Decision) {
    let inspection = Judged::by_place(guard, decision, Coverage::None(Gap::Off));
    account.note_inspection(guard, stage, inspection, Some(decision));
}

/// Looks at the request. Gives the edits that mask it.
async fn request(account: &mut Account, text: &Bytes) -> Result<Vec<Edit>, Refusal> {
    let Some(mut watch) = account.watch.take() else { return Ok(Vec::new()) };
    let judged = look(account, &mut watch, Stage::Request, text, Otherwise::Unreadable).await;
    account.watch = Some(watch);
    match judged {
        Ok(splices) => Ok(splices.into_iter().map(edit).collect()),
        Err(refusal) => Err(refusal),
    }
}

fn edit(splice: Splice) -> Edit {
    Edit { range: splice.range, replacement: splice.with.into() }
}

/// Looks at a body that is held whole, and writes down what came of it. Gives what is to be masked, or refuses.
pub(super) async fn look(
    account: &mut Account,
    watch: &mut Watch,
    stage: Stage,
    text: &Bytes,
    otherwise: Otherwise,
) -> Result<Vec<Splice>, Refusal> {
    let Watch { guard, scope, minter, answered, .. } = watch;
    let minter = if stage == Stage::Request { minter } else { answered };
    let subject = Subject { scope, stage, text, reading: Reading::Body(otherwise) };
    let (sight, consulted) = guard.look(&About::of(account), &subject, minter).await;
    let values = Values::In(simdutf8::basic::from_utf8(text).unwrap_or_default());
    judge(account, watch, stage, &sight, values, &consulted)
}

/// Judges what was seen of a body, and writes it down.
pub(super) fn judge(
    account: &mut Account,
    watch: &mut Watch,
    stage: Stage,
    sight: &Sight,
    values: Values<'_>,
    consulted: &Consulted,
) -> Result<Vec<Splice>, Refusal> {
    let Watch { guard, scope, minter, answered, restored, .. } = watch;
    let minter = if stage == Stage::Request { minter } else { answered };
    if guard.policies.needs(scope, stage).is_nothing() {
        let nothing = Inspection::clean(0, Coverage::None(Gap::Off), Mode::Enforce);
        account.note_inspection(guard, stage, nothing, None);
        return Ok(Vec::new());
    }
    let organization = &account.caller.organization.clone();
    let judging = Judging { guard, scope, organization, stage, sight, values, consulted };
    let judged = judging.judge(minter);
    if stage == Stage::Request {
        judging.note_restored(&judged.decision, restored);
    }
    let retry = if judged.is_for_an_outage() { consulted.retry() } else { None };
    let refusal = judged.refuses().then(|| refusal(stage, &judged).retry_after(retry));
    let Judged { decision, inspection, splices } = judged;
    account.note_inspection(guard, stage, inspection, Some(&decision));
    refusal.map_or(Ok(splices), Err)
}

fn refusal(stage: Stage, judged: &Judged) -> Refusal {
    let reason = if judged.is_for_a_gap() { Reason::ContentNotInspected } else { Reason::ContentBlocked };
    let message = match judged.message() {
        message if message.is_empty() => format!("the {} is blocked by a policy", content_of(stage)),
        message => message,
    };
    Refusal::new(reason, message)
}
