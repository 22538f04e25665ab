//! The body of a request beside inference: held and read where it is JSON, streamed where it is a file.

use super::beside::Copy;
use super::find::{Rule, Way};
use super::{Payload, Who};
use crate::buffers::Share;
use crate::downstream::Session;
use crate::exchange::{Account, read};
use crate::gateway::Gateway;
use crate::respond::Refusal;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use narrows_llm::Family;
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
    /// What is copied on the way, to be looked at.
    pub(super) copy: Option<Copy>,
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
    let kind = kind(&session.head().headers)?.to_owned();
    if !session.has_no_body() {
        fits(way, &kind)?;
    }
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
    let mut stream =
        Stream { ahead: BytesMut::new(), length, field: None, complete: false, share, copy: None };
    let Some(mut form) = form.filter(|_| !compressed(session)) else { return Ok(Payload::Streams(stream)) };
    let most = if choose { account.snapshot.limits.request_body } else { LOOK_BYTES };
    loop {
        match form.look("model", &stream.ahead) {
            Look::Found(range) => {
                stream.field = model(&stream.ahead, range);
                break;
            }
            Look::Absent | Look::Unreadable => break,
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

/// The content type. With two of them the provider might read another one than the gateway.
fn kind(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let (first, second) = (kinds.next(), kinds.next());
    match first.map(|kind| kind.to_str()) {
        _ if second.is_some() => Err(Refusal::new(
            Reason::BodyMalformed,
            "the request has more than one header \"content-type\"; send one",
        )),
        Some(Ok(kind)) => Ok(kind),
        Some(Err(_)) => Err(Refusal::new(
            Reason::BodyMalformed,
            "the header \"content-type\" has other characters than printable ASCII",
        )),
        None => Ok(""),
    }
}

/// Whether a body of this type is one that the path takes. What streams through is not read, so it must not be what a
/// provider could read the ids of objects from.
fn fits(way: &Way, kind: &str) -> Result<(), Refusal> {
    let word = word(kind);
    let form = word == "multipart/form-data";
    let media = word == "application/octet-stream"
        || ["audio/", "image/", "video/"].iter().any(|start| word.starts_with(start));
    let (fits, wanted) = match (way.row.body, &way.rule) {
        (Body::None, _) => return Ok(()),
        (Body::Json, _) => (
            !word.starts_with("multipart/") && word != "application/x-www-form-urlencoded",
            "application/json",
        ),
        // Google's uploads are of the file's own type.
        (Body::Upload, Rule::Group(_)) if way.family == Family::Gemini => return Ok(()),
        (Body::Upload, Rule::Group(_)) => (form || says_json(kind), "multipart/form-data"),
        (Body::Upload, Rule::Own { .. }) => (
            form || media || says_json(kind),
            "application/json, multipart/form-data, application/octet-stream, or one of audio, image or video",
        ),
    };
    if fits {
        return Ok(());
    }
    let message = format!("this path does not take a body of the type {word:?}; its type may be {wanted}");
    Err(Refusal::new(Reason::BodyMalformed, message))
}

/// A content type without its parameters, in lower case.
fn word(kind: &str) -> String {
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn says_json(kind: &str) -> bool {
    let word = word(kind);
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
        let fault = match form.look("model", text) {
            Look::Found(range) if found.is_none() => match model(text, range) {
                Some(field) => {
                    found = Some(field);
                    continue;
                }
                None => "the form's field \"model\" is empty or no name",
            },
            Look::Found(_) => "the form has more than one field \"model\"",
            Look::More => "the form does not end as it should",
            Look::Unreadable => {
                "the form cannot be read for certain (a part's header, a delimiter or a long field \"model\"), and this \
                 key may use certain models only"
            }
            Look::Absent => return Ok(found),
        };
        return Err(Refusal::new(Reason::BodyMalformed, fault));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use http::{HeaderValue, Method};
    use narrows_llm::paths::{self, Answer, Row, Template};

    pub(in crate::exchange::pass) fn way(method: &str, path: &str, family: Family) -> Way {
        let found = paths::find(method, path, false);
        let found = found.iter().find(|found| found.group.family == family).unwrap();
        Way {
            method: Method::POST,
            family,
            dialect: found.group.dialect,
            rule: Rule::Group(found.group.name),
            row: *found.row,
            ids: Vec::new(),
            model: None,
            path: path.into(),
        }
    }

    fn own() -> Way {
        let template = Arc::new(Template::parse("POST /v1/things").unwrap());
        let row = Row {
            method: "",
            path: "",
            body: Body::Upload,
            model: ModelIn::Nowhere,
            answer: Answer::Plain,
            runs_models: true,
        };
        let rule = Rule::Own { provider: "p".into(), template };
        Way { rule, row, ..way("POST", "/v1/files", Family::Openai) }
    }

    #[test]
    fn what_streams_unread_is_of_a_type_that_names_no_objects() {
        let takes = |way: &Way, kind: &str| fits(way, kind).is_ok();
        let upload = way("POST", "/v1/files", Family::Openai);
        for kind in ["multipart/form-data; boundary=b", "Application/JSON; charset=utf-8"] {
            assert!(takes(&upload, kind) && takes(&own(), kind), "{kind}");
        }
        for kind in ["", "text/plain", "application/x-www-form-urlencoded", "multipart/mixed; boundary=b"] {
            assert!(!takes(&upload, kind) && !takes(&own(), kind), "{kind}");
        }
        assert!(!takes(&upload, "audio/wav") && takes(&own(), "audio/wav"));
        assert!(takes(&way("POST", "/upload/v1beta/files", Family::Gemini), "text/plain"));
    }

    #[test]
    fn a_container_takes_files_by_a_body_that_is_read() {
        let container = way("POST", "/v1/containers/cntr_1/files", Family::Openai);
        assert_eq!(container.row.body, Body::Json, "a form could name a file of another team's");
        assert!(fits(&container, "application/json").is_ok() && fits(&container, "").is_ok());
        assert!(fits(&container, "multipart/form-data; boundary=b").is_err());
        assert!(fits(&container, "application/x-www-form-urlencoded").is_err());
    }

    #[test]
    fn a_form_of_a_restricted_key_names_one_model_that_can_be_read() {
        let only = |parts: &[(&str, &str)]| {
            let part = |(name, value): &(&str, &str)| {
                format!("--b\r\ncontent-disposition: form-data; {name}\r\n\r\n{value}\r\n")
            };
            let body = format!("{}--b--\r\n", parts.iter().map(part).collect::<String>());
            let form = Form::new("multipart/form-data; boundary=b").unwrap();
            only_model(form, &Bytes::from(body)).map(|field| field.map(|field| field.0.to_string()))
        };
        let one = ("name=\"model\"", "allowed");
        let two = ("name=\"model\"", "forbidden");
        let long = "x".repeat(paths::form::VALUE_BYTES_MAX + 1);
        assert_eq!(only(&[one, ("name=\"prompt\"", &long)]).ok().flatten().as_deref(), Some("allowed"));
        assert_eq!(only(&[("name=\"prompt\"", "x")]).ok(), Some(None));
        for odd in [
            ("name=\"model\"", &*long),
            ("name=\"a\\\"b\"", "x"),
            ("name = \"model\"", "forbidden"),
            ("name*0=mo; name*1=del", "forbidden"),
            ("\r\n name=\"model\"", "forbidden"),
        ] {
            assert!(only(&[one, odd, two]).is_err() && only(&[one, odd]).is_err(), "{odd:?}");
        }
        assert!(only(&[("name=\"model\"", ""), one]).is_err(), "an empty field is a field");
    }

    #[test]
    fn a_body_has_one_type() {
        let mut headers = HeaderMap::new();
        assert_eq!(kind(&headers).ok(), Some(""));
        headers.append("content-type", HeaderValue::from_static("text/plain"));
        assert_eq!(kind(&headers).ok(), Some("text/plain"));
        headers.append("content-type", HeaderValue::from_static("application/json"));
        assert!(kind(&headers).is_err());
        headers.insert("content-type", HeaderValue::from_bytes(b"application/json\xff").unwrap());
        assert!(kind(&headers).is_err());
    }
}
