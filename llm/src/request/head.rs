//! The members of a request's body that routing and metering need, found in one pass that allocates nothing.

use super::fault::{BodyCause, BodyFault};
use super::scan::{self, Scan, Tally, Text};
use crate::dialect::Dialect;
use crate::stream::usage::tier::Tier;
use narrows_meter::Mode;
use std::borrow::Cow;
use std::ops::Range;

/// Levels of arrays and objects that a body may nest, the outermost object included.
pub const MAX_DEPTH: usize = 512;

pub use super::scan::{MEDIA_PLACES, MIN_MEDIA_BYTES, MediaPlaces};

/// Bytes that a model's name may have. The longest names in use are resource names of clouds, under 300 bytes.
pub const MAX_MODEL_BYTES: usize = 2048;

/// What routing and metering need of a body. All ranges are byte offsets into it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BodyHead<'a> {
    /// The model asked for. Gemini's dialect has it in the path instead.
    pub model: Option<ModelName<'a>>,
    /// Whether a stream is asked for.
    pub stream: Option<Flag>,
    /// Options of the stream (OpenAI's chat and text completions).
    pub stream_options: Option<StreamOptions>,
    /// The response that is continued (OpenAI's Responses), if its id is a text.
    pub previous_response_id: Option<Cow<'a, str>>,
    /// Where the value of `conversation` stands: an id, or an object with one (OpenAI's Responses).
    pub conversation: Option<Range<usize>>,
    /// What the client said about keeping the answer at the provider (`store`); `None` if nothing.
    pub store: Option<bool>,
    /// How long the answer may become, as far as the client says.
    pub bounds: BoundMembers,
    /// How the client wants it to be worked on, where that changes the price (`service_tier`, `speed`); of several the last.
    pub mode: Option<Mode>,
    /// Offset just behind the opening brace, where a member can be inserted.
    pub open: usize,
    /// Whether the object has no member at all.
    pub empty: bool,
    /// Bytes between the quotes of all strings of the body as they are written, names and escapes included and
    /// media excluded: the basis of an estimate of the prompt.
    pub text_bytes: u64,
    /// Unbroken runs of at least [`MIN_MEDIA_BYTES`] inside strings, which are images and other media in base64.
    /// Unbroken means printable ASCII without blank, quote and backslash.
    pub media: u64,
    /// Bytes of these runs together, as they are written.
    pub media_bytes: u64,
    /// Where the first of these runs begin, up to [`MEDIA_PLACES`].
    pub media_places: MediaPlaces,
    /// Whether the body gives the model tools (`tools`, or `functions` as they were first called).
    pub has_tools: bool,
}

impl BodyHead<'_> {
    /// The model asked for.
    pub fn model(&self) -> Option<&str> {
        self.model.as_ref().map(|model| &*model.value)
    }

    /// Whether a stream is asked for; absent and `null` mean no.
    pub fn streams(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.value == Some(true))
    }

    /// Ids of stored objects that the request continues: a response, a conversation. `body` is what the head was read of.
    pub fn earlier(&self, body: &[u8]) -> Vec<Box<str>> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Conversation {
            Id(Box<str>),
            Object { id: Box<str> },
        }
        let mut ids: Vec<Box<str>> = self.previous_response_id.iter().map(|id| Box::from(&**id)).collect();
        let raw = self.conversation.clone().and_then(|range| body.get(range)).unwrap_or_default();
        if let Ok(Conversation::Id(id) | Conversation::Object { id }) = serde_json::from_slice(raw) {
            ids.push(id);
        }
        ids
    }

    /// What the client said about usage in the stream: `Some(true)` asked, `Some(false)` declined, `None` silent.
    pub fn include_usage(&self) -> Option<bool> {
        self.stream_options.as_ref()?.include_usage.as_ref()?.value
    }
}

/// What bounds the tokens of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// Most tokens of one choice.
    pub tokens: Option<u64>,
    /// Choices asked for.
    pub choices: Option<u64>,
}

impl Bounds {
    /// Most tokens that can be generated, where one choice without a bound has at most `unbounded`.
    pub fn most(&self, unbounded: u64) -> u64 {
        self.tokens.unwrap_or(unbounded).saturating_mul(self.choices.unwrap_or(1).max(1))
    }
}

/// Members that bound an answer in some dialect. Of one that is repeated the largest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BoundMembers {
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
    n: Option<u64>,
    best_of: Option<u64>,
    generation: Bounds,
}

impl BoundMembers {
    /// What bounds an answer in this dialect. What is a bound in another one is none: providers that do not know a member
    /// pass it over and answer at length. Of members that say the same the largest counts.
    ///
    /// `max_tokens` (Anthropic, OpenAI's chat and text completions), `max_completion_tokens` (OpenAI's chat),
    /// `max_output_tokens` (OpenAI's Responses), `generationConfig.maxOutputTokens` (Gemini); `n` (OpenAI's chat and text
    /// completions), `best_of` (text completions), `generationConfig.candidateCount`. Sources: the vendors' API references, seen
    /// 2026-11.
    pub fn of(&self, dialect: Dialect) -> Bounds {
        // `None` is less than any number.
        match dialect {
            Dialect::OpenaiChat => {
                Bounds { tokens: self.max_tokens.max(self.max_completion_tokens), choices: self.n }
            }
            Dialect::OpenaiCompletions => {
                Bounds { tokens: self.max_tokens, choices: self.n.max(self.best_of) }
            }
            Dialect::OpenaiResponses => Bounds { tokens: self.max_output_tokens, choices: None },
            Dialect::AnthropicMessages => Bounds { tokens: self.max_tokens, choices: None },
            Dialect::GeminiGenerate => self.generation,
            Dialect::OpenaiEmbeddings => Bounds::default(),
        }
    }

    fn take(&mut self, member: Bound, raw: &[u8]) {
        /// What of `generationConfig` matters. Both spellings are served.
        #[derive(serde::Deserialize, Default)]
        #[serde(default)]
        struct Generation {
            #[serde(rename = "maxOutputTokens", alias = "max_output_tokens")]
            tokens: Option<u64>,
            #[serde(rename = "candidateCount", alias = "candidate_count")]
            choices: Option<u64>,
        }
        let place = match member {
            Bound::MaxTokens => &mut self.max_tokens,
            Bound::MaxCompletionTokens => &mut self.max_completion_tokens,
            Bound::MaxOutputTokens => &mut self.max_output_tokens,
            Bound::N => &mut self.n,
            Bound::BestOf => &mut self.best_of,
            Bound::Generation => {
                let read = serde_json::from_slice::<Generation>(raw).unwrap_or_default();
                self.generation.tokens = self.generation.tokens.max(read.tokens);
                self.generation.choices = self.generation.choices.max(read.choices);
                return;
            }
        };
        // What has another type says nothing: the provider refuses it.
        *place = (*place).max(serde_json::from_slice::<u64>(raw).ok());
    }
}

/// A model's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName<'a> {
    /// The name, without escapes. Borrowed unless it was written with escapes.
    pub value: Cow<'a, str>,
    /// Where the value stands, quotes included.
    pub range: Range<usize>,
}

/// A boolean member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The value; `None` is an explicit `null`.
    pub value: Option<bool>,
    /// Where the value stands.
    pub range: Range<usize>,
}

/// The member `stream_options`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    /// Where the value stands, braces included.
    pub range: Range<usize>,
    /// Whether the value is an object (else it is `null`).
    pub object: bool,
    /// Offset just behind the object's opening brace; the value's start for `null`.
    pub open: usize,
    /// Whether the object has no member.
    pub empty: bool,
    /// The member `include_usage`.
    pub include_usage: Option<Flag>,
}

/// Reads a request's body.
///
/// What is refused is never valid JSON within the stated limits. What is accepted is one object of valid UTF-8
/// whose own members are well-formed (RFC 8259): names, colons, commas, strings with their escapes, numbers and
/// literals; the same holds of the members of `stream_options`. Inside the other arrays and objects only so much
/// is checked that nothing can be hidden from this reader: brackets match, strings close, hold no control
/// character and are UTF-8, and outside of strings stand only ASCII characters, no backslash and no control
/// character but blanks. Missing commas, misspelled literals and numbers and unknown escapes in there are not
/// noticed; the body passes byte for byte, and the provider refuses it.
///
/// # Errors
/// Anything that is not one such object within [`MAX_DEPTH`], a repeated `model`, `stream` or `stream_options`
/// (however it is spelled), and wrong types of these three. A repeated name deeper down or of another member is
/// the provider's business.
pub fn head(body: &[u8]) -> Result<BodyHead<'_>, BodyFault> {
    let brace = scan::blank(body, 0);
    match body.get(brace) {
        Some(b'{') => {}
        Some(_) => return Err(BodyFault::new(BodyCause::NotAnObject, brace)),
        None => return Err(BodyFault::new(BodyCause::Empty, brace)),
    }
    let mut head = BodyHead { open: brace + 1, empty: true, ..BodyHead::default() };
    let mut scan = Scan::new(body);
    let end = members(&mut scan, brace + 1, |scan, name, at| {
        head.empty = false;
        match member(body, name) {
            Some(Member::Model) => {
                once(head.model.is_some(), "model", name)?;
                let (model, end) = model(scan, at)?;
                head.model = Some(model);
                Ok(end)
            }
            Some(Member::Stream) => {
                once(head.stream.is_some(), "stream", name)?;
                let flag = flag(scan, at, "stream")?;
                let end = flag.range.end;
                head.stream = Some(flag);
                Ok(end)
            }
            Some(Member::StreamOptions) => {
                once(head.stream_options.is_some(), "stream_options", name)?;
                let options = stream_options(scan, at)?;
                let end = options.range.end;
                head.stream_options = Some(options);
                Ok(end)
            }
            Some(Member::Earlier(kind)) => {
                let end = scan.value(at, 1)?;
                earlier(&mut head, body, kind, name, at..end)?;
                Ok(end)
            }
            Some(Member::Bound(kind)) => {
                let end = scan.value(at, 1)?;
                head.bounds.take(kind, body.get(at..end).unwrap_or_default());
                Ok(end)
            }
            Some(Member::Mode) => {
                let end = scan.value(at, 1)?;
                head.mode = mode(body.get(at..end).unwrap_or_default()).or(head.mode);
                Ok(end)
            }
            Some(Member::Tools) => {
                let end = scan.value(at, 1)?;
                // An empty list or object is as long as its brackets.
                let is_list = matches!(body.get(at), Some(b'[' | b'{'));
                head.has_tools |= is_list && scan::blank(body, at + 1) + 1 < end;
                Ok(end)
            }
            None => scan.value(at, 1),
        }
    })?;
    let rest = scan::blank(body, end);
    if rest < body.len() {
        return Err(BodyFault::new(BodyCause::TrailingData, rest));
    }
    scan.utf8()?;
    let Tally { text_bytes, media, media_bytes, places } = scan.tally;
    Ok(BodyHead { text_bytes, media, media_bytes, media_places: places, ..head })
}

/// Walks the members of the object whose opening brace is before `at`; `visit` gets each name and the offset
/// of its value and returns the offset behind the value. Returns the offset behind the closing brace.
fn members<'a>(
    scan: &mut Scan<'a>,
    at: usize,
    mut visit: impl FnMut(&mut Scan<'a>, Text, usize) -> Result<usize, BodyFault>,
) -> Result<usize, BodyFault> {
    let body = scan.body;
    let mut at = scan::blank(body, at);
    if body.get(at) == Some(&b'}') {
        return Ok(at + 1);
    }
    loop {
        let (name, value) = scan.key(at)?;
        at = scan::blank(body, visit(scan, name, value)?);
        match body.get(at) {
            Some(b',') => at = scan::blank(body, at + 1),
            Some(b'}') => return Ok(at + 1),
            _ => return Err(scan::expected(body, at, "`,` or `}`")),
        }
    }
}

/// The members we look for at the top.
#[derive(Clone, Copy)]
enum Member {
    Model,
    Stream,
    StreamOptions,
    Earlier(Earlier),
    Bound(Bound),
    Mode,
    Tools,
}

/// The members that bound the answer.
#[derive(Clone, Copy)]
enum Bound {
    MaxTokens,
    MaxCompletionTokens,
    MaxOutputTokens,
    N,
    BestOf,
    Generation,
}

/// The members that continue something stored, or store something.
#[derive(Clone, Copy)]
enum Earlier {
    Response,
    Conversation,
    Store,
}

/// Takes a member that continues something stored, or stores something. Of what has another type nothing is known: the
/// provider refuses it.
#[cold]
fn earlier<'a>(
    head: &mut BodyHead<'a>,
    body: &'a [u8],
    kind: Earlier,
    name: Text,
    range: Range<usize>,
) -> Result<(), BodyFault> {
    let raw = body.get(range.clone()).unwrap_or_default();
    match kind {
        Earlier::Response => {
            once(head.previous_response_id.is_some(), "previous_response_id", name)?;
            head.previous_response_id = match raw {
                [b'"', text @ .., b'"'] if !text.contains(&b'\\') => {
                    std::str::from_utf8(text).ok().map(Cow::Borrowed)
                }
                _ => serde_json::from_slice::<String>(raw).ok().map(Cow::Owned),
            };
        }
        Earlier::Conversation => {
            once(head.conversation.is_some(), "conversation", name)?;
            head.conversation = Some(range);
        }
        Earlier::Store => {
            once(head.store.is_some(), "store", name)?;
            head.store = match raw {
                b"true" => Some(true),
                b"false" => Some(false),
                _ => None,
            };
        }
    }
    Ok(())
}

/// The mode that a word asks for. A word that is not known asks for none: what it costs, the answer tells.
#[cold]
fn mode(raw: &[u8]) -> Option<Mode> {
    Tier::of(&serde_json::from_slice::<Box<str>>(raw).ok()?).mode().filter(|mode| *mode != Mode::Other)
}

/// Which member a name is. A name written with escapes is compared by what it means.
#[inline(always)]
fn member(body: &[u8], name: Text) -> Option<Member> {
    match &*unescaped(body, name)? {
        b"model" => Some(Member::Model),
        b"stream" => Some(Member::Stream),
        b"stream_options" => Some(Member::StreamOptions),
        b"previous_response_id" => Some(Member::Earlier(Earlier::Response)),
        b"conversation" => Some(Member::Earlier(Earlier::Conversation)),
        b"store" => Some(Member::Earlier(Earlier::Store)),
        b"max_tokens" => Some(Member::Bound(Bound::MaxTokens)),
        b"max_completion_tokens" => Some(Member::Bound(Bound::MaxCompletionTokens)),
        b"max_output_tokens" => Some(Member::Bound(Bound::MaxOutputTokens)),
        b"service_tier" | b"serviceTier" | b"speed" => Some(Member::Mode),
        b"tools" | b"functions" => Some(Member::Tools),
        b"n" => Some(Member::Bound(Bound::N)),
        b"best_of" => Some(Member::Bound(Bound::BestOf)),
        b"generationConfig" | b"generation_config" => Some(Member::Bound(Bound::Generation)),
        _ => None,
    }
}

/// A string's meaning; `None` if it is too long to be a name we look for, or no text.
#[inline(always)]
fn unescaped<'a>(body: &'a [u8], text: Text) -> Option<Cow<'a, [u8]>> {
    /// Bytes of the longest name, written entirely in six-byte escapes.
    const LONGEST: usize = 6 * "max_completion_tokens".len();
    if !text.escaped {
        return body.get(text.start..text.end).map(Cow::Borrowed);
    }
    if text.end - text.start > LONGEST {
        return None;
    }
    let quoted = body.get(text.start - 1..text.end + 1)?;
    serde_json::from_slice::<String>(quoted).ok().map(|meaning| Cow::Owned(meaning.into_bytes()))
}

fn once(seen: bool, member: &'static str, name: Text) -> Result<(), BodyFault> {
    if seen { Err(BodyFault::new(BodyCause::Duplicate(member), name.start - 1)) } else { Ok(()) }
}

/// Reads a model's name at `at`; returns it and the offset behind it.
fn model<'a>(scan: &mut Scan<'a>, at: usize) -> Result<(ModelName<'a>, usize), BodyFault> {
    let body = scan.body;
    if body.get(at) != Some(&b'"') {
        return Err(wrong_type(scan, at, "model", "a string"));
    }
    let text = scan.string(at + 1)?;
    if text.end - text.start > MAX_MODEL_BYTES {
        return Err(BodyFault::new(BodyCause::ModelTooLong, at));
    }
    let range = at..text.end + 1;
    let not_text = || BodyFault::new(BodyCause::ModelNotText, at);
    let value = if text.escaped {
        let quoted = body.get(range.clone()).unwrap_or_default();
        Cow::Owned(serde_json::from_slice::<String>(quoted).ok().ok_or_else(not_text)?)
    } else {
        let raw = body.get(text.start..text.end).unwrap_or_default();
        Cow::Borrowed(
            std::str::from_utf8(raw)
                .map_err(|error| BodyFault::new(BodyCause::InvalidUtf8, text.start + error.valid_up_to()))?,
        )
    };
    if value.chars().any(char::is_control) {
        return Err(not_text());
    }
    Ok((ModelName { value, range }, text.end + 1))
}

/// Reads `true`, `false` or `null` at `at`.
fn flag(scan: &mut Scan<'_>, at: usize, member: &'static str) -> Result<Flag, BodyFault> {
    let value = match scan.body.get(at) {
        Some(b't') => Some(true),
        Some(b'f') => Some(false),
        Some(b'n') => None,
        _ => return Err(wrong_type(scan, at, member, "true or false")),
    };
    let end = scan.value(at, 1)?;
    Ok(Flag { value, range: at..end })
}

/// Reads the value of `stream_options` at `at`.
fn stream_options(scan: &mut Scan<'_>, at: usize) -> Result<StreamOptions, BodyFault> {
    let mut options =
        StreamOptions { range: at..at, object: false, open: at, empty: true, include_usage: None };
    let body = scan.body;
    match body.get(at) {
        Some(b'n') => {
            options.range.end = scan.value(at, 1)?;
            return Ok(options);
        }
        Some(b'{') => {}
        _ => return Err(wrong_type(scan, at, "stream_options", "an object")),
    }
    options.object = true;
    options.open = at + 1;
    options.range.end = members(scan, at + 1, |scan, name, value| {
        options.empty = false;
        // The name is shorter than the longest of ours, so the same bound on escaped names holds.
        if unescaped(body, name).as_deref() != Some(b"include_usage") {
            return scan.value(value, 2);
        }
        once(options.include_usage.is_some(), "stream_options.include_usage", name)?;
        let flag = flag(scan, value, "stream_options.include_usage")?;
        let end = flag.range.end;
        options.include_usage = Some(flag);
        Ok(end)
    })?;
    Ok(options)
}

/// The fault of a value of another type; a value that is no JSON at all is that fault instead.
#[cold]
fn wrong_type(scan: &mut Scan<'_>, at: usize, member: &'static str, want: &'static str) -> BodyFault {
    match scan.value(at, 1) {
        Ok(_) => BodyFault::new(BodyCause::WrongType { member, want }, at),
        Err(fault) => fault,
    }
}

#[cfg(test)]
mod tests;
