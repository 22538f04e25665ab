//! Writes that are done once however often they are sent: a request with an `idempotency-key` is answered again as it was the
//! first time (draft-ietf-httpapi-idempotency-key-header).
//!
//! That a request was begun is in the store, for [`ONCE_LIFETIME`], so that it is not done again after a restart or by
//! another process. What it was answered may hold a secret and is only in memory, for [`ANSWER_LIFETIME`].

use super::Context;
use super::actor::Actor;
use super::api::store;
use super::audit::{Deed, audit};
use super::endpoints::Endpoint;
use super::error::ApiError;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use narrows_ledger::{Begun, ONCE_LIFETIME};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The request's header.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// In an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Longest key, in bytes.
pub(super) const KEY_BYTES_MAX: usize = 255;
/// How long an answer can be given again.
const ANSWER_LIFETIME: Duration = Duration::from_secs(3_600);
/// Most answers that are kept; the oldest give way.
const ANSWERS_MAX: usize = 1_000;
/// Most bytes of bodies that are kept.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

type Fingerprint = [u8; 32];
/// Public id of the token, and the key that it sent.
type Name = (String, String);

/// What was answered lately.
#[derive(Default)]
pub(super) struct Answers(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Requests that are being done.
    running: HashMap<Name, Fingerprint>,
    answers: HashMap<Name, Answer>,
    /// Names of `answers`, the oldest first.
    order: VecDeque<Name>,
    bytes: usize,
}

#[derive(Clone)]
struct Answer {
    fingerprint: Fingerprint,
    at: Instant,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// What is known of a request.
enum Known {
    /// Nothing here; it is noted as running from now on.
    New,
    /// It is being done.
    Running,
    /// The key was sent with another request.
    Other,
    /// It was done.
    Done(Box<Answer>),
}

impl Answers {
    /// A thread that panicked in here left nothing half done that matters: at worst an answer is not given again.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, name: &Name, fingerprint: Fingerprint, now: Instant) -> Known {
        let mut kept = self.lock();
        kept.expire(now);
        if let Some(running) = kept.running.get(name) {
            return if *running == fingerprint { Known::Running } else { Known::Other };
        }
        match kept.answers.get(name) {
            Some(answer) if answer.fingerprint == fingerprint => Known::Done(Box::new(answer.clone())),
            Some(_) => Known::Other,
            None => {
                kept.running.insert(name.clone(), fingerprint);
                Known::New
            }
        }
    }

    fn keep(&self, name: &Name, answer: Answer) {
        let mut kept = self.lock();
        if answer.body.len() > ANSWER_BYTES_MAX {
            return;
        }
        kept.bytes += answer.body.len();
        kept.order.push_back(name.clone());
        kept.answers.insert(name.clone(), answer);
        while kept.order.len() > ANSWERS_MAX || kept.bytes > ANSWER_BYTES_MAX {
            kept.drop_oldest();
        }
    }
}

impl Kept {
    fn expire(&mut self, now: Instant) {
        let old = |answer: &Answer| now.saturating_duration_since(answer.at) >= ANSWER_LIFETIME;
        while self.order.front().and_then(|name| self.answers.get(name)).is_some_and(old) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(name) = self.order.pop_front() else { return };
        if let Some(answer) = self.answers.remove(&name) {
            self.bytes = self.bytes.saturating_sub(answer.body.len());
        }
    }
}

/// Ends a request's being done, however it ends.
struct Running<'a> {
    answers: &'a Answers,
    name: &'a Name,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.answers.lock().running.remove(self.name);
    }
}

/// Lets a request through once.
pub(super) async fn once(
    State((context, endpoint)): State<(Arc<Context>, &'static Endpoint)>,
    request: Request,
    next: Next,
) -> Response {
    let mut keys = request.headers().get_all(&KEY).iter();
    let Some(key) = keys.next() else { return next.run(request).await };
    let key = key.to_str().ok().filter(|_| keys.next().is_none());
    let shaped = |key: &&str| {
        (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let Some(key) = key.filter(shaped).map(str::to_owned) else {
        let message = format!("`idempotency-key` is one header of 1 to {KEY_BYTES_MAX} visible characters");
        return ApiError::query(message).into_response();
    };
    let Some(actor) = request.extensions().get::<Actor>().cloned() else { return next.run(request).await };
    match at_most_once(&context, &actor, endpoint, key, request, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn at_most_once(
    context: &Arc<Context>,
    actor: &Actor,
    endpoint: &Endpoint,
    key: String,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let limit = endpoint.needs.body_max;
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, limit).await.map_err(|_error| {
        let message = format!("the body is larger than {limit} bytes, or could not be read to its end");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
    })?;
    let fingerprint: Fingerprint = Sha256::new()
        .chain_update(head.method.as_str())
        .chain_update([0])
        .chain_update(head.uri.to_string())
        .chain_update([0])
        .chain_update(&body)
        .finalize()
        .into();
    let name = (actor.id().to_owned(), key);
    match context.answers.begin(&name, fingerprint, Instant::now()) {
        Known::New => {}
        Known::Running => {
            let message = "a request with this `idempotency-key` is being done; ask again in a moment";
            return Err(ApiError::new(StatusCode::CONFLICT, "idempotency_in_progress", message));
        }
        Known::Other => return Err(other()),
        Known::Done(answer) => return again(context, actor, &head.uri.to_string(), *answer).await,
    }
    let _running = Running { answers: &context.answers, name: &name };
    let (id, key) = name.clone();
    match store(context, move |ledger| ledger.begin_once(&id, &key, &fingerprint)).await? {
        Begun::First => {}
        Begun::Other => return Err(other()),
        Begun::Before { at_us } => return Err(gone(at_us)),
    }
    let response = next.run(Request::from_parts(head, Body::from(body))).await;
    let status = response.status();
    if status.is_success() {
        return remember(context, &name, fingerprint, response).await;
    }
    if !status.is_server_error() {
        // Nothing was done. What failed on our side may have been: it is not done again.
        let (id, key) = name.clone();
        store(context, move |ledger| ledger.forget_once(&id, &key)).await?;
    }
    Ok(response)
}

async fn remember(
    context: &Arc<Context>,
    name: &Name,
    fingerprint: Fingerprint,
    response: Response,
) -> Result<Response, ApiError> {
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.map_err(|error| {
        tracing::error!("an answer of the administration API broke off: {error}");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "gateway_bug", "the answer broke off")
    })?;
    let answer = Answer {
        fingerprint,
        at: Instant::now(),
        status: head.status,
        headers: head.headers.clone(),
        body: body.clone(),
    };
    context.answers.keep(name, answer);
    Ok(Response::from_parts(head, Body::from(body)))
}

/// The answer, as it was. It may hold a secret, so its being shown again is written down.
async fn again(
    context: &Arc<Context>,
    actor: &Actor,
    path: &str,
    answer: Answer,
) -> Result<Response, ApiError> {
    let deed = Deed { action: "answer_repeated", target: path.to_owned(), ..Deed::default() };
    audit(context, actor, deed).await?;
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

fn other() -> ApiError {
    let message = "this `idempotency-key` was sent with another request; take a new one for each";
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", message)
}

fn gone(at_us: i64) -> ApiError {
    let message = format!(
        "this request was begun at {} and is not done again; its answer is not kept any more (an hour, in memory). Look \
         whether what it asked for is there; the key is free {} hours after that time",
        narrows_ledger::time(at_us).unwrap_or_default(),
        ONCE_LIFETIME.as_secs() / 3_600
    );
    ApiError::new(StatusCode::CONFLICT, "idempotency_answer_gone", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> Name {
        ("token".to_owned(), number.to_string())
    }

    fn answer(bytes: usize, at: Instant) -> Answer {
        Answer {
            fingerprint: [1; 32],
            at,
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::from(vec![0; bytes]),
        }
    }

    /// Whether the answer to a request is kept.
    fn has(answers: &Answers, name: &Name, now: Instant) -> bool {
        let known = answers.begin(name, [1; 32], now);
        answers.lock().running.clear();
        matches!(known, Known::Done(_))
    }

    #[test]
    fn so_many_answers_are_kept_and_the_oldest_give_way() {
        let (answers, now) = (Answers::default(), Instant::now());
        (0..ANSWERS_MAX).for_each(|number| answers.keep(&name(number), answer(1, now)));
        assert!(has(&answers, &name(0), now));
        answers.keep(&name(ANSWERS_MAX), answer(1, now));
        assert!(!has(&answers, &name(0), now) && has(&answers, &name(1), now));
        assert_eq!(answers.lock().bytes, ANSWERS_MAX);
    }

    #[test]
    fn so_many_bytes_are_kept() {
        let (answers, now) = (Answers::default(), Instant::now());
        answers.keep(&name(0), answer(1, now));
        answers.keep(&name(1), answer(ANSWER_BYTES_MAX - 1, now));
        assert!(has(&answers, &name(0), now));
        answers.keep(&name(2), answer(1, now));
        assert!(!has(&answers, &name(0), now) && has(&answers, &name(1), now));
        answers.keep(&name(3), answer(ANSWER_BYTES_MAX + 1, now));
        assert!(!has(&answers, &name(3), now) && has(&answers, &name(1), now), "too large to be kept");
        assert!(answers.lock().bytes <= ANSWER_BYTES_MAX);
    }

    #[test]
    fn an_answer_is_kept_for_its_time() {
        let (answers, now) = (Answers::default(), Instant::now());
        answers.keep(&name(0), answer(1, now));
        assert!(has(&answers, &name(0), now + ANSWER_LIFETIME - Duration::from_nanos(1)));
        assert!(!has(&answers, &name(0), now + ANSWER_LIFETIME));
        assert_eq!(answers.lock().bytes, 0);
    }

    #[test]
    fn what_is_being_done_is_not_begun_again() {
        let (answers, now) = (Answers::default(), Instant::now());
        let name = name(0);
        assert!(matches!(answers.begin(&name, [1; 32], now), Known::New));
        assert!(matches!(answers.begin(&name, [1; 32], now), Known::Running));
        assert!(matches!(answers.begin(&name, [2; 32], now), Known::Other));
        drop(Running { answers: &answers, name: &name });
        assert!(matches!(answers.begin(&name, [1; 32], now), Known::New));
    }
}
