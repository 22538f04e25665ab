//! `POST /v1/guard/scan`: what the detectors find in a text or a body, and what the policies say to it, without sending
//! it anywhere. The same engine and policies as for everything that passes, and a record like every other.

use super::Account;
use super::read::Request;
use super::relay::Ending;
use crate::downstream::Session;
use crate::guard::Guard;
use crate::guard::report::{Examined, Question};
use crate::respond::{self, Page, Refusal};
use bytes::Bytes;
use narrows_ledger::Inspection;
use narrows_llm::Family;
use narrows_policy::{Decision, Facts, Reason, Scope, Stage};
use std::sync::Arc;

/// The word in the place of a dialect.
const DIALECT: &str = "guard.scan";
/// Questions up to this many bytes are answered on the worker; longer ones beside it.
const HERE_BYTES_MAX: usize = 256 * 1024;

/// Answers a question.
pub(super) async fn serve(
    session: &mut Session<'_>,
    account: &mut Account,
    request: Request,
) -> Result<Ending, Refusal> {
    account.set_beside(Family::Openai, DIALECT);
    let guard = Arc::clone(&account.snapshot.guard);
    let body = request.body.text;
    let dialect = asked(&body)?;
    let scope = guard.policies.scope(&Facts { dialect: dialect.as_deref(), ..account.facts() });
    let organization = account.caller.organization.clone();
    let (guard, examined) = if body.len() <= HERE_BYTES_MAX {
        let examined = examine(&guard, &scope, &organization, &body);
        (guard, examined)
    } else {
        let examining = tokio::task::spawn_blocking(move || {
            let examined = examine(&guard, &scope, &organization, &body);
            (guard, examined)
        });
        examining.await.map_err(|_lost| Refusal::new(Reason::GatewayBug, "the text could not be scanned"))?
    };
    let (page, stage, inspection, decision) = examined.map_err(malformed)?;
    account.note_inspection(&guard, stage, inspection, Some(&decision));
    respond::page(session, account, Page::json(page)).await
}

type Outcome = Result<(Vec<u8>, Stage, Inspection, Decision), String>;

fn examine(guard: &Guard, scope: &Scope, organization: &str, body: &Bytes) -> Outcome {
    let question: Question<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let Examined { answer, stage, inspection, decision } = guard.examine(scope, organization, &question)?;
    let page = serde_json::to_vec(&answer).map_err(|error| error.to_string())?;
    Ok((page, stage, inspection, decision))
}

/// The dialect that is named.
fn asked(body: &[u8]) -> Result<Option<String>, Refusal> {
    let question: Result<Question<'_>, _> = serde_json::from_slice(body);
    question.map(|question| question.dialect.map(Into::into)).map_err(|error| malformed(error.to_string()))
}

fn malformed(cause: String) -> Refusal {
    let message = format!(
        "the question cannot be read: {cause}; send {{\"text\": …}}, or {{\"body\": …, \"dialect\": …}}"
    );
    Refusal::new(Reason::BodyMalformed, message)
}
