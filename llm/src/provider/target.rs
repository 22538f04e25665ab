//! The path and query of an upstream request.

use super::{Layout, Provider};
use crate::dialect::{DIALECTS, Dialect, Family};
use crate::endpoint::{GEMINI_VERSIONS, Operation};
use thiserror::Error;

/// What is asked of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask<'a> {
    /// The operation.
    pub operation: Operation,
    /// The dialect of the request's body.
    pub dialect: Dialect,
    /// The model; needed where it stands in the path (Gemini, Azure's deployments, describing a model).
    pub model: Option<&'a str>,
    /// Whether a stream is asked for; matters to Gemini's path only.
    pub stream: bool,
    /// The client's own query without `?` and without credentials, passed on as it is (`beta=true`, `alt=sse`).
    pub query: &'a str,
    /// A configured API version (Azure).
    pub api_version: Option<&'a str>,
}

/// Why a provider cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unsupported {
    /// It does not speak the dialect.
    #[error("the provider does not speak this dialect")]
    Dialect,
    /// It speaks the dialect but does not offer the operation.
    #[error("the provider does not offer this operation")]
    Operation,
    /// The model stands in the path, and there is none, or one that would change the path's meaning.
    #[error("the model's name cannot stand in a path")]
    Model,
}

/// The path and query to ask for at `base_path`, the path of the provider's base URL.
///
/// Base URLs are taken liberally, with or without trailing slash. Written with the provider's host alone, the
/// dialect's root is added (`https://api.openai.com` → `/v1/…`). Written with a root of the provider or the
/// beginning of one, as its documentation shows (`…/v1`, `…/v1beta/openai`), that root is exchanged for the
/// dialect's. Written with another version (`…/api/v3`), that version is kept. Anything else is a prefix, before
/// the root. [`Layout::BaseAsGiven`] takes any path as it is.
///
/// # Errors
/// [`Unsupported`].
pub fn target(provider: &Provider, base_path: &str, ask: &Ask<'_>) -> Result<String, Unsupported> {
    let speaks = provider.speaks.iter().find(|row| row.dialect == ask.dialect).ok_or(Unsupported::Dialect)?;
    let base = base_path.trim_end_matches('/');
    if is_deployment(provider, ask) {
        return behind(&deployments(provider, base), provider, ask);
    }
    behind(&rooted(provider, base, speaks.root), provider, ask)
}

/// [`target`] for one provider and base URL, with all that does not depend on what is asked worked out once.
#[derive(Debug, Clone)]
pub struct Targets {
    provider: &'static Provider,
    /// What stands before each dialect's own path, by the dialect's number; `None` if it is not spoken.
    roots: [Option<Box<str>>; DIALECTS.len()],
    /// What stands before the name of an Azure deployment; empty for other layouts.
    deployments: Box<str>,
}

impl Targets {
    /// Works out the paths of a provider at `base_path`, the path of its base URL.
    pub fn new(provider: &'static Provider, base_path: &str) -> Targets {
        let base = base_path.trim_end_matches('/');
        let mut roots = [const { None }; DIALECTS.len()];
        for row in provider.speaks.iter().rev() {
            if let Some(root) = roots.get_mut(row.dialect as usize) {
                *root = Some(rooted(provider, base, row.root).into());
            }
        }
        let deployments = match provider.layout {
            Layout::Azure => deployments(provider, base).into(),
            _ => Box::default(),
        };
        Targets { provider, roots, deployments }
    }

    /// The path and query to ask for: exactly what [`target`] returns.
    ///
    /// # Errors
    /// [`Unsupported`].
    pub fn target(&self, ask: &Ask<'_>) -> Result<String, Unsupported> {
        let root = self.roots.get(ask.dialect as usize).and_then(Option::as_deref);
        let root = root.ok_or(Unsupported::Dialect)?;
        let deployment = is_deployment(self.provider, ask);
        behind(if deployment { &self.deployments } else { root }, self.provider, ask)
    }
}

/// What is asked of a provider beside inference (see [`paths`](crate::paths)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beside<'a> {
    /// The family whose path it is.
    pub family: Family,
    /// The path as it was matched, with the version of its API in front. Segments of plain characters only.
    pub path: &'a str,
    /// The model, if the request names one; Azure has it in the path of a deployment.
    pub model: Option<&'a str>,
    /// The query, as for [`Ask`].
    pub query: &'a str,
    /// A configured API version (Azure).
    pub api_version: Option<&'a str>,
}

impl Targets {
    /// The path and query to ask for beside inference. The version in front of a path stands for the provider's root, as
    /// with inference; a path without one stands beside the root. Everything behind it is sent as it was matched.
    ///
    /// # Errors
    /// [`Unsupported::Dialect`].
    pub fn beside(&self, ask: &Beside<'_>) -> Result<String, Unsupported> {
        let row = self.provider.speaks.iter().find(|row| row.dialect.family() == ask.family);
        let row = row.ok_or(Unsupported::Dialect)?;
        let root = self.roots.get(row.dialect as usize).and_then(Option::as_deref);
        let root = root.ok_or(Unsupported::Dialect)?;
        let base = root.strip_suffix(row.root).unwrap_or(root);
        // Google's uploads have a root of their own beside the API's.
        let (upload, rest) = match ask.path.strip_prefix("/upload").filter(|rest| rest.starts_with('/')) {
            Some(rest) => ("/upload", rest),
            None => ("", ask.path),
        };
        let mut path = match behind_any_version(rest) {
            Some(tail) if self.provider.layout == Layout::Azure && ask.api_version.is_some_and(is_dated) => {
                self.beside_deployment(tail, ask.model)?
            }
            Some(tail) => {
                let own = root.strip_prefix(base).unwrap_or(row.root);
                format!("{base}{upload}{own}{tail}")
            }
            // OpenAI's clients leave the version out behind a prefix.
            None if ask.family == Family::Openai && crate::paths::find_any(&format!("/v1{rest}")) => {
                format!("{root}{rest}")
            }
            None => format!("{base}{upload}{rest}"),
        };
        push_query(&mut path, ask.query);
        if self.provider.layout == Layout::Azure
            && let Some(version) = ask.api_version
            && !ask.query.split('&').any(|pair| pair.starts_with("api-version="))
        {
            push_query(&mut path, "api-version=");
            push_encoded(&mut path, version, false)?;
        }
        Ok(path)
    }

    /// Azure's dated surface: what a model does stands behind its deployment, everything else does not.
    fn beside_deployment(&self, tail: &str, model: Option<&str>) -> Result<String, Unsupported> {
        let of_model = tail.starts_with("/audio/") || tail.starts_with("/images/");
        let Some(model) = model.filter(|_| of_model) else {
            return Ok(format!("{}{tail}", self.deployments.trim_end_matches("/deployments/")));
        };
        let mut path = self.deployments.to_string();
        push_encoded(&mut path, model, false)?;
        path.push_str(tail);
        Ok(path)
    }
}

/// What follows the version of an API at the beginning of a path.
fn behind_any_version(path: &str) -> Option<&str> {
    let (version, _) = path.strip_prefix('/')?.split_once('/')?;
    GEMINI_VERSIONS.contains(&version).then(|| path.get(version.len() + 1..)).flatten()
}

/// Bytes that a path usually has behind its root, the model's name and the query apart.
const OPERATION_ROOM: usize = 48;

/// What is asked for, behind what stands before it (see [`Targets`]).
fn behind(root: &str, provider: &Provider, ask: &Ask<'_>) -> Result<String, Unsupported> {
    if (ask.operation, ask.dialect) == (Operation::Realtime, Dialect::GeminiGenerate) {
        return Ok(gemini_live(root, ask));
    }
    let model = ask.model.map_or(0, str::len);
    let mut path = String::with_capacity(root.len() + model + ask.query.len() + OPERATION_ROOM);
    path.push_str(root);
    let deployment = is_deployment(provider, ask);
    if deployment {
        push_encoded(&mut path, ask.model.ok_or(Unsupported::Model)?, false)?;
    }
    push_operation(&mut path, provider, ask)?;
    push_query(&mut path, ask.query);
    // Azure's undated surface takes a version too (`preview`); a date belongs to deployments only.
    if provider.layout == Layout::Azure
        && let Some(version) = ask.api_version.filter(|version| deployment || !is_dated(version))
        && !ask.query.split('&').any(|pair| pair.starts_with("api-version="))
    {
        push_query(&mut path, "api-version=");
        push_encoded(&mut path, version, false)?;
    }
    Ok(path)
}

/// Gemini's live API is beside the versions' paths and names the version in its own.
fn gemini_live(root: &str, ask: &Ask<'_>) -> String {
    let (before, version) = match root.rsplit_once('/') {
        Some((before, version)) if GEMINI_VERSIONS.contains(&version) => (before, version),
        _ => (root, "v1beta"),
    };
    let mut path =
        format!("{before}/ws/google.ai.generativelanguage.{version}.GenerativeService.BidiGenerateContent");
    push_query(&mut path, ask.query);
    path
}

/// Whether an API version begins with a date.
fn is_dated(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_digit())
}

/// Whether a deployment stands in the path.
fn is_deployment(provider: &Provider, ask: &Ask<'_>) -> bool {
    provider.layout == Layout::Azure
        && has_deployment(ask)
        && asked_version(ask.query).or(ask.api_version).is_some_and(is_dated)
}

/// The version that the client asks for: Azure's own clients say one.
fn asked_version(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("api-version="))
}

/// What stands before the name of an Azure deployment.
fn deployments(provider: &Provider, base: &str) -> String {
    format!("{}/openai/deployments/", without_known_root(provider, base).unwrap_or(base))
}

/// Whether Azure serves this from a deployment's path. Responses and model lists are not.
fn has_deployment(ask: &Ask<'_>) -> bool {
    matches!(ask.operation, Operation::Generate | Operation::Embed) && ask.dialect != Dialect::OpenaiResponses
}

fn push_query(path: &mut String, query: &str) {
    if !query.is_empty() {
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(query);
    }
}

/// Appends what the dialect says behind the root.
fn push_operation(path: &mut String, provider: &Provider, ask: &Ask<'_>) -> Result<(), Unsupported> {
    let counts = if provider.count_tokens { Ok(()) } else { Err(Unsupported::Operation) };
    match (ask.operation, ask.dialect) {
        (Operation::ListModels, _) => path.push_str("/models"),
        (Operation::GetModel, Dialect::GeminiGenerate) => push_gemini_model(path, ask)?,
        (Operation::GetModel, _) => {
            path.push_str("/models/");
            push_encoded(path, ask.model.ok_or(Unsupported::Model)?, true)?;
        }
        (Operation::Generate, Dialect::OpenaiChat) => path.push_str("/chat/completions"),
        (Operation::Generate, Dialect::OpenaiCompletions) => path.push_str("/completions"),
        (Operation::Generate, Dialect::OpenaiResponses) => path.push_str("/responses"),
        (Operation::Compact, Dialect::OpenaiResponses) => path.push_str("/responses/compact"),
        (Operation::ResponsesSocket, Dialect::OpenaiResponses) => path.push_str("/responses"),
        (Operation::Realtime, Dialect::OpenaiResponses) => path.push_str("/realtime"),
        (Operation::Embed, Dialect::OpenaiEmbeddings) => path.push_str("/embeddings"),
        (Operation::Generate, Dialect::AnthropicMessages) => path.push_str("/messages"),
        (Operation::CountTokens, Dialect::AnthropicMessages) => {
            counts?;
            path.push_str("/messages/count_tokens");
        }
        (Operation::Generate, Dialect::GeminiGenerate) => {
            push_gemini_model(path, ask)?;
            path.push_str(if ask.stream { ":streamGenerateContent" } else { ":generateContent" });
        }
        (Operation::CountTokens, Dialect::GeminiGenerate) => {
            counts?;
            push_gemini_model(path, ask)?;
            path.push_str(":countTokens");
        }
        _ => return Err(Unsupported::Operation),
    }
    Ok(())
}

/// `/models/{model}`, unless the name says which collection it is in.
fn push_gemini_model(path: &mut String, ask: &Ask<'_>) -> Result<(), Unsupported> {
    let model = ask.model.ok_or(Unsupported::Model)?;
    // Encoding changes nothing in these names.
    let named = model.starts_with("models/") || model.starts_with("tunedModels/");
    path.push_str(if named { "/" } else { "/models/" });
    push_encoded(path, model, true)
}

/// Appends a name, percent-encoded for a path; `slashes` stay if they are allowed.
fn push_encoded(path: &mut String, name: &str, slashes: bool) -> Result<(), Unsupported> {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    // Most names are as they may be; only what begins or follows a segment can be one of dots alone.
    let (mut clean, mut suspect, mut before) = (true, name.is_empty(), b'/');
    for byte in name.bytes() {
        clean &= is_path_byte(byte) || (byte == b'/' && slashes);
        suspect |= before == b'/' && (byte == b'/' || byte == b'.');
        before = byte;
    }
    let is_bad = |segment: &str| segment.is_empty() || segment == "." || segment == "..";
    if (suspect || before == b'/') && name.split('/').any(is_bad) {
        return Err(Unsupported::Model);
    }
    if clean {
        path.push_str(name);
        return Ok(());
    }
    for byte in name.bytes() {
        if is_path_byte(byte) || (byte == b'/' && slashes) {
            path.push(char::from(byte));
        } else {
            path.push('%');
            path.extend([byte >> 4, byte & 0xF].iter().filter_map(|digit| HEX.get(usize::from(*digit))));
        }
    }
    Ok(())
}

/// Whether a byte stands in a path as it is.
fn is_path_byte(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' | b':')
}

/// The base path with the dialect's root.
fn rooted(provider: &Provider, base: &str, root: &str) -> String {
    if base.is_empty() {
        return root.to_owned();
    }
    if provider.layout == Layout::BaseAsGiven {
        return base.to_owned();
    }
    if let Some(prefix) = without_known_root(provider, base) {
        return format!("{prefix}{root}");
    }
    let Some((prefix, version)) = base.rsplit_once('/').filter(|(_, last)| is_version(last)) else {
        return format!("{base}{root}");
    };
    if root.is_empty() {
        return base.to_owned();
    }
    // The configured version stands where the root has its own.
    let mut path = prefix.to_owned();
    for segment in root.split('/').skip(1) {
        path.push('/');
        path.push_str(if is_version(segment) { version } else { segment });
    }
    path
}

/// `base` without the longest ending that is a root of the provider or the beginning of one.
fn without_known_root<'a>(provider: &Provider, base: &'a str) -> Option<&'a str> {
    let beginnings = provider.speaks.iter().flat_map(|row| {
        let slashes = row.root.bytes().enumerate().filter(|(_, byte)| *byte == b'/').map(|(at, _)| at);
        let ends = slashes.skip(1).chain([row.root.len()]);
        ends.filter_map(|end| row.root.get(..end))
    });
    beginnings
        .filter(|beginning| !beginning.is_empty())
        .filter_map(|beginning| base.strip_suffix(beginning))
        .min_by_key(|prefix| prefix.len())
}

/// `v1`, `v1beta`, `v3alpha2`: a `v`, digits, and perhaps a stage.
fn is_version(segment: &str) -> bool {
    let Some(rest) = segment.strip_prefix('v') else { return false };
    let stage = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    stage.len() < rest.len() && (stage.is_empty() || stage.starts_with("alpha") || stage.starts_with("beta"))
}

#[cfg(test)]
mod tests;
