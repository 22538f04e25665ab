//! Step 1: the head only. The path names the operation and the dialect.

use super::Account;
use super::pass::{self, Asked};
use crate::downstream::Session;
use crate::respond::{Page, Refusal};
use http::{Method, header};
use narrows_llm::Dialect;
use narrows_llm::endpoint::{self, Endpoint, Operation, PathFault};
use narrows_policy::Reason;
use std::sync::Arc;

/// What a head turned out to be.
pub(crate) enum Arrived {
    /// A request for inference, for a list of models, or a probe.
    Inference(Received),
    /// A request to a path beside inference.
    Beside(Box<Asked>),
}

/// What the head says.
pub(crate) struct Received {
    pub(crate) operation: Operation,
    pub(crate) dialect: Dialect,
    /// The provider or family that the path's first segment names.
    pub(crate) prefix: Option<Box<str>>,
    /// The model in the path.
    pub(crate) model: Option<Arc<str>>,
    /// Whether the path asks for a stream; `None` when the body says.
    pub(crate) stream: Option<bool>,
}

impl Received {
    /// The page that answers without a key and without a provider.
    pub(crate) fn answered_here(&self) -> Option<Page> {
        (self.operation == Operation::Probe).then(Page::probe)
    }
}

/// Reads the head.
pub(crate) fn receive(session: &Session<'_>, account: &mut Account) -> Result<Arrived, Refusal> {
    let head = session.head();
    let endpoint = endpoint::recognize(head.method.as_str(), head.uri.path());
    let endpoint = endpoint.and_then(|endpoint| known(account, endpoint));
    if let Err(PathFault::Unknown { .. } | PathFault::Method { .. }) = &endpoint
        && let Some(asked) = pass::asked(&account.snapshot, head)
    {
        account.set_beside(asked.family(), asked.dialect());
        account.reads_only = matches!(head.method, Method::GET | Method::HEAD | Method::DELETE);
        account.note_client(head);
        account.note_address(session.peer(), head);
        return match session.ambiguity() {
            Some(cause) => Err(Refusal::new(Reason::HeadAmbiguous, cause).closing()),
            None => Ok(Arrived::Beside(Box::new(asked))),
        };
    }
    let endpoint = endpoint.map_err(|fault| pass::other_method(&account.snapshot, head, fault));
    // Whatever is refused is refused in the caller's dialect, so the path comes first.
    match &endpoint {
        Ok(endpoint) => account.set_dialect(endpoint.dialect, endpoint.operation),
        Err(fault) => account.family = fault.family(),
    }
    account.note_client(head);
    account.note_address(session.peer(), head);
    if let Some(cause) = session.ambiguity() {
        return Err(Refusal::new(Reason::HeadAmbiguous, cause).closing());
    }
    let endpoint = endpoint.map_err(|fault| refuse_path(&fault))?;
    let prefix = endpoint.provider();
    let dialect = listing_dialect(session, &endpoint).unwrap_or(endpoint.dialect);
    account.set_dialect(dialect, endpoint.operation);
    Ok(Arrived::Inference(Received {
        operation: endpoint.operation,
        dialect,
        prefix: prefix.map(Box::from),
        model: endpoint.model.as_deref().map(Arc::from),
        stream: endpoint.stream,
    }))
}

/// The dialect of a list of models, where the families share its path: their clients say who they are.
fn listing_dialect(session: &Session<'_>, endpoint: &Endpoint<'_>) -> Option<Dialect> {
    let lists = matches!(endpoint.operation, Operation::ListModels | Operation::GetModel);
    if !lists || endpoint.dialect != Dialect::OpenaiChat || endpoint.provider() == Some("openai") {
        return None;
    }
    let head = session.head();
    let gemini = ["x-goog-api-key", "x-goog-api-client"].iter().any(|name| head.headers.contains_key(*name))
        || head.uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("key=")));
    if head.headers.contains_key("anthropic-version") {
        Some(Dialect::AnthropicMessages)
    } else {
        gemini.then_some(Dialect::GeminiGenerate)
    }
}

/// A probe behind a prefix asks whether anybody is there: nobody is, unless it names a provider or a format. Or else
/// `GET /readyz` of a balancer that means another listener would be told that all is well.
fn known<'a>(account: &Account, endpoint: Endpoint<'a>) -> Result<Endpoint<'a>, PathFault> {
    let probed = endpoint.operation == Operation::Probe;
    if probed && super::route::check_prefix(account, endpoint.provider()).is_err() {
        return Err(PathFault::Unknown { family: endpoint.dialect.family() });
    }
    Ok(endpoint)
}

fn refuse_path(fault: &PathFault) -> Refusal {
    let reason = match fault {
        PathFault::Method { .. } => Reason::MethodNotAllowed,
        PathFault::Unknown { .. } | PathFault::Malformed { .. } => Reason::PathUnknown,
    };
    let refusal = Refusal::new(reason, fault.to_string()).with_status(fault.status());
    match fault {
        PathFault::Method { allow, .. } => refusal.with_header(header::ALLOW, allow),
        PathFault::Unknown { .. } | PathFault::Malformed { .. } => refusal,
    }
}
