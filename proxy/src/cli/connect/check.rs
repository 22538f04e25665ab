//! `narrows connect --check`: asks the gateway, and says what is wrong.

use super::super::args::ConnectArguments;
use super::super::{Console, Outcome};
use super::{URL_VARIABLE, given_key, home, url, variable};
use crate::connect::probe::{self, Finding, Found, MODELS_PATH};
use crate::connect::{Client, Plans};
use crate::fetch::{Answer, Ask, Origin};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::Method;
use narrows_llm::Dialect;
use std::time::Duration;

/// Time for one answer: a model may think for a while.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(120);
/// What is called if no client and no model is named.
const DIALECT_DEFAULT: Dialect = Dialect::OpenaiChat;
const MODEL_DEFAULT: &str = "gpt-5";

/// Makes one request, or two with `--spend`.
pub(super) fn check(
    client: Option<&'static Client>,
    arguments: &ConnectArguments,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    let found = match client {
        Some(client) if client.is_writable() => Plans::found(client, &home(&variable)?)?,
        _ => Found::default(),
    };
    let given = arguments.url.clone().or_else(|| variable(URL_VARIABLE));
    let from_settings = given.is_none() && found.url.is_some();
    let url = url(given.or(found.url).as_deref(), console)?;
    let key = match given_key(arguments, &variable)?.or(found.key) {
        Some(key) => key,
        None => bail!("no key to check with: give one (--key-file FILE), or connect the client first"),
    };
    let mut fine = true;
    if let Some(fault) = found.fault.filter(|_| from_settings) {
        fine &= tell(Finding::Wrong(fault), console)?;
    }
    let gateway = Gateway::new(&url, key, arguments)?;
    let listed = gateway.ask(Method::GET, MODELS_PATH, None)?;
    fine &= tell(probe::listed(&url, listed.status, &listed.body), console)?;
    if arguments.spend && fine {
        let dialect = client.and_then(|client| client.speaks.first().copied()).unwrap_or(DIALECT_DEFAULT);
        let model = arguments.model.as_deref().or(client.map(|client| client.model)).unwrap_or(MODEL_DEFAULT);
        let (path, body) = probe::call(dialect, model).context("this client's API has no call to try")?;
        let answer = gateway.ask(Method::POST, &path, Some(body.to_string().into()))?;
        fine &= tell(probe::called(&url, &path, model, answer.status, &answer.body), console)?;
    }
    Ok(if fine { Outcome::Fine } else { Outcome::Failed })
}

/// Writes a finding; whether it is a good one.
fn tell(finding: Finding, console: &mut Console<'_>) -> Result<bool> {
    let fine = matches!(finding, Finding::Fine(_));
    match finding {
        Finding::Fine(text) => writeln!(console.out, "ok: {text}")?,
        Finding::Wrong(text) => writeln!(console.out, "wrong: {text}")?,
    }
    Ok(fine)
}

/// The gateway that is asked.
struct Gateway {
    origin: Origin,
    authorization: String,
    runtime: tokio::runtime::Runtime,
}

impl Gateway {
    fn new(url: &str, key: String, arguments: &ConnectArguments) -> Result<Gateway> {
        let origin = Origin::new(url, arguments.store.remote.ca_file.as_deref()).context("--url")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Gateway { origin, authorization: format!("Bearer {key}"), runtime })
    }

    fn ask(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Answer> {
        let headers: &[(&'static str, &str)] =
            &[("authorization", &self.authorization), ("anthropic-version", "2023-06-01")];
        // Without it the list of models is OpenAI's.
        let headers = if method == Method::GET { headers.get(..1).unwrap_or_default() } else { headers };
        let ask = Ask { method, path, headers, body, limit: ANSWER_TIME_MAX };
        let answer = self.runtime.block_on(self.origin.send(ask));
        answer.context("the gateway cannot be asked; does it run, and is --url its address?")
    }
}
