//! Credentials of providers: where each comes from, and one or two of them.

use super::form::{Form, Reader, Shape};
use super::secret::{REDACTED, Secret};
use super::tree::{Content, Node};
use serde_json::{Value as Json, json};

/// Most credentials of one provider at a time: a new one and the one before.
pub const API_KEYS_MAX: usize = 2;
/// Longest name of a stored credential, in bytes.
pub const CREDENTIAL_NAME_MAX: usize = 64;
/// Longest path or field in a secrets store, in bytes.
const VAULT_TEXT_MAX: usize = 512;

/// Where a credential comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A variable, a file, or the configuration itself.
    Given,
    /// The store, sealed, under this name.
    Store(String),
    /// A field of a secret in the secrets store. The path's first segment is the mount.
    Vault {
        /// Mount and path.
        path: String,
        /// The field of the secret.
        field: String,
    },
}

/// A credential of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Where it comes from.
    pub source: Source,
    /// What it is; absent until it was fetched from where it comes from.
    pub value: Option<Secret>,
}

/// What is sent to a provider: the first that it takes. One or [`API_KEYS_MAX`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey(pub Vec<Credential>);

/// Whether a text may name a stored credential.
pub fn is_credential_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    !text.is_empty() && text.len() <= CREDENTIAL_NAME_MAX && text.chars().all(plain)
}

/// `PATH#FIELD`: at least two segments, none of them empty or dots.
fn vault(text: &str) -> Option<Source> {
    let (path, field) = text.split_once('#')?;
    let plain = |c: char| c.is_ascii_graphic() && !"?#%\\\"".contains(c);
    let segment = |segment: &str| !segment.is_empty() && segment != "." && segment != "..";
    let fine = path.len() + field.len() <= VAULT_TEXT_MAX
        && text.chars().filter(|c| *c == '#').count() == 1
        && path.chars().all(plain)
        && path.split('/').all(segment)
        && path.contains('/')
        && !field.is_empty()
        && field.chars().all(plain);
    fine.then(|| Source::Vault { path: path.to_owned(), field: field.to_owned() })
}

impl Form for Credential {
    type Out = Credential;

    fn shape() -> Shape {
        Secret::shape()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Credential> {
        // What came out of a variable is a secret, whatever it looks like.
        let literal = match &node.content {
            Content::Scalar(scalar) if scalar.template.is_none() => Some(scalar.text.as_str()),
            _ => None,
        };
        let source = if let Some(name) = literal.and_then(|text| text.strip_prefix("store:")) {
            let source = is_credential_name(name).then(|| Source::Store(name.to_owned()));
            let suggestion = "write `store:NAME`: lower-case letters, digits, `-`, `_` and `.`, at most 64";
            (source, suggestion)
        } else if let Some(text) = literal.and_then(|text| text.strip_prefix("vault:")) {
            (vault(text), "write `vault:MOUNT/PATH#FIELD`, as vault:secret/openai#api_key")
        } else {
            return Secret::read(node, reader)
                .map(|secret| Credential { source: Source::Given, value: Some(secret) });
        };
        match source {
            (Some(source), _) => Some(Credential { source, value: None }),
            (None, suggestion) => {
                reader.problem(node.at, "this names no credential", suggestion);
                None
            }
        }
    }

    fn show(value: &Credential) -> Json {
        match &value.source {
            Source::Given => json!(REDACTED),
            Source::Store(name) => json!(format!("store:{name}")),
            Source::Vault { path, field } => json!(format!("vault:{path}#{field}")),
        }
    }
}

impl Form for ApiKey {
    type Out = ApiKey;

    fn shape() -> Shape {
        Shape::Either(vec![Credential::shape(), Vec::<Credential>::shape()])
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<ApiKey> {
        let Content::List(items) = &node.content else {
            return Credential::read(node, reader).map(|credential| ApiKey(vec![credential]));
        };
        if items.is_empty() || items.len() > API_KEYS_MAX {
            let suggestion = "write one secret, or two: `[the new one, the one before]`";
            reader.problem(node.at, "a provider has one credential or two", suggestion);
            return None;
        }
        let credentials = Vec::<Credential>::read(node, reader)?;
        (credentials.len() == items.len()).then_some(ApiKey(credentials))
    }

    fn show(value: &ApiKey) -> Json {
        match value.0.as_slice() {
            [one] => Credential::show(one),
            several => Json::Array(several.iter().map(Credential::show).collect()),
        }
    }
}
