//! Which operation a method and path name, in which dialect.

mod pattern;

use crate::dialect::{Dialect, Family};
use pattern::{PATTERNS, behind_version};
use std::borrow::Cow;
use std::fmt;

/// Bytes that a path may have. Far above any real one; a longer one is refused before it is read.
pub const MAX_PATH_BYTES: usize = 4096;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Generate text (streamed or not).
    Generate,
    /// Shorten a conversation (OpenAI's Responses, for Codex).
    Compact,
    /// Compute embeddings.
    Embed,
    /// Count the tokens of a prompt.
    CountTokens,
    /// List models.
    ListModels,
    /// Describe one model.
    GetModel,
    /// Converse over a WebSocket: OpenAI's realtime API, Gemini's live API.
    Realtime,
    /// Ask for one response after another over a WebSocket.
    ResponsesSocket,
    /// `GET /` or `HEAD /`: is anybody there.
    Probe,
    /// Look at a text without sending it anywhere: answered by the gateway.
    Scan,
    /// A path beside inference (see [`paths`](crate::paths)); never recognized here.
    Beside,
}

impl Operation {
    /// Whether it is a conversation over a WebSocket.
    pub fn is_conversation(self) -> bool {
        matches!(self, Operation::Realtime | Operation::ResponsesSocket)
    }
}

/// A recognized path. Borrows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// What is asked for.
    pub operation: Operation,
    /// The dialect, for errors and metering.
    pub dialect: Dialect,
    /// The first path segment, if the path had one more than the route: a provider's name or one of
    /// [`PREFIX_ALIASES`]. Not yet checked against configured providers; see also [`Endpoint::provider`].
    pub prefix: Option<&'a str>,
    /// The model in the path, decoded and without a leading `models/`.
    pub model: Option<Cow<'a, str>>,
    /// Whether the path asks for a stream; `None` when the body says.
    pub stream: Option<bool>,
}

impl<'a> Endpoint<'a> {
    /// The provider that the prefix names, aliases resolved.
    pub fn provider(&self) -> Option<&'a str> {
        self.prefix.map(canonical_prefix)
    }
}

/// Why a path is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathFault {
    /// No route has this path.
    Unknown {
        /// The family whose client most likely sent it, for the error's shape.
        family: Family,
    },
    /// The path exists with another method.
    Method {
        /// The family of the path.
        family: Family,
        /// The value of the `allow` header.
        allow: &'static str,
    },
    /// The path is not one that may be passed on.
    Malformed {
        /// The family whose client most likely sent it.
        family: Family,
        /// What is wrong with it.
        cause: &'static str,
    },
}

impl PathFault {
    /// The family in whose shape to answer.
    pub fn family(&self) -> Family {
        match self {
            PathFault::Unknown { family }
            | PathFault::Method { family, .. }
            | PathFault::Malformed { family, .. } => *family,
        }
    }

    /// 404, 405 or 400.
    pub fn status(&self) -> u16 {
        match self {
            PathFault::Unknown { .. } => 404,
            PathFault::Method { .. } => 405,
            PathFault::Malformed { .. } => 400,
        }
    }
}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathFault::Unknown { .. } => f.write_str("this gateway does not serve this path"),
            PathFault::Method { allow, .. } => write!(f, "this path takes {allow} only"),
            PathFault::Malformed { cause, .. } => write!(f, "the path is malformed: {cause}"),
        }
    }
}

impl std::error::Error for PathFault {}

/// One served route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path, without a prefix. `{version}` stands for one of [`GEMINI_VERSIONS`], `{model}` for a model's
    /// name of one or more segments.
    pub path: &'static str,
    /// What it does.
    pub operation: Operation,
    /// The dialect. For model lists, the family's first one.
    pub dialect: Dialect,
    /// Whether it streams; `None` when the body says.
    pub stream: Option<bool>,
}

const fn route(
    method: &'static str,
    path: &'static str,
    operation: Operation,
    dialect: Dialect,
    stream: Option<bool>,
) -> Route {
    Route { method, path, operation, dialect, stream }
}

/// The path of Gemini's live API.
macro_rules! gemini_live {
    ($version:literal) => {
        concat!("/ws/google.ai.generativelanguage.", $version, ".GenerativeService.BidiGenerateContent")
    };
}

/// Every served route. The first match wins, so a longer ending stands before a shorter one.
///
/// Each is also served behind a first segment that names a provider (`/anthropic/v1/messages`), and OpenAI's
/// also without `/v1` there, because SDKs append to a base URL such as `http://host/openai`.
/// Sources: platform.openai.com/docs/api-reference, docs.anthropic.com/en/api, ai.google.dev/api (seen 2025-11).
pub const ROUTES: &[Route] = {
    use Dialect as D;
    use Operation as O;
    &[
        route("GET", "/", O::Probe, D::OpenaiChat, Some(false)),
        route("HEAD", "/", O::Probe, D::OpenaiChat, Some(false)),
        route("POST", "/v1/chat/completions", O::Generate, D::OpenaiChat, None),
        route("POST", "/v1/completions", O::Generate, D::OpenaiCompletions, None),
        route("POST", "/v1/responses", O::Generate, D::OpenaiResponses, None),
        // Source: github.com/openai/codex, codex-rs/codex-api (seen 2026-11).
        route("POST", "/v1/responses/compact", O::Compact, D::OpenaiResponses, Some(false)),
        route("POST", "/v1/guard/scan", O::Scan, D::OpenaiChat, Some(false)),
        route("GET", "/v1/responses", O::ResponsesSocket, D::OpenaiResponses, Some(true)),
        route("GET", "/v1/realtime", O::Realtime, D::OpenaiResponses, Some(true)),
        route("GET", gemini_live!("v1beta"), O::Realtime, D::GeminiGenerate, Some(true)),
        route("GET", gemini_live!("v1alpha"), O::Realtime, D::GeminiGenerate, Some(true)),
        route("POST", "/v1/embeddings", O::Embed, D::OpenaiEmbeddings, Some(false)),
        route("POST", "/v1/messages", O::Generate, D::AnthropicMessages, None),
        route("POST", "/v1/messages/count_tokens", O::CountTokens, D::AnthropicMessages, Some(false)),
        route(
            "POST",
            "/{version}/models/{model}:generateContent",
            O::Generate,
            D::GeminiGenerate,
            Some(false),
        ),
        route(
            "POST",
            "/{version}/models/{model}:streamGenerateContent",
            O::Generate,
            D::GeminiGenerate,
            Some(true),
        ),
        route(
            "POST",
            "/{version}/models/{model}:countTokens",
            O::CountTokens,
            D::GeminiGenerate,
            Some(false),
        ),
        route(
            "POST",
            "/{version}/tunedModels/{model}:generateContent",
            O::Generate,
            D::GeminiGenerate,
            Some(false),
        ),
        route(
            "POST",
            "/{version}/tunedModels/{model}:streamGenerateContent",
            O::Generate,
            D::GeminiGenerate,
            Some(true),
        ),
        route(
            "POST",
            "/{version}/tunedModels/{model}:countTokens",
            O::CountTokens,
            D::GeminiGenerate,
            Some(false),
        ),
        // Azure's clients build these, behind `/openai` of their endpoint, which may itself be behind a provider's name.
        // Source: learn.microsoft.com/azure/ai-foundry/openai/reference (seen 2026-11).
        route("POST", "/deployments/{model}/chat/completions", O::Generate, D::OpenaiChat, None),
        route("POST", "/deployments/{model}/completions", O::Generate, D::OpenaiCompletions, None),
        route("POST", "/deployments/{model}/embeddings", O::Embed, D::OpenaiEmbeddings, Some(false)),
        route("GET", "/v1/models", O::ListModels, D::OpenaiChat, Some(false)),
        route("GET", "/v1/models/{model}", O::GetModel, D::OpenaiChat, Some(false)),
        route("GET", "/{version}/models", O::ListModels, D::GeminiGenerate, Some(false)),
        route("GET", "/{version}/models/{model}", O::GetModel, D::GeminiGenerate, Some(false)),
    ]
};

/// The first segment of Gemini's paths. `v1` is shared with the other families.
pub const GEMINI_VERSIONS: &[&str] = &["v1beta", "v1alpha", "v1"];

/// Other names of provider prefixes.
pub const PREFIX_ALIASES: &[(&str, &str)] = &[("genai", "gemini")];

/// First segments that are routes and so can never name a provider.
pub const RESERVED_PREFIXES: &[&str] = &[
    "v1",
    "v1beta",
    "v1alpha",
    "guard",
    "chat",
    "completions",
    "responses",
    "realtime",
    "ws",
    "embeddings",
    "models",
    "tunedModels",
    "messages",
    "upload",
    "deployments",
    "admin",
];

/// The provider's name that a prefix stands for.
pub fn canonical_prefix(prefix: &str) -> &str {
    PREFIX_ALIASES.iter().find(|row| row.0 == prefix).map_or(prefix, |row| row.1)
}

/// Recognizes a method and a path (without its query).
///
/// One trailing slash is tolerated. Percent-encoding is decoded in a model's name only; everywhere else an
/// encoded path names no route.
///
/// # Errors
/// [`PathFault`], with the family in whose shape to answer.
pub fn recognize<'a>(method: &str, path: &'a str) -> Result<Endpoint<'a>, PathFault> {
    if let Some(cause) = malformed(path) {
        return Err(PathFault::Malformed { family: guess(path), cause });
    }
    let trimmed = if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path };
    let mut allowed = Allowed::default();
    // Every route begins with a reserved segment, so it is either without a prefix or behind one.
    let (prefix, rest) = match split_prefix(trimmed) {
        // Azure's clients put `/openai` behind the endpoint they are given, whatever it is.
        Some((prefix, rest)) => match rest.strip_prefix("/openai/deployments/") {
            Some(_) => (Some(prefix), rest.strip_prefix("/openai").unwrap_or(rest)),
            None => (Some(prefix), rest),
        },
        None => (None, trimmed),
    };
    if let Some(endpoint) = find(method, rest, prefix, &mut allowed)? {
        return Ok(endpoint);
    }
    match (allowed.allow, allowed.family) {
        (Some(allow), Some(family)) => Err(PathFault::Method { family, allow }),
        _ => Err(PathFault::Unknown { family: guess(path) }),
    }
}

/// Methods under which a path was found.
#[derive(Default)]
struct Allowed {
    allow: Option<&'static str>,
    family: Option<Family>,
}

/// `/openai/v1/models` → (`openai`, `/v1/models`); `/openai` → (`openai`, `/`).
fn split_prefix(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_prefix('/')?;
    let (prefix, rest) = match path.bytes().position(|byte| byte == b'/') {
        Some(slash) => path.split_at(slash),
        None => (path, "/"),
    };
    let usable = !prefix.is_empty() && !prefix.contains('%') && !RESERVED_PREFIXES.contains(&prefix);
    usable.then_some((prefix, rest))
}

/// The first route that serves `path`.
fn find<'a>(
    method: &str,
    path: &'a str,
    prefix: Option<&'a str>,
    allowed: &mut Allowed,
) -> Result<Option<Endpoint<'a>>, PathFault> {
    // Gemini's part of the path, once and not for each of its routes.
    let versioned = behind_version(path);
    for (route, pattern) in ROUTES.iter().zip(&PATTERNS) {
        let Some(model) = pattern.matches(path, versioned, prefix.is_some()) else { continue };
        let dialect = spoken(route, prefix);
        let model = match model {
            Some(raw) => Some(decode(raw).ok_or(PathFault::Malformed {
                family: dialect.family(),
                cause: "the model's name is not valid",
            })?),
            None => None,
        };
        if route.method != method {
            // A probe of the prefix alone takes two methods.
            let allow = if route.operation == Operation::Probe { "GET, HEAD" } else { route.method };
            allowed.allow.get_or_insert(allow);
            allowed.family.get_or_insert(dialect.family());
            continue;
        }
        let model =
            model.map(|name| if pattern.tuned { Cow::Owned(format!("tunedModels/{name}")) } else { name });
        return Ok(Some(Endpoint {
            operation: route.operation,
            dialect,
            prefix,
            model,
            stream: route.stream,
        }));
    }
    Ok(None)
}

/// The dialect of a route behind a prefix: models are described in the shape of the family whose prefix was used.
fn spoken(route: &Route, prefix: Option<&str>) -> Dialect {
    if matches!(route.operation, Operation::ListModels | Operation::GetModel | Operation::Probe) {
        match prefix.map(canonical_prefix) {
            Some("anthropic") => return Dialect::AnthropicMessages,
            Some("gemini") => return Dialect::GeminiGenerate,
            _ => {}
        }
    }
    route.dialect
}

/// A model's name, percent-decoded and without `models/`. `None` if it decodes to something that is no name.
fn decode(raw: &str) -> Option<Cow<'_, str>> {
    let decoded = if raw.contains('%') { Cow::Owned(percent_decode(raw)?) } else { Cow::Borrowed(raw) };
    let bad = decoded.chars().any(char::is_control)
        || decoded.split('/').any(|segment| segment.is_empty() || segment == "." || segment == "..");
    if bad {
        return None;
    }
    Some(match decoded {
        Cow::Borrowed(name) => Cow::Borrowed(name.strip_prefix("models/").unwrap_or(name)),
        Cow::Owned(name) => match name.strip_prefix("models/") {
            Some(rest) => Cow::Owned(rest.to_owned()),
            None => Cow::Owned(name),
        },
    })
}

/// Decodes `%XX`; `None` for a broken escape or bytes that are not UTF-8.
fn percent_decode(raw: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' { hex(rest.next()?)? << 4 | hex(rest.next()?)? } else { byte });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// What makes a path unfit to be looked up at all.
fn malformed(path: &str) -> Option<&'static str> {
    if path.len() > MAX_PATH_BYTES {
        return Some("it is too long");
    }
    if !path.starts_with('/') {
        return Some("it does not begin with a slash");
    }
    // What may be wrong shows in one look; which of it, only then.
    let (mut odd, mut dotted, mut before) = (false, false, 0);
    for byte in path.bytes() {
        odd |= byte < 0x20 || byte == 0x7F || byte == b'\\';
        dotted |= before == b'/' && (byte == b'/' || byte == b'.');
        before = byte;
    }
    if odd {
        return Some("it holds a control character or backslash");
    }
    if !dotted {
        return None;
    }
    let segments = path.strip_prefix('/').unwrap_or(path);
    let segments = segments.strip_suffix('/').unwrap_or(segments);
    if path != "/" && segments.split('/').any(str::is_empty) {
        return Some("it has an empty segment");
    }
    segments.split('/').any(|segment| segment == "." || segment == "..").then_some("it has a dot segment")
}

/// The family whose client most likely sent this path.
fn guess(path: &str) -> Family {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    match canonical_prefix(first) {
        "anthropic" => return Family::Anthropic,
        "gemini" | "v1beta" | "v1alpha" => return Family::Gemini,
        "openai" => return Family::Openai,
        _ => {}
    }
    let has = |segment: &str| path.split('/').any(|part| part == segment);
    if has("messages") || has("anthropic") {
        Family::Anthropic
    } else if has("v1beta") || has("v1alpha") || path.to_ascii_lowercase().ends_with("generatecontent") {
        Family::Gemini
    } else {
        Family::Openai
    }
}

#[cfg(test)]
mod tests;
