//! The body of a request beside inference: held and read where it is JSON, streamed where it is a file.

use super::find::Way;
use super::{Payload, Who};
use crate::buffers::Share;
use crate::downstream::Session;
use crate::exchange::{Account, read};
use crate::gateway::Gateway;
use crate::respond::Refusal;
use bytes::{Bytes, BytesMut};
use http::header;
use narrows_llm::paths::form::{Form, Look};
use narrows_llm::paths::{Body, ModelIn};
use narrows_llm::request::Edit;
use narrows_policy::Reason;
use std::ops::Range;
use std::sync::Arc;

/// Bytes at the beginning of a form in which its model is looked for, unless routing depends on it.
const LOOK_BYTES: usize = 64 * 1024;

/// A field of a form: its value, and where it stands.
pub(super) type Field = (Arc<str>, Range<usize>);

/// A body that was read whole.
pub(super) struct Held {
    pub(super) body: read::Body,
    /// Whether its text is JSON, as far as its path or its content type says.
    pub(super) is_json: bool,
    /// The model that a form names, and where.
    pub(super) field: Option<Field>,
    /// What changes in the text.
    pub(super) edits: Vec<Edit>,
}

/// A body that streams through.
pub(super) struct Stream {
    /// What was read of it to find its model.
    pub(super) ahead: BytesMut,
    /// The length that the client announced.
    pub(super) length: Option<u64>,
    /// The model that the form names, and where in `ahead`.
    pub(super) field: Option<Field>,
    /// Whether the body was read to its end already.
    pub(super) complete: bool,
    /// Held until what was read ahead is sent.
    pub(super) share: Share,
}

impl Stream {
    /// Asks for another model than the form does.
    pub(super) fn rename(&mut self, model: &str) {
        let Some((_, range)) = &self.field else { return };
        let (before, after) = (self.ahead.get(..range.start), self.ahead.get(range.end..));
        let (Some(before), Some(after)) = (before, after) else { return };
        let renamed = BytesMut::from([before, model.as_bytes(), after].concat().as_slice());
        self.length = self.length.map(|length| {
            length.saturating_sub(self.ahead.len() as u64).saturating_add(renamed.len() as u64)
        });
        self.ahead = renamed;
    }
}

/// Reads the body, or so much of it as has to be known. With `choose` its model decides where it goes.
pub(super) async fn read(
    gateway: &Gateway,
    session: &mut Session<'_>,
    account: &mut Account,
    way: &Way,
    who: &Who,
    choose: bool,
) -> Result<Payload, Refusal> {
    let kind = session.head().headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().to_owned();
    let is_json = way.row.body == Body::Json || says_json(&kind);
    if way.row.body != Body::Upload || is_json || session.has_no_body() {
        let body = read::whole(gateway, session, account).await?;
        let is_json = is_json && !body.text.is_empty();
        return Ok(Payload::Held(Held { body, is_json, field: None, edits: Vec::new() }));
    }
    let form = Form::new(&kind).filter(|_| way.row.model == ModelIn::Form);
    if way.row.model == ModelIn::Form && who.is_restricted() {
        // Every field has to be seen, lest a second one names another model.
        let body = read::whole(gateway, session, account).await?;
        let field = form.map_or(Ok(None), |form| only_model(form, &body.text))?;
        return Ok(Payload::Held(Held { body, is_json: false, field, edits: Vec::new() }));
    }
    let limit = account.snapshot.limits.upload_body as u64;
    let length = session.body_length();
    if length.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    session.invite_body().await.map_err(read::lost)?;
    let share = gateway.buffers.share();
    let mut stream = Stream { ahead: BytesMut::new(), length, field: None, complete: false, share };
    let Some(mut form) = form.filter(|_| !compressed(session)) else { return Ok(Payload::Streams(stream)) };
    let most = if choose { account.snapshot.limits.request_body } else { LOOK_BYTES };
    loop {
        match form.look("model", &stream.ahead) {
            Look::Found(range) => {
                stream.field = model(&stream.ahead, range);
                break;
            }
            Look::Absent => break,
            Look::More if stream.ahead.len() >= most => break,
            Look::More => {}
        }
        let within = account.snapshot.timeouts.request_body;
        let part = tokio::time::timeout(within, session.read_body(0)).await;
        let part = part.map_err(|_elapsed| read::lost(crate::downstream::Lost::Stalled))?;
        let Some(part) = part.map_err(read::lost)? else {
            stream.complete = true;
            break;
        };
        if !stream.share.grow_to(stream.ahead.len() + part.len()) {
            return Err(read::buffers_full());
        }
        stream.ahead.extend_from_slice(&part);
    }
    account.request_bytes = stream.ahead.len() as u64;
    if account.request_bytes > limit {
        return Err(too_large(limit));
    }
    Ok(Payload::Streams(stream))
}

fn says_json(kind: &str) -> bool {
    let word = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    word == "application/json" || word.ends_with("+json")
}

fn compressed(session: &Session<'_>) -> bool {
    let coding = session.head().headers.get(header::CONTENT_ENCODING);
    coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

pub(super) fn too_large(limit: u64) -> Refusal {
    let message =
        format!("the body is larger than the gateway's limit of {limit} bytes (limits.upload_body)");
    Refusal::new(Reason::BodyTooLarge, message).closing()
}

fn model(form: &[u8], range: Range<usize>) -> Option<Field> {
    let name = std::str::from_utf8(form.get(range.clone())?).ok()?;
    (!name.is_empty() && !name.contains(char::is_control)).then(|| (Arc::from(name), range))
}

/// The model of a form that names one, and one only.
fn only_model(mut form: Form, text: &Bytes) -> Result<Option<Field>, Refusal> {
    let mut found = None;
    loop {
        match form.look("model", text) {
            Look::Found(range) if found.is_none() => found = model(text, range),
            Look::Found(_) => {
                return Err(Refusal::new(
                    Reason::BodyMalformed,
                    "the form has more than one field \"model\"",
                ));
            }
            Look::More => {
                return Err(Refusal::new(Reason::BodyMalformed, "the form does not end as it should"));
            }
            Look::Absent => return Ok(found),
        }
    }
}
