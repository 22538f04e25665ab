//! What is read of a conversation while it passes: usage in one direction, models in the other.

use super::frames::{Event, Frames, NotWebSocket};
use super::inspect::Ear;
use narrows_llm::Family;
use narrows_llm::realtime::{self, Asks, ClientEvent, ServerEvent};
use narrows_meter::{Cost, Mode, Tariff, Usage};
use narrows_policy::Gap;
use std::ops::Range;
use std::sync::Arc;

/// Longest message that is read for usage, in bytes. Events with usage repeat the answer's text, not its audio.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// Models of one conversation that are told apart. What others answer is added to the last one whose cost is known as
/// theirs is, at its own price; there is one share more if there was none.
const SHARES_MAX: usize = 16;

/// What the answers of one model came to: those whose cost is known, or those whose cost is not, since a sum of both would
/// forget what is known.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) model: Option<Box<str>>,
    pub(super) usage: Usage,
    /// How the provider worked on the last of them.
    pub(super) mode: Option<Mode>,
    pub(super) cost: Cost,
}

/// What answers cost: each by itself, for its prompt's length decides about its price.
pub(super) struct Pricing {
    pub(super) tariff: Tariff,
    /// When the conversation began, in UTC microseconds since the epoch.
    pub(super) at_us: i64,
    /// The model that the conversation was asked for.
    pub(super) asked: Arc<str>,
}

impl Pricing {
    fn cost(&self, model: Option<&str>, mode: Option<Mode>, usage: &Usage) -> Cost {
        let names = [model, Some(&*self.asked).filter(|asked| !asked.is_empty())];
        let quote = names.into_iter().flatten().find_map(|name| self.tariff.quote(name, mode, self.at_us));
        quote.map_or(Cost::Unknown, |quote| quote.cost(usage))
    }
}

/// The provider's direction.
pub(super) struct Answers {
    family: Family,
    frames: Option<Frames>,
    pricing: Pricing,
    pub(super) shares: Vec<Share>,
    pub(super) model: Option<Box<str>>,
    /// Answers that have begun.
    pub(super) begun: u64,
    /// Answers that have begun and not ended.
    open: u64,
    /// Whether something passed that could not be read.
    pub(super) missed: bool,
    /// What looks at it, if policies ask for it.
    pub(super) ear: Option<Ear>,
    pub(super) closed: bool,
}

impl Answers {
    pub(super) fn new(family: Family, pricing: Pricing, ear: Option<Ear>) -> Answers {
        Answers {
            family,
            frames: Some(Frames::new(EVENT_BYTES_MAX)),
            pricing,
            shares: Vec::new(),
            model: None,
            begun: 0,
            open: 0,
            missed: false,
            ear,
            closed: false,
        }
    }

    /// Reads what passes. Whatever it is, it passes. `named` is the model that the client's messages have named.
    pub(super) fn note(&mut self, mut bytes: &[u8], named: Option<&str>) {
        let Some(frames) = &mut self.frames else { return };
        loop {
            match frames.next(&mut bytes) {
                Ok(None) => return,
                Ok(Some(Event::Close)) => self.closed = true,
                Ok(Some(Event::Control)) => {}
                Ok(Some(Event::LongMessage)) => {
                    self.missed = true;
                    self.ear.iter_mut().for_each(|ear| ear.miss(Gap::TooLarge));
                }
                Ok(Some(Event::Message)) => {
                    let message = frames.take_message();
                    let event = realtime::server_event(self.family, &message);
                    if let Some(ear) = &mut self.ear {
                        ear.hear(&message);
                        if event.as_ref().is_some_and(|event| event.ends) {
                            ear.turn();
                        }
                    }
                    let Some(event) = event else { continue };
                    let ServerEvent { usage, model, mode, begins, ends } = event;
                    self.begun += u64::from(begins);
                    self.open = (self.open + u64::from(begins)).saturating_sub(u64::from(ends));
                    if let Some(usage) = usage {
                        let model = model.as_deref().or(self.model.as_deref()).or(named).map(Box::from);
                        self.shares.answered(&self.pricing, model, mode, &usage);
                    }
                    self.model = model.or(self.model.take());
                }
                Err(NotWebSocket) => {
                    (self.frames, self.missed) = (None, true);
                    self.ear.iter_mut().for_each(|ear| ear.miss(Gap::Undecodable));
                    return;
                }
            }
        }
    }

    /// Whether every answer's usage was read.
    pub(super) fn is_complete(&self) -> bool {
        self.open == 0 && !self.missed
    }

    /// Whether a frame of ours may be put behind what passed.
    pub(super) fn between_frames(&self) -> bool {
        self.frames.as_ref().is_some_and(Frames::between_frames)
    }
}

/// Adds what one answer came to.
trait Answered {
    fn answered(&mut self, pricing: &Pricing, model: Option<Box<str>>, mode: Option<Mode>, usage: &Usage);
}

impl Answered for Vec<Share> {
    fn answered(&mut self, pricing: &Pricing, model: Option<Box<str>>, mode: Option<Mode>, usage: &Usage) {
        let cost = pricing.cost(model.as_deref(), mode, usage);
        let is_full = self.len() >= SHARES_MAX;
        let is_alike = |share: &Share| (share.cost == Cost::Unknown) == (cost == Cost::Unknown);
        let known = match self.iter().position(|share| share.model == model && is_alike(share)) {
            None if is_full => self.iter().rposition(is_alike),
            at => at,
        };
        match known.and_then(|at| self.get_mut(at)) {
            Some(share) => {
                let sum = share.cost.nano_usd().zip(cost.nano_usd());
                share.cost = sum.and_then(|(one, other)| one.checked_add(other)).into();
                share.usage.add(usage);
                share.mode = mode;
            }
            None => self.push(Share { model, usage: *usage, mode, cost }),
        }
    }
}

/// A message of a client that is to be looked at before it passes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Where it stands in what is held: from the end of what passes before it, to its own.
    pub(super) place: Range<usize>,
    pub(super) text: Vec<u8>,
    /// The models that it names.
    pub(super) models: Vec<Box<str>>,
    /// Whether control frames stand between its fragments.
    pub(super) is_mixed: bool,
}

/// When a client's messages are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inspects {
    /// Not at all.
    Not,
    /// Before they pass: each is held until it is whole.
    Before,
    /// When they have passed, since no policy could change or refuse one.
    Beside,
}

/// Why a client's message does not pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Its key may not use the model.
    Model,
    /// It is too long to be looked at.
    TooLong,
    /// It cannot be read.
    Malformed,
    /// The process has no room to hold it.
    NoRoom,
}

/// What a key lets its messages ask for.
struct Permit<'k> {
    /// Which models it may use; `None` lets everything pass as it comes.
    allows: Option<&'k (dyn Fn(&str) -> bool + Send + Sync)>,
    /// Whether the model of the conversation was checked, so that messages without one are fine.
    settled: bool,
    /// Whether that of an answer was, which may then go on.
    answers: bool,
}

impl Permit<'_> {
    fn check(&mut self, event: Option<&ClientEvent>) -> Result<(), Refused> {
        let Some(allows) = self.allows else { return Ok(()) };
        let event = event.ok_or(Refused::Malformed)?;
        let mut known = event.models.iter().all(|model| allows(model));
        match event.asks {
            Asks::Conversation => self.settled |= known,
            Asks::Answer => self.answers |= known,
            Asks::Follows => known &= self.settled || self.answers,
            Asks::Unnamed => known &= self.settled,
        }
        if known { Ok(()) } else { Err(Refused::Model) }
    }
}

/// The client's direction.
pub(super) struct Questions<'k> {
    family: Family,
    frames: Option<Frames>,
    permit: Permit<'k>,
    pub(super) model: Option<Box<str>>,
    pub(super) closed: bool,
    /// What does not pass, behind messages that do.
    refused: Option<Refused>,
    /// Whether messages are given out to be looked at.
    inspects: Inspects,
    /// Why one was not given out.
    missed: Option<Gap>,
    /// Those that pass, if they do, with the last bytes that came.
    messages: Vec<Message>,
    /// Whether a control frame stood between the fragments of the message that is being read.
    is_mixed: bool,
}

impl<'k> Questions<'k> {
    pub(super) fn new(
        family: Family,
        limit: usize,
        allows: Option<&'k (dyn Fn(&str) -> bool + Send + Sync)>,
        settled: bool,
        inspects: Inspects,
    ) -> Questions<'k> {
        let holds = allows.is_some() || inspects == Inspects::Before;
        let limit = if holds { limit } else { EVENT_BYTES_MAX };
        Questions {
            family,
            frames: Some(Frames::new(limit)),
            permit: Permit { allows, settled, answers: false },
            model: None,
            closed: false,
            refused: None,
            inspects,
            missed: None,
            messages: Vec::new(),
            is_mixed: false,
        }
    }

    /// The messages among what may pass now, in order.
    pub(super) fn messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }

    /// Whether messages are looked at before they pass.
    pub(super) fn looks_first(&self) -> bool {
        self.inspects == Inspects::Before || self.permit.allows.is_some()
    }

    /// Why a message that passed was not given out, once.
    pub(super) fn missed(&mut self) -> Option<Gap> {
        self.missed.take()
    }

    /// What does not pass, once what stands before it has passed.
    pub(super) fn refused(&mut self) -> Option<Refused> {
        self.refused.take()
    }

    /// Reads what came; how many bytes of what is held (`before` of them, and these) may pass now.
    pub(super) fn note(&mut self, before: usize, bytes: &[u8]) -> Result<usize, Refused> {
        let mut passes = 0;
        match self.read(before, bytes, &mut passes) {
            Err(refused) if passes > 0 => {
                self.refused = Some(refused);
                Ok(passes)
            }
            Err(refused) => Err(refused),
            Ok(()) => Ok(passes),
        }
    }

    fn read(&mut self, before: usize, bytes: &[u8], passes: &mut usize) -> Result<(), Refused> {
        let all = before + bytes.len();
        let holds = self.permit.allows.is_some() || self.inspects == Inspects::Before;
        if !holds {
            *passes = all;
        }
        let Some(frames) = &mut self.frames else { return Ok(()) };
        let mut rest = bytes;
        loop {
            match frames.next(&mut rest) {
                Ok(None) => break,
                Ok(Some(Event::Close)) => self.closed = true,
                Ok(Some(Event::Control)) => self.is_mixed |= !frames.between_messages(),
                Ok(Some(Event::LongMessage)) if holds => return Err(Refused::TooLong),
                Ok(Some(Event::LongMessage)) => self.missed = Some(Gap::TooLarge),
                Ok(Some(Event::Message)) => {
                    let text = frames.take_message();
                    let event = realtime::client_event(self.family, &text);
                    self.permit.check(event.as_ref())?;
                    if event.is_none() && self.inspects == Inspects::Before {
                        // Policies and budgets may differ by a model that the provider would find in it.
                        return Err(Refused::Malformed);
                    }
                    let models = event.map(|event| event.models).unwrap_or_default();
                    if self.model.is_none() {
                        self.model = models.first().cloned();
                    }
                    let is_mixed = std::mem::take(&mut self.is_mixed);
                    if self.inspects != Inspects::Not {
                        let place = if holds { *passes..all - rest.len() } else { 0..0 };
                        self.messages.push(Message { place, text, models, is_mixed });
                    }
                }
                Err(NotWebSocket) if holds => return Err(Refused::Malformed),
                Err(NotWebSocket) => {
                    (self.frames, self.missed) = (None, Some(Gap::Undecodable));
                    return Ok(());
                }
            }
            if holds && frames.between_messages() {
                *passes = all - rest.len();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(payload: &str) -> Vec<u8> {
        let mut wire = vec![0x81, u8::try_from(payload.len()).unwrap()];
        wire.extend_from_slice(payload.as_bytes());
        wire
    }

    /// Of a provider that has no prices.
    fn free() -> Pricing {
        Pricing { tariff: Tariff::default(), at_us: 0, asked: Arc::from("") }
    }

    #[test]
    fn models_are_told_apart_up_to_the_limit_and_nothing_is_lost_beyond_it() {
        for (models, shares) in [(SHARES_MAX, SHARES_MAX), (SHARES_MAX + 1, SHARES_MAX)] {
            let mut answers = Answers::new(Family::Openai, free(), None);
            for number in 0..models {
                let done = format!(
                    r#"{{"type":"response.done","response":{{"model":"m{number}","usage":{{"input_tokens":1}}}}}}"#
                );
                answers.note(&text(&done), None);
            }
            assert_eq!(answers.shares.len(), shares);
            let input: u64 = answers.shares.iter().filter_map(|share| share.usage.input()).sum();
            assert_eq!(input, models as u64);
        }
    }

    #[test]
    fn usage_is_summed_over_answers_at_any_cut() {
        let done = r#"{"type":"response.done","response":{"usage":{"input_tokens":3,"output_tokens":4}}}"#;
        let begun = r#"{"type":"response.created","response":{"model":"m"}}"#;
        let wire = [text(begun), text(done), text(begun), text(done)].concat();
        for cut in 0..wire.len() {
            let mut answers = Answers::new(Family::Openai, free(), None);
            answers.note(&wire[..cut], None);
            answers.note(&wire[cut..], None);
            let [share] = &answers.shares[..] else { panic!("{:?}", answers.shares) };
            assert_eq!((share.usage.input(), share.usage.output()), (Some(6), Some(8)));
            assert!(answers.is_complete() && answers.model.as_deref() == Some("m"));
        }
        let mut cut = Answers::new(Family::Openai, free(), None);
        cut.note(&text(begun), None);
        assert!(!cut.is_complete());
    }

    #[test]
    fn a_message_waits_until_its_model_is_known_to_be_allowed() {
        let allows = |model: &str| model == "good";
        let good = text(r#"{"type":"response.create","model":"good"}"#);
        let bad = text(r#"{"type":"response.create","model":"bad"}"#);
        let unnamed = text(r#"{"type":"response.create"}"#);
        for cut in 1..good.len() {
            let mut questions = Questions::new(Family::Openai, 100, Some(&allows), false, Inspects::Not);
            assert_eq!(questions.note(0, &good[..cut]), Ok(0), "nothing passes before it is known");
            assert_eq!(questions.note(cut, &good[cut..]), Ok(good.len()));
            assert_eq!(questions.note(0, &bad), Err(Refused::Model));
        }
        // What stands before a message that does not pass, passes.
        let mut both = Questions::new(Family::Openai, 100, Some(&allows), false, Inspects::Not);
        assert_eq!(both.note(0, &[good.clone(), bad].concat()), Ok(good.len()));
        assert_eq!(both.refused(), Some(Refused::Model));
        let new = |settled| Questions::new(Family::Openai, 100, Some(&allows), settled, Inspects::Not);
        assert_eq!(new(false).note(0, &unnamed), Err(Refused::Model));
        assert_eq!(new(true).note(0, &unnamed), Ok(unnamed.len()));
        assert_eq!(new(true).note(0, &text("{")), Err(Refused::Malformed));
        // A model beside an allowed one, and one of two that bear the same name.
        let beside = r#"{"type":"response.create","model":"good","response":{"model":"bad"}}"#;
        let twice = r#"{"type":"response.create","model":"good","model":"bad"}"#;
        for settled in [false, true] {
            assert_eq!(new(settled).note(0, &text(beside)), Err(Refused::Model));
            assert_eq!(new(settled).note(0, &text(twice)), Err(Refused::Malformed));
        }
        let mut short = Questions::new(Family::Openai, 10, Some(&allows), false, Inspects::Not);
        assert_eq!(short.note(0, &good), Err(Refused::TooLong));
        // Without limits of the key nothing waits.
        let mut open = Questions::new(Family::Openai, 10, None, false, Inspects::Not);
        assert_eq!(open.note(0, &good[..5]), Ok(5));
        open.note(0, &good[5..]).unwrap();
        assert_eq!(open.model.as_deref(), Some("good"));
    }

    #[test]
    fn nothing_is_answered_before_the_model_that_answers_was_checked() {
        let allows = |model: &str| model == "good";
        let new = |family, settled| Questions::new(family, 100, Some(&allows), settled, Inspects::Not);
        let audio = text(r#"{"type":"input_audio_buffer.append","audio":"AA=="}"#);
        let item = text(r#"{"type":"conversation.item.create","item":{}}"#);
        let session = text(r#"{"type":"session.update","session":{"model":"good"}}"#);
        let answer = text(r#"{"type":"response.create","model":"good"}"#);
        let append = text(r#"{"type":"response.append","input":[]}"#);
        for early in [&audio, &item, &append] {
            assert_eq!(new(Family::Openai, false).note(0, early), Err(Refused::Model));
            assert_eq!(new(Family::Openai, true).note(0, early), Ok(early.len()));
            let mut named = new(Family::Openai, false);
            assert_eq!(named.note(0, &session), Ok(session.len()));
            assert_eq!(named.note(0, early), Ok(early.len()), "the session has a model that is allowed");
        }
        // The model of one answer is that of its sequel, and not the conversation's.
        let mut one = new(Family::Openai, false);
        assert_eq!(one.note(0, &answer), Ok(answer.len()));
        assert_eq!(one.note(0, &append), Ok(append.len()));
        assert_eq!(one.note(0, &audio), Err(Refused::Model));
        let (setup, turn) = (text(r#"{"setup":{"model":"models/good"}}"#), text(r#"{"clientContent":{}}"#));
        let mut live = new(Family::Gemini, false);
        assert_eq!(live.note(0, &setup), Ok(setup.len()));
        assert_eq!(live.note(0, &turn), Ok(turn.len()));
        assert_eq!(new(Family::Gemini, false).note(0, &turn), Err(Refused::Model));
    }

    #[test]
    fn messages_are_given_out_with_their_places_before_they_pass() {
        let one = text(r#"{"type":"response.create","model":"m"}"#);
        let mut ping = vec![0x89, 2];
        ping.extend_from_slice(b"hi");
        let (mut first, mut last) = (text("{\"a\":"), text("1}"));
        (first[0], last[0]) = (0x01, 0x80);
        let fragments = [first, ping.clone(), last].concat();
        let wire = [ping.clone(), one.clone(), fragments].concat();
        let mut questions = Questions::new(Family::Openai, 100, None, false, Inspects::Before);
        assert_eq!(questions.note(0, &wire), Ok(wire.len()));
        let messages = questions.messages();
        let places: Vec<_> = messages.iter().map(|message| message.place.clone()).collect();
        let (begin, end) = (ping.len(), ping.len() + one.len());
        assert_eq!(places, [begin..end, end..wire.len()]);
        assert_eq!((&*messages[0].models[0], messages[0].is_mixed), ("m", false));
        assert_eq!((messages[1].text.as_slice(), messages[1].is_mixed), (&b"{\"a\":1}"[..], true));
        assert!(questions.messages().is_empty());
        // Nothing passes before it is whole.
        let new = || Questions::new(Family::Openai, 100, None, false, Inspects::Before);
        assert_eq!(new().note(0, &one[..5]), Ok(0));
        // Nor what the provider could read another model from.
        for odd in [r#"{"model":"good","model":"bad"}"#, r#"{"Model":"x","model":"bad"}"#, "{"] {
            assert_eq!(new().note(0, &text(odd)), Err(Refused::Malformed), "{odd}");
            let mut open = Questions::new(Family::Openai, 100, None, false, Inspects::Beside);
            assert_eq!(open.note(0, &text(odd)), Ok(text(odd).len()), "{odd}");
        }
    }

    #[test]
    fn what_is_only_written_down_passes_at_once_and_is_given_out_whole() {
        let one = text(r#"{"type":"response.create","model":"m"}"#);
        let beside = || Questions::new(Family::Openai, 10, None, false, Inspects::Beside);
        let mut questions = beside();
        assert_eq!(questions.note(0, &one[..5]), Ok(5));
        assert!(questions.messages().is_empty());
        assert_eq!(questions.note(0, &one[5..]), Ok(one.len() - 5));
        let messages = questions.messages();
        assert_eq!((messages.len(), messages[0].text.as_slice()), (1, &one[2..]));
        assert_eq!(questions.missed(), None);
        // The largest message that is read, and one byte more.
        for (more, missed) in [(0, None), (1, Some(Gap::TooLarge))] {
            let length = EVENT_BYTES_MAX + more;
            let mut long = vec![0x81, 127];
            long.extend_from_slice(&(length as u64).to_be_bytes());
            long.resize(long.len() + length, b' ');
            let mut questions = beside();
            assert_eq!(questions.note(0, &long), Ok(long.len()));
            assert_eq!((questions.messages().len(), questions.missed()), (1 - more, missed));
        }
        let mut questions = beside();
        assert_eq!(questions.note(0, b"\xFF no frame"), Ok(10));
        assert_eq!(questions.missed(), Some(Gap::Undecodable));
    }
}
