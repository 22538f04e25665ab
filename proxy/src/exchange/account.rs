//! What is learnt of an exchange on its way, and step 9: settling it, exactly once.

mod usage;

use super::inspect::Watch;
use super::route::Target;
use super::{admit, clients, cost, objects};
use crate::config::settings::OnClientGone;
use crate::content::Capture;
use crate::downstream::forwarded;
use crate::gateway::{CutSignal, Gateway, Shared};
use crate::guard::{Guard, alert};
use crate::limits::{CameTo, Counters, Hold, Now, Rooms, is_theirs};
use crate::live::Entry;
use crate::snapshot::{Provider, Snapshot};
use crate::targets::rendezvous::stable_hash;
use crate::upstream::head::Head;
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use narrows_ledger::{
    Attempt, Charge, ContentState, ContentStates, Inspection, Inspections, Record, Spent, Used,
};
use narrows_llm::endpoint::Operation;
use narrows_llm::request::Bounds;
use narrows_llm::stream::Progress;
use narrows_llm::{Dialect, Family};
use narrows_meter::{Cost, Mode, Origin, Usage};
use narrows_policy::{
    Caller, Capability, CapabilitySet, Coverage, Decision, Facts, Gap, Reason, Stage, Surface, TrafficClass,
};
use narrows_tokenizer::image::Size;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The header with Codex's turn state, given by the provider and sent back by the client.
pub(crate) const TURN_STATE: &str = "x-codex-turn-state";
/// The kind of key that ids of answers are.
pub(crate) const REFERENCE: &str = "reference";
/// The header that always names the exchange.
const ID_HEADER: &str = "x-narrows-request-id";
/// The header that SDKs show; the provider's own value has precedence.
const REQUEST_ID_HEADER: &str = "x-request-id";
/// Room for the lines that name an exchange, in bytes.
const ID_LINES_BYTES: usize = 128;
/// Room for the lines that say how our rate limits stand, in bytes.
const LIMIT_LINES_BYTES: usize = 320;

/// The facts of one exchange. Dropping it unsettled settles it as what it then must be: the connection's task was
/// cancelled or unwound.
pub(crate) struct Account {
    gateway: Arc<Shared>,
    /// The configuration this exchange runs under, from its first step to its last.
    pub(crate) snapshot: Arc<Snapshot>,
    pub(super) id: u128,
    /// UTC microseconds since the epoch.
    pub(crate) started_at_us: i64,
    pub(crate) started: Instant,
    pub(crate) family: Family,
    pub(crate) dialect: Option<Dialect>,
    /// The word in the place of a dialect, for paths beside inference.
    beside: Option<&'static str>,
    /// Whether the provider keeps the answer, so that it can be referred to.
    pub(crate) stores: bool,
    pub(super) operation: Option<Operation>,
    /// Whether a path beside inference only reads or deletes, which nobody bills.
    pub(super) reads_only: bool,
    client: Option<&'static str>,
    conversation: Option<Box<str>>,
    client_address: Option<IpAddr>,
    /// Hash of Codex's turn state, which a provider gave and its client sends back.
    turn_state: Option<u64>,
    /// The target that serves a model with several, for what is learnt from its answer.
    serving: Option<Arc<str>>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) model_requested: Option<Arc<str>>,
    pub(crate) model_sent: Option<Arc<str>>,
    pub(crate) model_answered: Option<Arc<str>>,
    pub(crate) provider: Option<Arc<Provider>>,
    pub(crate) provider_request_id: Option<Box<str>>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) request_bytes: u64,
    /// Bytes of the request that are text for the model, as far as the head's scan can tell.
    pub(crate) prompt_text_bytes: u64,
    /// Images and other media in the request.
    pub(crate) prompt_media: u64,
    /// The sizes of those that are pictures and tell it.
    pub(crate) prompt_images: Vec<Size>,
    /// Whether the request gives the model tools.
    pub(crate) prompt_tools: bool,
    /// Whether the prompt is all in the request, and nothing of it stored at the provider.
    pub(crate) prompt_is_whole: bool,
    /// How long the answer may become, as far as the client says.
    pub(crate) bounds: Bounds,
    /// How the client wants it to be worked on, where that changes the price.
    pub(crate) mode_asked: Option<Mode>,
    /// What is held of budgets and rate limits.
    pub(crate) hold: Hold,
    /// How the rate limits stood that the request met.
    pub(crate) rooms: Rooms,
    pub(crate) response_bytes: u64,
    pub(crate) streamed: bool,
    pub(crate) usage: Usage,
    pub(crate) origin: Origin,
    /// Whether a part of the answer could not be read, so that more was generated than is known.
    pub(super) is_unread: bool,
    /// How the provider says that it worked on it; `None` for the ordinary way.
    pub(super) mode: Option<Mode>,
    /// When the whole of a request was written whose answer has no head yet.
    pub(super) sent: Option<Instant>,
    /// Whether such an answer never came: the provider may have made all of it.
    pub(super) is_lost: bool,
    /// Whether it costs its caller nothing if that leaves before its end.
    is_free_if_left: bool,
    /// What its usage cost, where that was found out on the way.
    pub(super) own_cost: Option<Cost>,
    /// What other targets used that were asked before, or other models of the same conversation.
    also_used: Vec<Used>,
    /// What of that is charged with the exchange's own.
    charged_beside: Spent,
    pub(crate) upstream_wait_us: u64,
    first_byte_us: Option<u64>,
    /// The policies that apply, once they are known.
    pub(crate) watch: Option<Box<Watch>>,
    /// What was looked at, and what came of it.
    inspections: Inspections,
    /// What is held on to of prompt and answer, where they are to be kept.
    pub(crate) capture: Option<Box<Capture>>,
    pub(super) status: u16,
    settled: bool,
}

impl Account {
    /// Opens the account of a request that was just read.
    pub(crate) fn open(gateway: &Gateway) -> Account {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let snapshot = gateway.snapshot();
        gateway.exchange_opened();
        let caller = Arc::clone(&snapshot.nobody);
        Account {
            gateway: Arc::clone(gateway.shared()),
            snapshot,
            id: crate::id::uuid_v7(now),
            started_at_us: i64::try_from(now.as_micros()).unwrap_or(i64::MAX),
            started: Instant::now(),
            family: Family::Openai,
            dialect: None,
            beside: None,
            stores: false,
            operation: None,
            reads_only: false,
            client: None,
            conversation: None,
            client_address: None,
            turn_state: None,
            serving: None,
            caller,
            model_requested: None,
            model_sent: None,
            model_answered: None,
            provider: None,
            provider_request_id: None,
            attempts: Vec::new(),
            request_bytes: 0,
            prompt_text_bytes: 0,
            prompt_media: 0,
            prompt_images: Vec::new(),
            prompt_tools: false,
            prompt_is_whole: false,
            bounds: Bounds::default(),
            mode_asked: None,
            hold: Hold::default(),
            rooms: Rooms::default(),
            response_bytes: 0,
            streamed: false,
            usage: Usage::default(),
            origin: Origin::Unknown,
            is_unread: false,
            mode: None,
            sent: None,
            is_lost: false,
            is_free_if_left: false,
            own_cost: None,
            also_used: Vec::new(),
            charged_beside: Spent::default(),
            upstream_wait_us: 0,
            first_byte_us: None,
            watch: None,
            inspections: Inspections::default(),
            capture: None,
            status: 0,
            settled: false,
        }
    }

    /// The exchange's id.
    pub(crate) fn id(&self) -> u128 {
        self.id
    }

    /// The exchange's id as text.
    pub(crate) fn id_text(&self) -> String {
        uuid::Uuid::from_u128(self.id).hyphenated().to_string()
    }

    /// The dialect, once the path named it.
    pub(crate) fn set_dialect(&mut self, dialect: Dialect, operation: Operation) {
        self.dialect = Some(dialect);
        self.family = dialect.family();
        self.operation = Some(operation);
    }

    /// The path is one beside inference: a family's, with its own word in records.
    pub(crate) fn set_beside(&mut self, family: Family, word: &'static str) {
        self.family = family;
        self.beside = Some(word);
        self.operation = Some(Operation::Beside);
    }

    /// Binds a stored answer to the caller, before the caller can know its id, and the id to the target that has it.
    pub(crate) fn take_id(&mut self, id: Option<Box<str>>) {
        if let Some((target, id)) = self.serving.as_ref().zip(id.as_deref()) {
            self.gateway.pins.put(self.pin_key(REFERENCE, id.as_bytes()), target);
        }
        if let Some(id) = id.filter(|_| self.stores) {
            objects::bind_stored(&self.gateway, self, id, "response");
        }
    }

    /// Binds the items of a stored answer to the caller: a later request may refer to each by itself.
    pub(crate) fn take_items(&mut self, items: Vec<Box<str>>) {
        for id in items.into_iter().filter(|_| self.stores) {
            objects::bind_stored(&self.gateway, self, id, "response_item");
        }
    }

    /// What policies may ask about, as far as it is known before the request is routed.
    pub(crate) fn facts(&self) -> Facts<'_> {
        let application = self.caller.metadata.iter().find(|(name, _)| name == "application");
        Facts {
            integration: self.client,
            application: application.map(|(_, value)| value.as_str()),
            ..Facts::of(Surface::Gateway, &self.caller)
        }
    }

    /// Writes down what was looked at in a stage, and what was decided.
    pub(crate) fn note_inspection(
        &mut self,
        guard: &Guard,
        stage: Stage,
        inspection: Inspection,
        decision: Option<&Decision>,
    ) {
        self.inspections.policy_version = guard.policy_version();
        let alert = decision.and_then(|decision| alert(self, guard, stage, &inspection, decision));
        if let Some(alert) = alert {
            self.gateway.raise(alert);
        }
        // What policies say by place alone was written down before anything was looked at.
        let inspection = match self.inspections.get(stage) {
            Some(before) => inspection.after(before),
            None => inspection,
        };
        self.inspections.set(stage, inspection);
    }

    /// Takes out what was written down of a stage, so that what comes is written down by itself.
    pub(crate) fn take_inspection(&mut self, stage: Stage) -> Option<Inspection> {
        self.inspections.take(stage)
    }

    /// Joins what is written down of a stage with what was written down of the part before.
    pub(crate) fn put_before_inspection(&mut self, stage: Stage, before: Inspection) {
        let joined = match self.inspections.take(stage) {
            Some(now) => before.and(now),
            None => before,
        };
        self.inspections.set(stage, joined);
    }

    /// Writes down that some of what a stage held was not looked at.
    pub(crate) fn limit_inspection(&mut self, stage: Stage, gap: Gap) {
        if let Some(mut inspection) = self.inspections.take(stage) {
            inspection.coverage = match inspection.coverage {
                Coverage::Full if inspection.bytes_scanned == 0 => Coverage::None(gap),
                coverage => coverage.and(Coverage::Partial(gap)),
            };
            self.inspections.set(stage, inspection);
        }
    }

    /// The gateway that the exchange runs in.
    pub(crate) fn gateway(&self) -> &Arc<Shared> {
        &self.gateway
    }

    /// Notes the client program and its conversation: attribution only, never authorization.
    pub(crate) fn note_client(&mut self, head: &Parts) {
        self.client = clients::of(head);
        self.conversation = clients::conversation(head).map(Box::from);
        if self.client == Some("codex") {
            self.turn_state = head.headers.get(TURN_STATE).map(|state| stable_hash(&[state.as_bytes()]));
        }
    }

    /// Notes who is asked for what.
    pub(crate) fn ask_of(&mut self, target: &Target) {
        self.is_free_if_left = target.on_client_gone() == OnClientGone::Free;
        self.provider = Some(Arc::clone(&target.provider));
        self.model_sent = Some(Arc::clone(&target.model));
    }

    /// The id as a key that is spread evenly.
    pub(crate) fn random_key(&self) -> u64 {
        // A UUIDv7 ends in random bits.
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
        let low = self.id as u64;
        low
    }

    /// Notes where the request is from: the connection's other end, unless that is a balancer that is trusted to say
    /// for whom it asks.
    pub(crate) fn note_address(&mut self, peer: Option<IpAddr>, head: &Parts) {
        self.client_address = peer.map(|peer| match &self.snapshot.trusted_proxies {
            None => peer.to_canonical(),
            Some(trusted) => forwarded::client(&head.headers, peer, trusted),
        });
    }

    /// The conversation that the client named.
    pub(crate) fn conversation(&self) -> Option<&str> {
        self.conversation.as_deref()
    }

    /// The turn state that the client sent back, as a key.
    pub(crate) fn turn_state(&self) -> Option<u64> {
        self.turn_state.map(|state| self.pin_key(TURN_STATE, &state.to_le_bytes()))
    }

    /// The key of something that pins a conversation. The organization is part of it: what one knows by a name is
    /// nothing to another.
    pub(crate) fn pin_key(&self, kind: &str, name: &[u8]) -> u64 {
        stable_hash(&[self.caller.organization.as_bytes(), kind.as_bytes(), name])
    }

    /// The provider that has the caller's stored object with this id, if this process knows it.
    pub(crate) fn keeper(&self, id: &str) -> Option<Arc<str>> {
        let object = self.gateway.ledger.objects().held(id, None)?;
        object.owner.is(&self.caller).then(|| Arc::clone(&object.provider))
    }

    /// The target that a key is pinned to.
    pub(crate) fn pinned(&self, key: u64) -> Option<Arc<str>> {
        self.gateway.pins.get(key)
    }

    /// A target has accepted a request of the conversation with this key. What its answer is known by leads to it too.
    pub(crate) fn served_by(&mut self, target: &Arc<str>, conversation: Option<u64>, head: &Head) {
        if !head.status.is_success() {
            return;
        }
        if let Some(key) = conversation {
            self.gateway.pins.put(key, target);
        }
        if let Some(state) = head.field(TURN_STATE) {
            let key = self.pin_key(TURN_STATE, &stable_hash(&[state]).to_le_bytes());
            self.gateway.pins.put(key, target);
        }
        self.serving = Some(Arc::clone(target));
    }

    /// The provider's fields and the exchange's id, as lines. A provider's own `x-request-id` stays what it was.
    pub(crate) fn name_fields(&self, head: &Head) -> BytesMut {
        let limits = if self.rooms.is_empty() { 0 } else { LIMIT_LINES_BYTES };
        let mut lines = BytesMut::with_capacity(head.fields.len() + ID_LINES_BYTES + limits);
        if self.rooms.is_empty() || !head.has_limits {
            lines.extend_from_slice(&head.fields);
        } else {
            // Ours are the limits that a caller meets; the provider's are shared by all of us.
            let mut rest: &[u8] = &head.fields;
            while let Some(end) = memchr::memchr(b'\n', rest) {
                let (line, after) = rest.split_at(end + 1);
                if !is_theirs(line) {
                    lines.extend_from_slice(line);
                }
                rest = after;
            }
        }
        if !self.rooms.is_empty() {
            self.put_limits(&mut lines);
        }
        self.put_ids(&mut lines, !head.has_x_request_id);
        lines
    }

    /// Appends the lines that name the exchange.
    pub(crate) fn put_ids(&self, lines: &mut BytesMut, as_request_id: bool) {
        let mut buffer = uuid::Uuid::encode_buffer();
        let id = uuid::Uuid::from_u128(self.id).hyphenated().encode_lower(&mut buffer);
        for name in [as_request_id.then_some(REQUEST_ID_HEADER), Some(ID_HEADER)].into_iter().flatten() {
            lines.extend_from_slice(name.as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(id.as_bytes());
            lines.extend_from_slice(b"\r\n");
        }
    }

    /// Appends the lines that say how our rate limits stand.
    pub(crate) fn put_limits(&self, lines: &mut BytesMut) {
        self.rooms.put(lines, self.family, Now::read().wall_us);
    }

    /// A head with this status goes to the caller.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
    }

    /// The first byte of the answer's body goes to the caller.
    pub(crate) fn first_byte(&mut self) {
        if self.first_byte_us.is_none() {
            self.first_byte_us = Some(micros(self.started.elapsed()));
        }
    }

    /// Whether a WebSocket is asked for.
    pub(crate) fn is_conversation(&self) -> bool {
        self.operation.is_some_and(Operation::is_conversation)
    }

    /// Whether that is one in which answers come only when they are asked for.
    pub(super) fn is_responses_socket(&self) -> bool {
        self.operation == Some(Operation::ResponsesSocket)
    }

    /// What bounds the answer; `None` where no tokens are spent. An embedding has no tokens of an answer.
    pub(super) fn answer_bounds(&self) -> Option<Bounds> {
        let none = Bounds { tokens: Some(0), ..Bounds::default() };
        let bounds = if self.operation == Some(Operation::Embed) { none } else { self.bounds };
        self.spends().then_some(bounds)
    }

    /// Whether what was asked for uses tokens.
    pub(super) fn spends(&self) -> bool {
        matches!(
            self.operation,
            Some(
                Operation::Generate
                    | Operation::Compact
                    | Operation::Embed
                    | Operation::Realtime
                    | Operation::ResponsesSocket
            )
        )
    }

    /// What tells a waiting relay that the gateway waits no longer.
    pub(crate) fn cut_signal(&self) -> CutSignal {
        self.gateway.cut_signal()
    }

    /// Counts this exchange among the streams in flight until the guard is dropped.
    pub(crate) fn stream_opened(&self) -> InFlight {
        self.gateway.metrics.stream_opened();
        let entry = Entry::new(
            self.id,
            self.started_at_us,
            Arc::clone(&self.caller),
            self.client,
            self.beside.or(self.dialect.map(Dialect::as_str)),
            self.provider.clone(),
            self.model_sent.clone(),
            self.prompt_estimate(),
        );
        InFlight { entry: self.gateway.live.enter(entry), gateway: Arc::clone(&self.gateway) }
    }

    /// Settles: one record, one set of metrics. Further calls do nothing.
    pub(crate) fn settle(&mut self, reason: Reason) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        // Probes are no exchanges: a balancer sends one every few seconds, and there is nothing to govern.
        if self.operation == Some(Operation::Probe) {
            self.gateway.metrics.probe_answered();
            return;
        }
        let is_free = reason == Reason::ClientGone && self.is_free_if_left;
        let cost::Costs { cost, prices, least } =
            if is_free { cost::Costs::nothing() } else { cost::of(self) };
        let is_unread = !is_free && cost::lacks_output(self);
        let record = Record { cost, prices, ..self.record(reason) };
        let mut spent = if is_free { Spent::default() } else { admit::spent(&record, least) };
        spent.add(&self.charged_beside);
        // Where nothing is counted nobody is waited for.
        let gateway = (!self.hold.is_empty()).then(|| Arc::clone(&self.gateway));
        let settling = gateway.as_ref().map(|gateway| gateway.limits.settling());
        let charges = self.settle_limits(&record, CameTo { spent, is_unread });
        self.gateway.metrics.settled(&record, self.provider.as_deref(), self.spends());
        self.gateway.ledger.submit_charged(record, charges);
        drop(settling);
    }

    /// Settles what was held of limits to what the exchange came to, and tells of thresholds that it crossed.
    fn settle_limits(&mut self, record: &Record, came_to: CameTo) -> Vec<Charge> {
        let hold = std::mem::take(&mut self.hold);
        let charges = hold.charges(came_to);
        let teller = || admit::teller(&self.gateway, record);
        for crossed in self.gateway.limits.settle(hold, came_to, teller) {
            self.gateway.raise(admit::About::of(record).alert(&crossed));
        }
        charges
    }

    fn record(&mut self, reason: Reason) -> Record {
        let mut capabilities = CapabilitySet::NONE.with(Capability::Access).with(Capability::Audit);
        if !self.usage.is_unknown() {
            capabilities = capabilities.with(Capability::Cost);
        }
        for attempt in &mut self.attempts {
            if attempt.model == self.model_sent {
                attempt.model = None;
            }
        }
        Record {
            id: self.id,
            started_at_us: self.started_at_us,
            duration_us: micros(self.started.elapsed()),
            upstream_wait_us: self.upstream_wait_us,
            first_byte_us: self.first_byte_us,
            caller: Arc::clone(&self.caller),
            surface: Surface::Gateway,
            class: self.class(),
            capabilities,
            dialect: self.beside.or(self.dialect.map(Dialect::as_str)),
            client: self.client,
            model_requested: self.model_requested.take(),
            provider: self.provider.as_ref().map(|provider| Arc::clone(&provider.name)),
            model_sent: self.model_sent.take(),
            model_answered: self.model_answered.take(),
            status: self.status,
            reason,
            streamed: self.streamed,
            usage: self.usage,
            origin: self.origin,
            cost: Cost::Unknown,
            also_used: std::mem::take(&mut self.also_used),
            mode: self.mode,
            prices: 0,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            provider_request_id: self.provider_request_id.take(),
            conversation: self.conversation.take(),
            attempts: std::mem::take(&mut self.attempts),
            snapshot: self.snapshot.hash,
            client_address: self.client_address,
            inspections: std::mem::take(&mut self.inspections),
            content: self.hand_over(),
        }
    }

    /// Begins to hold on to what goes to the provider and comes back, where the caller's is to be kept.
    pub(crate) fn capture_request(&mut self, parts: &[Bytes]) {
        let keeping = &self.snapshot.content;
        let Some(scrubber) = keeping.scrubber() else { return };
        let Some(terms) = keeping.terms(&self.caller) else { return };
        let mut capture = Box::new(Capture::new(terms, Arc::clone(scrubber), self.gateway.buffers.share()));
        capture.request(parts);
        self.capture = Some(capture);
    }

    /// Hands what was held on to over to the ledger, and says what becomes of it.
    fn hand_over(&mut self) -> ContentStates {
        let Some(capture) = self.capture.take() else { return ContentStates::default() };
        let states = capture.states();
        if states.is_none() {
            return states;
        }
        let captured = capture.of(self.id, Arc::clone(&self.caller), self.started_at_us);
        match self.gateway.ledger.submit_content(captured) {
            true => states,
            false => states.gone(ContentState::Dropped),
        }
    }

    /// Coding agents and other clients that a person configures are class 2b; everything else that points its base
    /// URL here is an application of the organization.
    fn class(&self) -> TrafficClass {
        match self.client {
            Some(name) if clients::is_agent(name) => TrafficClass::UserClient,
            _ => TrafficClass::OwnApplication,
        }
    }
}

/// A stream in flight.
pub(crate) struct InFlight {
    gateway: Arc<Shared>,
    entry: Arc<Entry>,
}

impl InFlight {
    /// Notes what it has come to, for those who look.
    pub(crate) fn note(&self, progress: Progress) {
        self.entry.note(progress);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.gateway.live.leave(&self.entry);
        self.gateway.metrics.stream_closed();
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // The future of a request is dropped when its connection's task ends: the caller is gone, or the runtime is.
        // A panic is caught and settled before it gets here.
        let reason = if self.gateway.is_closing() { Reason::ShuttingDown } else { Reason::ClientGone };
        self.leave_asked(reason);
        self.settle(reason);
        self.gateway.exchange_closed();
    }
}

/// A duration in whole microseconds.
pub(crate) fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
