//! The one place that turns failures into answers, in the caller's dialect.

use crate::downstream::{Length, Lost, OutHead, Session};
use crate::exchange::{Account, Ending};
use crate::gateway::Gateway;
use crate::limits::seconds;
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use narrows_llm::Family;
use narrows_llm::fault::{self, Fault};
use narrows_policy::Reason;
use std::borrow::Cow;
use std::time::Duration;

/// An exchange that is not served, and why.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    /// The reason that the caller sees, where it must not learn the real one.
    shown: Reason,
    status: u16,
    message: Cow<'static, str>,
    header: Option<(HeaderName, HeaderValue)>,
    /// When a retry can succeed, where the gateway knows it.
    retry: Option<Duration>,
    /// Whether the client's connection ends with the answer.
    close: bool,
}

impl Refusal {
    /// What happened and what to do, for people.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The status of its answer.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// A refusal with the reason's usual status. The message names the cause, says what to do about it, and holds
    /// no secret.
    pub(crate) fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Refusal {
        let refusal = Refusal {
            reason,
            shown: reason,
            status: status_of(reason),
            message: message.into(),
            header: None,
            retry: None,
            close: false,
        };
        match reason {
            Reason::BuffersFull
            | Reason::AuditUnavailable
            | Reason::ObjectsUnavailable
            | Reason::ShuttingDown => refusal.with_header(header::RETRY_AFTER, "1"),
            _ => refusal,
        }
    }

    /// With another reason in the answer than in the record.
    pub(crate) fn shown_as(mut self, reason: Reason) -> Refusal {
        self.shown = reason;
        self
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

    /// With the time after which a retry can succeed.
    pub(crate) fn retry_after(mut self, wait: Option<Duration>) -> Refusal {
        self.retry = wait;
        self
    }

    /// With more to say.
    pub(crate) fn and(mut self, more: &str) -> Refusal {
        self.message.to_mut().push_str(more);
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
        // No client repeats a request after it, whatever it makes of `x-should-retry`.
        Reason::BudgetSpent => 402,
        Reason::RateLimited | Reason::ConcurrencyLimited | Reason::BudgetHeld => 429,
        Reason::ModelNotAllowed
        | Reason::PriceUnknown
        | Reason::PathNotAllowed
        | Reason::PolicyDenied
        | Reason::ContentBlocked
        | Reason::ContentNotInspected => 403,
        Reason::PathUnknown | Reason::ModelUnknown | Reason::ObjectUnknown | Reason::ObjectForeign => 404,
        Reason::MethodNotAllowed => 405,
        Reason::ClientTimeout => 408,
        Reason::BodyTooLarge | Reason::RequestOverLimit => 413,
        Reason::BodyEncoding => 415,
        Reason::UpgradeRequired | Reason::WebsocketNotServed => 426,
        Reason::KeyConflict
        | Reason::HeadAmbiguous
        | Reason::BodyMalformed
        | Reason::ModelMissing
        | Reason::ProviderAmbiguous
        | Reason::DialectUnsupported => 400,
        Reason::ObjectsUnavailable
        | Reason::Overloaded
        | Reason::BuffersFull
        | Reason::AuditUnavailable
        | Reason::LimitUncounted
        | Reason::ShuttingDown
        | Reason::TargetDisabled
        | Reason::TargetBound => 503,
        Reason::ProviderFirstByteTimeout | Reason::ProviderIdleTimeout | Reason::TotalTimeout => 504,
        Reason::ProviderDns
        | Reason::ProviderConnect
        | Reason::ProviderTls
        | Reason::EgressProxy
        | Reason::ProviderCut
        | Reason::ProviderProtocol
        | Reason::ProviderCredentialRefused
        | Reason::ListUnfiltered
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
    header: Option<(HeaderName, HeaderValue)>,
}

/// The header on figures that the gateway has estimated.
const ESTIMATED: HeaderName = HeaderName::from_static("x-narrows-estimated");

impl Page {
    /// The answer to `GET /` and `HEAD /`.
    pub(crate) fn probe() -> Page {
        const BODY: &str = concat!(r#"{"name":"narrows","version":""#, env!("CARGO_PKG_VERSION"), "\"}\n");
        Page { body: Bytes::from_static(BODY.as_bytes()), header: None }
    }

    /// A JSON body.
    pub(crate) fn json(body: Vec<u8>) -> Page {
        Page { body: body.into(), header: None }
    }

    /// How many tokens a prompt has, as an estimate, for providers that do not count.
    pub(crate) fn token_count(family: Family, tokens: u64) -> Page {
        let member = if family == Family::Gemini { "totalTokens" } else { "input_tokens" };
        let header = Some((ESTIMATED, HeaderValue::from_static("true")));
        Page { body: format!("{{\"{member}\":{tokens}}}").into(), header }
    }
}

/// Answers with a page.
pub(crate) async fn page(
    session: &mut Session<'_>,
    account: &mut Account,
    page: Page,
) -> Result<Ending, Refusal> {
    let extra = Extra { header: page.header, retry: None };
    let answer = write(session, account, 200, &page.body, extra).await;
    Ok(Ending::from_write(answer, Reason::Completed))
}

/// Answers with a refusal, unless the caller is gone or an answer has begun.
pub(crate) async fn refuse(
    gateway: &Gateway,
    session: &mut Session<'_>,
    account: &mut Account,
    refusal: Refusal,
) -> Ending {
    if refusal.reason == Reason::ClientGone || session.has_answered() {
        return Ending { reason: refusal.reason, clean: false };
    }
    let id = account.id_text();
    let fault = Fault {
        status: refusal.status,
        reason: refusal.shown.as_str(),
        message: &refusal.message,
        request_id: &id,
    };
    let body = Bytes::from(fault::render(account.family, &fault));
    tracing::debug!(reason = refusal.reason.as_str(), message = %refusal.message, "refused");
    // A body that was not read would be taken for the next request; Pingora drains a short one and closes else.
    if refusal.close || gateway.is_leaving() {
        session.close_after();
    }
    let extra = Extra { header: refusal.header, retry: refusal.retry };
    let answer = write(session, account, refusal.status, &body, extra).await;
    Ending::from_write(answer, refusal.reason)
}

/// Header fields that not every answer has.
struct Extra {
    header: Option<(HeaderName, HeaderValue)>,
    retry: Option<Duration>,
}

async fn write(
    session: &mut Session<'_>,
    account: &mut Account,
    status: u16,
    body: &Bytes,
    extra: Extra,
) -> Result<(), Lost> {
    let mut fields = BytesMut::with_capacity(FIELDS_ROOM);
    fields.extend_from_slice(b"content-type: application/json\r\n");
    account.put_ids(&mut fields, true);
    if account.family == Family::Anthropic && status >= 400 {
        // Anthropic's clients print this one.
        put_field(&mut fields, b"request-id", account.id_text().as_bytes());
    }
    account.put_limits(&mut fields);
    if let Some(wait) = extra.retry {
        put_field(&mut fields, b"retry-after", seconds(wait).to_string().as_bytes());
        put_field(&mut fields, b"retry-after-ms", wait.as_millis().max(1).to_string().as_bytes());
    }
    // What a guardrail's outage refused may pass later.
    let is_final = FINAL.contains(&status) && !(status == 403 && extra.retry.is_some());
    if is_final || extra.retry.is_some_and(|wait| wait > HEEDED_MAX) {
        // Anthropic's and OpenAI's clients heed it; without it some of them repeat a wrong key for minutes.
        put_field(&mut fields, b"x-should-retry", b"false");
    }
    if let Some((name, value)) = extra.header {
        put_field(&mut fields, name.as_str().as_bytes(), value.as_bytes());
    }
    account.answered(status);
    let head = OutHead {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        reason: None,
        fields: &fields,
        has_date: false,
        length: Length::Known(body.len() as u64),
    };
    session.write_head(&head, true).await?;
    if session.head().method != Method::HEAD {
        session.write_body(body.clone(), true).await?;
        account.response_bytes += body.len() as u64;
    }
    session.finish_body().await?;
    if matches!(session, Session::H2(_)) {
        session.drain().await;
    }
    Ok(())
}

/// Statuses that the same request gets again, however often it is sent.
const FINAL: [u16; 8] = [400, 401, 402, 403, 404, 405, 413, 415];

/// Longest `retry-after` that OpenAI's and Anthropic's SDKs wait for. Told a longer one they would try again within
/// seconds, and again, so they are told not to (`_base_client.py` of either, seen 2026-11).
const HEEDED_MAX: Duration = Duration::from_secs(60);

/// Room for the fields of an answer of our own, in bytes.
const FIELDS_ROOM: usize = 256;

fn put_field(fields: &mut BytesMut, name: &[u8], value: &[u8]) {
    fields.extend_from_slice(name);
    fields.extend_from_slice(b": ");
    fields.extend_from_slice(value);
    fields.extend_from_slice(b"\r\n");
}
