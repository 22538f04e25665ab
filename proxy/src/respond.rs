//! The one place that turns failures into answers, in the caller's dialect.

use crate::exchange::{Account, Ending};
use crate::gateway::Gateway;
use crate::listen::conn;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use narrows_llm::Family;
use narrows_llm::fault::{self, Fault};
use narrows_policy::Reason;
use pingora_core::protocols::http::ServerSession as Session;
use pingora_http::ResponseHeader;
use std::borrow::Cow;
use std::time::Duration;

/// Bytes of an unread body that are taken off an HTTP/2 stream after a refusal. Ending such a stream at once
/// resets it, and clients then report the reset instead of the answer.
const DRAIN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long that may take.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

/// An exchange that is not served, and why.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    status: u16,
    message: Cow<'static, str>,
    header: Option<(HeaderName, HeaderValue)>,
    /// Whether the client's connection ends with the answer.
    close: bool,
}

impl Refusal {
    /// A refusal with the reason's usual status. The message names the cause, says what to do about it, and holds
    /// no secret.
    pub(crate) fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Refusal {
        let refusal = Refusal {
            reason,
            status: status_of(reason),
            message: message.into(),
            header: None,
            close: false,
        };
        match reason {
            Reason::BuffersFull | Reason::AuditUnavailable | Reason::ShuttingDown => {
                refusal.with_header(header::RETRY_AFTER, "1")
            }
            _ => refusal,
        }
    }

    /// With another status.
    pub(crate) fn with_status(mut self, status: u16) -> Refusal {
        self.status = status;
        self
    }

    /// With one more header.
    pub(crate) fn with_header(mut self, name: HeaderName, value: &'static str) -> Refusal {
        self.header = Some((name, HeaderValue::from_static(value)));
        self
    }

    /// Ends the connection with the answer.
    pub(crate) fn closing(mut self) -> Refusal {
        self.close = true;
        self
    }
}

/// The status that goes with a reason.
fn status_of(reason: Reason) -> u16 {
    match reason {
        Reason::KeyMissing | Reason::KeyUnknown | Reason::KeyDisabled | Reason::KeyExpired => 401,
        Reason::ModelNotAllowed => 403,
        Reason::PathUnknown | Reason::ModelUnknown => 404,
        Reason::MethodNotAllowed => 405,
        Reason::ClientTimeout => 408,
        Reason::BodyTooLarge => 413,
        Reason::BodyEncoding => 415,
        Reason::KeyConflict
        | Reason::HeadAmbiguous
        | Reason::BodyMalformed
        | Reason::ModelMissing
        | Reason::DialectUnsupported => 400,
        Reason::BuffersFull | Reason::AuditUnavailable | Reason::ShuttingDown => 503,
        Reason::ProviderFirstByteTimeout | Reason::ProviderIdleTimeout | Reason::TotalTimeout => 504,
        Reason::ProviderDns
        | Reason::ProviderConnect
        | Reason::ProviderTls
        | Reason::ProviderCut
        | Reason::ProviderProtocol
        | Reason::ProviderCredentialRefused
        | Reason::ProviderErrorEvent => 502,
        // Nobody is there to read it.
        Reason::ClientGone => 499,
        Reason::Completed | Reason::ProviderError | Reason::ProviderRateLimited | Reason::GatewayBug => 500,
    }
}

/// A page that the gateway itself answers with.
#[derive(Debug)]
pub(crate) struct Page {
    body: Bytes,
}

impl Page {
    /// The answer to `GET /` and `HEAD /`.
    pub(crate) fn probe() -> Page {
        const BODY: &str = concat!(r#"{"name":"narrows","version":""#, env!("CARGO_PKG_VERSION"), "\"}\n");
        Page { body: Bytes::from_static(BODY.as_bytes()) }
    }

    /// A JSON body.
    pub(crate) fn json(body: Vec<u8>) -> Page {
        Page { body: body.into() }
    }
}

/// Answers with a page.
pub(crate) async fn page(
    session: &mut Session,
    account: &mut Account,
    page: Page,
) -> Result<Ending, Refusal> {
    let answer = write(session, account, 200, &page.body, None).await;
    Ok(Ending::from_write(answer, Reason::Completed))
}

/// Answers with a refusal, unless the caller is gone or an answer has begun.
pub(crate) async fn refuse(
    gateway: &Gateway,
    session: &mut Session,
    account: &mut Account,
    refusal: Refusal,
) -> Ending {
    if refusal.reason == Reason::ClientGone || session.response_written().is_some() {
        return Ending { reason: refusal.reason, clean: false };
    }
    let id = account.id_text();
    let fault = Fault {
        status: refusal.status,
        reason: refusal.reason.as_str(),
        message: &refusal.message,
        request_id: &id,
    };
    let body = Bytes::from(fault::render(account.family, &fault));
    tracing::debug!(reason = refusal.reason.as_str(), message = %refusal.message, "refused");
    // A body that was not read would be taken for the next request; Pingora drains a short one and closes else.
    if refusal.close || gateway.is_stopping() {
        session.set_keepalive(None);
    }
    let answer = write(session, account, refusal.status, &body, refusal.header).await;
    Ending::from_write(answer, refusal.reason)
}

async fn write(
    session: &mut Session,
    account: &mut Account,
    status: u16,
    body: &Bytes,
    extra: Option<(HeaderName, HeaderValue)>,
) -> pingora_error::Result<()> {
    let mut head = ResponseHeader::build_no_case(status, Some(8))?;
    head.insert_header(header::CONTENT_TYPE, "application/json")?;
    head.insert_header(header::CONTENT_LENGTH, body.len())?;
    account.name_answer(&mut head, false)?;
    if account.family == Family::Anthropic && status >= 400 {
        // Anthropic's clients print this one.
        head.insert_header("request-id", account.id_text())?;
    }
    if let Some((name, value)) = extra {
        head.insert_header(name, value)?;
    }
    let is_head = session.req_header().method == http::Method::HEAD;
    account.answered(status);
    let stream = &mut *session;
    if let Some(conn) = conn::of(stream) {
        conn.cork(true);
    }
    let header_written = stream.write_response_header(Box::new(head)).await;
    if let Some(conn) = conn::of(stream) {
        conn.cork(false);
    }
    header_written?;
    if is_head {
        return stream.finish_body().await;
    }
    stream.write_response_body(body.clone(), true).await?;
    account.response_bytes += body.len() as u64;
    if stream.as_http2().is_some() {
        drain(stream).await;
    }
    Ok(())
}

/// Takes an unread body off an HTTP/2 stream, within bounds.
async fn drain(stream: &mut pingora_core::protocols::http::ServerSession) {
    let drained = async {
        let mut total = 0;
        while let Ok(Some(chunk)) = stream.read_request_body().await {
            total += chunk.len();
            if total > DRAIN_BYTES_MAX {
                break;
            }
        }
    };
    // Whether or not it came to its end, the answer is written.
    let _ = tokio::time::timeout(DRAIN_TIME_MAX, drained).await;
}
