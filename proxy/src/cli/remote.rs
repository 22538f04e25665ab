//! Commands that ask a running gateway: its administration API over HTTP.
//!
//! The token is never an argument: those stand in the list of processes and in the history of the shell.

use crate::config::Secret;
use crate::fetch::{Answer, Ask, Origin};
use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use clap::Args;
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the administration API is, unless an address is given: what `listen.admin` is without one.
const ADDRESS_DEFAULT: &str = "http://127.0.0.1:9465";
/// The variable that holds the token.
pub(crate) const TOKEN_VARIABLE: &str = "NARROWS_ADMIN_TOKEN";
/// Largest token file, in bytes.
const TOKEN_BYTES_MAX: u64 = 4_096;
/// Time for one answer. Longer than the other side works on one.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(40);

/// Which gateway is asked.
#[derive(Debug, Args, Default)]
pub(crate) struct RemoteArguments {
    /// Ask a running gateway at the address of its administration API, as https://gateway.example:9465. The token comes
    /// from the variable NARROWS_ADMIN_TOKEN or from --token-file.
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) admin: Option<String>,
    /// File with the admin token for --admin.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// PEM file with certificates to trust for --admin, beside the system's.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) ca_file: Option<PathBuf>,
}

/// A gateway that can be asked.
pub(crate) struct Remote {
    origin: Origin,
    token: Secret,
    runtime: tokio::runtime::Runtime,
}

impl Remote {
    /// The gateway that was named, if one was.
    pub(crate) fn named(arguments: &RemoteArguments) -> Result<Option<Remote>> {
        match &arguments.admin {
            Some(_) => Remote::running(arguments).map(Some),
            None if arguments.token_file.is_some() || arguments.ca_file.is_some() => {
                bail!("--token-file and --ca-file belong to --admin URL")
            }
            None => Ok(None),
        }
    }

    /// The gateway that was named, or the one that listens on this machine where nothing else is configured: for
    /// commands that only a running gateway can answer.
    pub(crate) fn running(arguments: &RemoteArguments) -> Result<Remote> {
        let url = arguments.admin.as_deref().unwrap_or(ADDRESS_DEFAULT);
        let origin = Origin::new(url, arguments.ca_file.as_deref()).context("--admin")?;
        let token = token(arguments.token_file.as_deref())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Remote { origin, token, runtime })
    }

    /// What is at `path` (below `/admin/v1`, with its query).
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.call(Method::GET, path, None)
    }

    /// Posts `body` to `path`; without one, nothing.
    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str, body: Option<&Json>) -> Result<T> {
        self.call(Method::POST, path, body)
    }

    /// Changes what is at `path`.
    pub(crate) fn patch<T: DeserializeOwned>(&self, path: &str, body: &Json) -> Result<T> {
        self.call(Method::PATCH, path, Some(body))
    }

    /// Puts `body` at `path`.
    pub(crate) fn put<T: DeserializeOwned>(&self, path: &str, body: &Json) -> Result<T> {
        self.call(Method::PUT, path, Some(body))
    }

    /// Deletes what is at `path`.
    pub(crate) fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.call(Method::DELETE, path, None)
    }

    /// Posts nothing to `path`; gives whether it was done and what was answered, for answers that say more than an
    /// error when it was not (status 422).
    pub(crate) fn try_post(&self, path: &str) -> Result<(bool, Json)> {
        let answer = self.send(Method::POST, path, None)?;
        if answer.status == StatusCode::UNPROCESSABLE_ENTITY
            && let Ok(said) = serde_json::from_slice(&answer.body)
        {
            return Ok((false, said));
        }
        Ok((true, read(&answer, &self.origin.authority())?))
    }

    fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<&Json>) -> Result<T> {
        read(&self.send(method, path, body)?, &self.origin.authority())
    }

    fn send(&self, method: Method, path: &str, body: Option<&Json>) -> Result<Answer> {
        let authorization = format!("Bearer {}", self.token.reveal());
        let ask = Ask {
            method,
            path: &format!("/admin/v1{path}"),
            headers: &[("authorization", &authorization)],
            body: body.map(|body| Bytes::from(body.to_string())),
            limit: ANSWER_TIME_MAX,
        };
        Ok(self.runtime.block_on(self.origin.send(ask))?)
    }
}

/// What a gateway said in the place of doing what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{said}")]
pub(crate) struct Refused {
    said: String,
    /// Which entry of a list it is about, from 1.
    pub(crate) position: Option<usize>,
}

/// What an answer says, or the refusal in it.
fn read<T: DeserializeOwned>(answer: &Answer, from: &str) -> Result<T> {
    if answer.status.is_success() {
        return serde_json::from_slice(&answer.body).map_err(|error| {
            anyhow!("the answer of {from} is not understood ({error}); is it a gateway, and of this version?")
        });
    }
    let json: Option<Json> = serde_json::from_slice(&answer.body).ok();
    let said = json.as_ref().and_then(|json| json.pointer("/error/message")).and_then(Json::as_str);
    Err(match said {
        // On the command line the token is not sent by hand.
        Some(_) if answer.status == StatusCode::UNAUTHORIZED => anyhow!(
            "{from} does not take this admin token: it is unknown, expired or revoked; set {TOKEN_VARIABLE} or \
             --token-file"
        ),
        Some(said) => {
            let position =
                json.as_ref().and_then(|json| json.pointer("/error/position")).and_then(Json::as_u64);
            Refused { said: said.to_owned(), position: position.and_then(|at| usize::try_from(at).ok()) }
                .into()
        }
        None => anyhow!(
            "{from} answered with status {} and not as an administration API does; is the address that of \
             `listen.admin`?",
            answer.status.as_u16()
        ),
    })
}

/// The token, from the file or from the variable.
fn token(file: Option<&Path>) -> Result<Secret> {
    let text = match file {
        Some(path) => {
            let mut text = String::new();
            let open = std::fs::File::open(path);
            open.and_then(|file| file.take(TOKEN_BYTES_MAX).read_to_string(&mut text))
                .with_context(|| format!("cannot read the admin token from {}", path.display()))?;
            text
        }
        None => std::env::var(TOKEN_VARIABLE).map_err(|_unset| {
            anyhow!("an admin token is needed: set {TOKEN_VARIABLE}, or name a file with --token-file")
        })?,
    };
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("the admin token is empty or holds blanks; it is one word that starts with nra_");
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: StatusCode, body: &str) -> Answer {
        Answer { status, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn an_answer_is_its_json_or_its_refusal() {
        let told = |status, body: &str| {
            read::<Json>(&answer(status, body), "host:1").map_err(|error| error.to_string())
        };
        assert_eq!(told(StatusCode::CREATED, r#"{"a": 1}"#).unwrap()["a"], 1);
        let refused = told(StatusCode::NOT_FOUND, r#"{"error": {"code": "x", "message": "no such key"}}"#);
        assert_eq!(refused.unwrap_err(), "no such key");
        let refused = told(StatusCode::UNAUTHORIZED, r#"{"error": {"code": "x", "message": "send one"}}"#);
        assert!(refused.unwrap_err().contains(TOKEN_VARIABLE));
        assert!(told(StatusCode::OK, "<html>").unwrap_err().contains("is it a gateway"));
        for (status, body) in [(StatusCode::BAD_GATEWAY, ""), (StatusCode::FOUND, "{}")] {
            let refused = told(status, body).unwrap_err();
            assert!(refused.contains("listen.admin") && refused.contains(status.as_str()), "{refused}");
        }
    }

    #[test]
    fn a_token_comes_from_a_file_and_is_one_word() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, " nra_canary \n").unwrap();
        assert_eq!(token(Some(&file)).unwrap().reveal(), "nra_canary");
        for wrong in ["", "\n", "nra_a nra_b", "nra_é"] {
            std::fs::write(&file, wrong).unwrap();
            let refused = format!("{:#}", token(Some(&file)).unwrap_err());
            assert!(refused.contains("nra_") && !refused.contains("nra_a"), "{refused}");
        }
        assert!(format!("{:#}", token(Some(Path::new("/no/such"))).unwrap_err()).contains("/no/such"));
        let without = RemoteArguments { token_file: Some(file), ..RemoteArguments::default() };
        assert!(Remote::named(&without).is_err_and(|error| error.to_string().contains("--admin")));
        assert!(Remote::named(&RemoteArguments::default()).unwrap().is_none());
    }
}
