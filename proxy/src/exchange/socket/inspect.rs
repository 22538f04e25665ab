//! What policies say to a conversation over a WebSocket: each message of the client before it goes on, as a request; what
//! the provider says beside the bytes that pass, as a stream.

use super::meter::Message;
use crate::exchange::account::Account;
use crate::exchange::admit;
use crate::exchange::inspect::{Asked, Watch, begin, judge, look};
use crate::exchange::route::Target;
use crate::guard::{Consulted, Guard, Otherwise, Seen, Sight, Tap, Values};
use crate::respond::Refusal;
use bytes::Bytes;
use memchr::memmem;
use narrows_guard::body::{FOUND_MAX, splice};
use narrows_ledger::Inspection;
use narrows_llm::Dialect;
use narrows_policy::{Coverage, Gap, Reason, Scope, Stage};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinHandle;

/// What a provider says over a WebSocket is not gated: a policy that wants that refuses the conversation, or lets it pass
/// uninspected.
pub(super) fn gate(account: &mut Account) -> Result<(), Refusal> {
    let Some(mut watch) = account.watch.take() else { return Ok(()) };
    let said = match watch.guard.policies.needs(&watch.scope, Stage::Stream).hold {
        true => {
            let nothing = Sight::none(Gap::Websocket);
            judge(account, &mut watch, Stage::Stream, &nothing, Values::In(""), &Consulted::nobody())
                .map(drop)
        }
        false => Ok(()),
    };
    account.watch = Some(watch);
    said
}

/// The policies that are in force from a message of the client's on, for whoever hears the provider.
#[derive(Default)]
pub(super) struct News {
    is_set: AtomicBool,
    heed: Mutex<Option<Heed>>,
}

/// Which policies apply to what the provider says, and whether they look at it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Heed {
    scope: Scope,
    looks: bool,
}

impl Heed {
    fn of(watch: &Watch) -> Heed {
        let needs = watch.guard.policies.needs(&watch.scope, Stage::Stream);
        // What is not gated, and should be, was refused or let pass uninspected already.
        Heed { scope: watch.scope, looks: !needs.hold && !needs.is_nothing() }
    }
}

impl News {
    fn put(&self, heed: Heed) {
        *self.heed.lock().unwrap_or_else(PoisonError::into_inner) = Some(heed);
        self.is_set.store(true, Ordering::Release);
    }

    fn take(&self) -> Option<Heed> {
        if !self.is_set.swap(false, Ordering::Acquire) {
            return None;
        }
        self.heed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Looks at the client's messages, one after the other.
pub(super) struct Inspector<'a> {
    account: &'a mut Account,
    target: &'a Target,
    /// The models that were asked for last: policies may differ by them.
    models: Vec<Box<str>>,
    /// Whether a message was looked at already.
    has_looked: bool,
    /// Tells whoever hears the provider.
    news: &'a News,
    /// Whether budgets and rate limits were not asked yet: the first message names the model.
    is_unadmitted: bool,
}

impl<'a> Inspector<'a> {
    /// `None` where no policy is in force, and the conversation was admitted.
    pub(super) fn new(
        account: &'a mut Account,
        target: &'a Target,
        news: &'a News,
        is_unadmitted: bool,
    ) -> Option<Inspector<'a>> {
        if account.watch.is_none() && !is_unadmitted {
            return None;
        }
        Some(Inspector { account, target, models: Vec::new(), has_looked: false, news, is_unadmitted })
    }

    /// A message passed that was not looked at.
    pub(super) fn miss(&mut self, gap: Gap) {
        if !self.has_looked {
            self.has_looked = true;
            if let Some(mut watch) = self.account.watch.take() {
                // No policy refuses for it: one that could has every message held.
                let nothing = Sight::none(gap);
                let nobody = Consulted::nobody();
                let _ = judge(self.account, &mut watch, Stage::Request, &nothing, Values::In(""), &nobody);
                self.account.watch = Some(watch);
            }
        }
        self.account.limit_inspection(Stage::Request, gap);
    }

    /// What goes on in the place of a message; nothing where it goes on as it came.
    pub(super) async fn look(&mut self, message: Message) -> Result<Option<Vec<u8>>, Refusal> {
        let Message { text, models, is_mixed, .. } = message;
        if std::mem::take(&mut self.is_unadmitted) {
            admit::hold_conversation(self.account, self.target, models.first().map(|model| &**model)).await?;
        }
        if !models.is_empty() && models != self.models && self.account.watch.is_some() {
            let named: Vec<&str> = models.iter().map(|model| &**model).collect();
            let asked =
                Asked { dialect: self.target.dialect.as_str(), models: &named, choice: None, stream: true };
            begin(self.account, self.target, &asked)?;
            gate(self.account)?;
            if let Some(watch) = &self.account.watch {
                self.news.put(Heed::of(watch));
            }
            self.models = models;
        }
        let Some(watch) = self.account.watch.take() else { return Ok(None) };
        let before = self.has_looked.then(|| self.account.take_inspection(Stage::Request)).flatten();
        self.has_looked = true;
        let mut lent = Lent { account: self.account, watch: Some(watch), before };
        let masked = lent.masked(Bytes::from(text)).await;
        drop(lent);
        match masked {
            Ok(Some(_)) if is_mixed => Err(Refusal::new(
                Reason::ContentBlocked,
                "a message that is to be masked came in fragments with control frames between them",
            )),
            masked => masked,
        }
    }
}

/// What belongs to the account while a message is looked at, and goes back to it also where that is broken off, because
/// the conversation ends.
struct Lent<'a> {
    account: &'a mut Account,
    watch: Option<Box<Watch>>,
    /// What was written down of the messages before.
    before: Option<Inspection>,
}

impl Lent<'_> {
    async fn masked(&mut self, text: Bytes) -> Result<Option<Vec<u8>>, Refusal> {
        let Lent { account, watch: Some(watch), .. } = self else { return Ok(None) };
        let looked = look(account, watch, Stage::Request, &text, Otherwise::Unreadable).await;
        if speaks(&text) {
            account.limit_inspection(Stage::Request, Gap::NotText);
        }
        looked.map(|splices| (!splices.is_empty()).then(|| splice(&text, splices)))
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(watch) = &mut self.watch {
            // Nothing is put back into what the provider says: what was masked need not be known.
            watch.minter = None;
        }
        self.account.watch = self.watch.take();
        if let Some(before) = self.before.take() {
            self.account.put_before_inspection(Stage::Request, before);
        }
    }
}

/// Whether a client's message carries sound or pictures: these are no text, and nobody looks at them.
fn speaks(text: &[u8]) -> bool {
    const WORDS: [&[u8]; 4] =
        [b"\"input_audio_buffer.append\"", b"\"realtimeInput\"", b"\"realtime_input\"", b"\"input_audio\""];
    WORDS.iter().any(|word| memmem::find(text, word).is_some())
}

/// Most parts of a conversation that are judged by themselves, since other policies apply to each.
const PARTS_MAX: usize = 64;

/// Hears what the provider says.
pub(super) struct Ear {
    guard: Arc<Guard>,
    organization: Box<str>,
    dialect: Dialect,
    news: Arc<News>,
    heed: Heed,
    /// Looks at the answer that is being given.
    tap: Option<Tap>,
    /// What was seen of those before, by the policies that applied.
    before: Vec<(Scope, JoinHandle<Seen>)>,
    /// What was not text, or was missed.
    gap: Option<Gap>,
    /// Whether something was said while no policy looked.
    is_skipped: bool,
}

impl Ear {
    /// `None` where no policy is in force. Where none looks at streams so far, the record says so.
    pub(super) fn new(account: &mut Account, dialect: Dialect, news: Arc<News>) -> Option<Ear> {
        let mut watch = account.watch.take()?;
        let heed = Heed::of(&watch);
        if watch.guard.policies.needs(&watch.scope, Stage::Stream).is_nothing() {
            let nothing = Sight::none(Gap::Off);
            let _ = judge(account, &mut watch, Stage::Stream, &nothing, Values::In(""), &Consulted::nobody());
        }
        let guard = Arc::clone(&watch.guard);
        account.watch = Some(watch);
        let organization = account.caller.organization.as_str().into();
        let (tap, before, gap, is_skipped) = (None, Vec::new(), None, false);
        Some(Ear { guard, organization, dialect, news, heed, tap, before, gap, is_skipped })
    }

    /// Hears a whole message.
    pub(super) fn hear(&mut self, message: &[u8]) {
        if let Some(heed) = self.news.take().filter(|heed| *heed != self.heed) {
            self.turn();
            self.heed = heed;
            if heed.looks && self.before.len() >= PARTS_MAX {
                self.miss(Gap::DepthCap);
                self.heed.looks = false;
            }
        }
        if !self.heed.looks {
            self.is_skipped = true;
            return;
        }
        const SOUND: [&[u8]; 3] = [b"audio.delta\"", b"\"inlineData\"", b"\"inline_data\""];
        if SOUND.iter().any(|word| memmem::find(message, word).is_some()) {
            self.miss(Gap::NotText);
        }
        // A message is what an event's data is; lines do not matter in JSON.
        let mut event = Vec::with_capacity(message.len() + 8);
        event.extend_from_slice(b"data: ");
        event.extend(message.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
        event.extend_from_slice(b"\n\n");
        let tap =
            self.tap.get_or_insert_with(|| Tap::new(&self.guard, &self.organization, self.dialect, None));
        tap.push(&Bytes::from(event));
    }

    /// Something passed that was not heard.
    pub(super) fn miss(&mut self, gap: Gap) {
        match self.heed.looks {
            true => self.gap = self.gap.or(Some(gap)),
            false => self.is_skipped = true,
        }
    }

    /// An answer has ended: the next one's texts are others.
    pub(super) fn turn(&mut self) {
        let Some(tap) = self.tap.take() else { return };
        let scope = self.heed.scope;
        let before = self.before.pop_if(|(theirs, _)| *theirs == scope).map(|(_, before)| before);
        let joined = tokio::spawn(async move {
            let seen = tap.finish().await;
            match before {
                Some(before) => join(lost(before.await), seen),
                None => seen,
            }
        });
        self.before.push((scope, joined));
    }

    /// The conversation has ended: what was seen of it is judged by the policies that applied then, and written down.
    pub(super) async fn finish(mut self, account: &mut Account) {
        self.turn();
        let mut parts = Vec::new();
        for (scope, seen) in std::mem::take(&mut self.before) {
            parts.push((scope, lost(seen.await)));
        }
        if parts.is_empty() && self.heed.looks {
            // Nobody said anything.
            let sight = Sight { found: Vec::new(), scanned: 0, coverage: Coverage::Full };
            parts.push((self.heed.scope, Seen { sight, ..Seen::nothing(Gap::Off) }));
        }
        if let (Some((_, seen)), Some(gap)) = (parts.last_mut(), self.gap) {
            let nothing = seen.sight.scanned == 0 && seen.sight.coverage == Coverage::Full;
            let missing = if nothing { Coverage::None(gap) } else { Coverage::Partial(gap) };
            seen.sight.coverage = if nothing { missing } else { seen.sight.coverage.and(missing) };
        }
        let Some(mut watch) = account.watch.take() else { return };
        let (last, is_judged) = (watch.scope, !parts.is_empty());
        for (at, (scope, seen)) in parts.into_iter().enumerate() {
            watch.scope = scope;
            let before = if at == 0 { None } else { account.take_inspection(Stage::Stream) };
            // It is with the client already: nothing is masked, and nothing refused.
            let values = Values::Prints(&seen.prints);
            let _ = judge(account, &mut watch, Stage::Stream, &seen.sight, values, &Consulted::nobody());
            if let Some(before) = before {
                account.put_before_inspection(Stage::Stream, before);
            }
        }
        watch.scope = last;
        account.watch = Some(watch);
        if is_judged && self.is_skipped {
            account.limit_inspection(Stage::Stream, Gap::Off);
        }
    }
}

fn lost(seen: Result<Seen, tokio::task::JoinError>) -> Seen {
    seen.unwrap_or_else(|_panic| Seen::nothing(Gap::Error))
}

/// What was seen of two answers, one after the other.
fn join(mut one: Seen, mut other: Seen) -> Seen {
    one.sight.scanned += other.sight.scanned;
    one.sight.coverage = one.sight.coverage.and(other.sight.coverage);
    one.sight.found.append(&mut other.sight.found);
    one.prints.append(&mut other.prints);
    if one.sight.found.len() > FOUND_MAX {
        one.sight.found.truncate(FOUND_MAX);
        one.prints.truncate(FOUND_MAX);
        one.sight.coverage = one.sight.coverage.and(Coverage::Partial(Gap::FindingsCap));
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::configuration::Configuration;
    use crate::gateway::Gateway;
    use crate::snapshot::Snapshot;
    use crate::telemetry::metrics::Metrics;
    use narrows_ledger::{Ledger, LedgerOptions};

    #[tokio::test]
    async fn what_was_masked_in_a_message_is_forgotten_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let text = "version: 1\nproviders: {a: {kind: openai, api_key: sk-a}}\npolicies: [{name: cards, when: \
                    [{entity: CARD}], then: {action: mask, restore: true}}]\n";
        let settings = config::parse("test.yaml", folder.path(), text, &|_| None).unwrap().settings;
        let ledger = Arc::new(Ledger::open(&folder.path().join("n.db"), LedgerOptions::default()).unwrap());
        let snapshot = Snapshot::new(&settings, None).unwrap();
        let gateway = Gateway::new(snapshot, Configuration::new(None), ledger, Metrics::new().unwrap());
        let mut account = Account::open(&gateway);
        let guard = Arc::clone(&account.snapshot.guard);
        let scope = guard.policies.scope(&account.facts());
        let (minter, answered, restored) = (None, None, Vec::new());
        let watch = Watch { guard, scope, minter, answered, restored, beside: None };
        let mut lent = Lent { account: &mut account, watch: Some(Box::new(watch)), before: None };
        let message = Bytes::from_static(br#"{"type":"x","item":{"text":"pay 4111 1111 1111 1111"}}"#);
        let masked = lent.masked(message).await.unwrap_or_default();
        assert!(masked.is_some_and(|masked| memmem::find(&masked, b"pay [CARD_").is_some()));
        drop(lent);
        let watch = account.watch.as_ref().unwrap();
        assert!(watch.minter.is_none() && !watch.restored.is_empty());
    }
}
