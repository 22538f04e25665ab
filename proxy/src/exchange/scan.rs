//! `POST /v1/guard/scan`: what the detectors find in a text or a body, and what the policies say to it, without sending
//! it anywhere. The same engine and policies as for everything that passes, and a record like every other.

use super::Account;
use super::read::Request;
use super::relay::Ending;
use crate::downstream::Session;
use crate::guard::About;
use crate::guard::report::{Examined, Question};
use crate::respond::{self, Page, Refusal};
use narrows_llm::Family;
use narrows_policy::{Facts, Reason};
use std::sync::Arc;

/// The word in the place of a dialect.
const DIALECT: &str = "guard.scan";

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
    let question: Question<'_> =
        serde_json::from_slice(&body).map_err(|error| malformed(&error.to_string()))?;
    let content = question.content().map_err(malformed)?;
    let about = About::of(account);
    let Examined { answer, stage, inspection, decision } = guard.examine_whole(&about, &scope, content).await;
    let page = serde_json::to_vec(&answer).map_err(|error| malformed(&error.to_string()))?;
    account.note_inspection(&guard, stage, inspection, Some(&decision));
    respond::page(session, account, Page::json(page)).await
}

/// The dialect that is named.
fn asked(body: &[u8]) -> Result<Option<String>, Refusal> {
    let question: Result<Question<'_>, _> = serde_json::from_slice(body);
    question.map(|question| question.dialect.map(Into::into)).map_err(|error| malformed(&error.to_string()))
}

fn malformed(cause: &str) -> Refusal {
    let message = format!(
        "the question cannot be read: {cause}; send {{\"text\": …}}, or {{\"body\": …, \"dialect\": …}}"
    );
    Refusal::new(Reason::BodyMalformed, message)
}
