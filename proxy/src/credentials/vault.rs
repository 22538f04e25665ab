//! A secrets store that speaks the protocol of HashiCorp Vault: the key/value engine, version 2
//! (<https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2>, seen 2026-11), with a token or a login with the
//! service account of Kubernetes (`auth/kubernetes/login`).

use crate::config::{Secret, Vault};
use crate::fetch::{Answer, Ask, FetchError, Origin, encode};
use bytes::Bytes;
use http::Method;
use serde_json::{Value as Json, json};
use std::time::Duration;

/// Time for one answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Largest file with a service account's token, in bytes.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

/// Why a secret could not be read. Never holds one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VaultFault {
    /// No answer.
    #[error("the secrets store cannot be asked: {0}")]
    Fetch(#[from] FetchError),
    /// The token of the service account cannot be read.
    #[error("the service account's token {path} cannot be read: {cause}")]
    TokenFile { path: String, cause: std::io::ErrorKind },
    /// 403 and 400 at login.
    #[error(
        "the secrets store refuses the login of role `{role}` (status {status}); check the role and its bindings"
    )]
    Login { role: String, status: u16 },
    /// 403.
    #[error(
        "the secrets store does not let this token read {path} (403); check the token, its policy and `namespace`"
    )]
    Forbidden { path: String },
    /// 404: there never was one, or its newest version was deleted.
    #[error("the secrets store has no secret at {path} (404); the first part of the path is the mount")]
    NotFound { path: String },
    /// 503.
    #[error("the secrets store is sealed or in maintenance (503)")]
    Sealed,
    /// Any other status.
    #[error("the secrets store answered with status {status}; is `vault.address` right?")]
    Status { status: u16 },
    /// Not what the protocol says.
    #[error("the answer of the secrets store is not that of a key/value engine of version 2")]
    Answer,
    /// The secret lacks the field, or it is no text.
    #[error("the secret at {path} has no text in the field `{field}`")]
    Field { path: String, field: String },
}

/// A connection of settings and credential to the secrets store, for one round of reading.
pub(crate) struct Session {
    origin: Origin,
    namespace: Option<String>,
    token: Secret,
}

impl Session {
    /// Logs in where that is asked for.
    pub(crate) async fn open(settings: &Vault) -> Result<Session, VaultFault> {
        let origin = Origin::new(&settings.address.to_string(), settings.ca_file.as_deref())?;
        let mut session =
            Session { origin, namespace: settings.namespace.clone(), token: Secret::new(String::new()) };
        session.token = match (&settings.token, &settings.kubernetes) {
            (Some(token), _) => token.clone(),
            (None, Some(login)) => session.login(&login.role, &login.mount, &login.token_file).await?,
            (None, None) => return Err(VaultFault::Answer),
        };
        Ok(session)
    }

    async fn login(&self, role: &str, mount: &str, file: &std::path::Path) -> Result<Secret, VaultFault> {
        // The file's token is short-lived: it is read for each login.
        let cause = |cause| VaultFault::TokenFile { path: file.display().to_string(), cause };
        let size = std::fs::metadata(file).map_err(|error| cause(error.kind()))?.len();
        if size > TOKEN_BYTES_MAX {
            return Err(cause(std::io::ErrorKind::FileTooLarge));
        }
        let jwt = std::fs::read_to_string(file).map_err(|error| cause(error.kind()))?;
        let body = json!({"role": role, "jwt": jwt.trim()}).to_string();
        let path = format!("/v1/auth/{}/login", encode(mount));
        let answer = self.send(Method::POST, &path, Some(Bytes::from(body))).await?;
        match answer.status.as_u16() {
            200 => {}
            503 => return Err(VaultFault::Sealed),
            status => return Err(VaultFault::Login { role: role.to_owned(), status }),
        }
        let json: Json = serde_json::from_slice(&answer.body).map_err(|_invalid| VaultFault::Answer)?;
        let token = json.pointer("/auth/client_token").and_then(Json::as_str);
        token.map(Secret::new).ok_or(VaultFault::Answer)
    }

    /// The fields of the newest version of a secret.
    pub(crate) async fn read(&self, path: &str) -> Result<Json, VaultFault> {
        let (mount, rest) = path.split_once('/').ok_or(VaultFault::Answer)?;
        let rest: Vec<String> = rest.split('/').map(encode).collect();
        let answer =
            self.send(Method::GET, &format!("/v1/{}/data/{}", encode(mount), rest.join("/")), None).await?;
        match answer.status.as_u16() {
            200 => {}
            403 => return Err(VaultFault::Forbidden { path: path.to_owned() }),
            404 => return Err(VaultFault::NotFound { path: path.to_owned() }),
            503 => return Err(VaultFault::Sealed),
            status => return Err(VaultFault::Status { status }),
        }
        let mut json: Json = serde_json::from_slice(&answer.body).map_err(|_invalid| VaultFault::Answer)?;
        json.pointer_mut("/data/data").map(Json::take).ok_or(VaultFault::Answer)
    }

    async fn send(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Answer, VaultFault> {
        let mut headers = vec![("x-vault-request", "true")];
        if !self.token.reveal().is_empty() {
            headers.push(("x-vault-token", self.token.reveal()));
        }
        if let Some(namespace) = &self.namespace {
            headers.push(("x-vault-namespace", namespace));
        }
        Ok(self.origin.send(Ask { method, path, headers: &headers, body, limit: ANSWER_TIME_MAX }).await?)
    }
}

/// A field of a secret, as the credential of a provider.
pub(crate) fn field(secret: &Json, path: &str, field: &str) -> Result<Secret, VaultFault> {
    let text = secret.get(field).and_then(Json::as_str).map(str::trim);
    let fine = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let missing = || VaultFault::Field { path: path.to_owned(), field: field.to_owned() };
    text.filter(fine).map(Secret::new).ok_or_else(missing)
}
