//! Who makes a request to the administration API, and what that lets them see and do.

use super::Context;
use super::endpoints::Endpoint;
use super::error::ApiError;
use super::input::Parameters;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use narrows_ledger::{AdminEntry, AdminFault, Role};
use std::sync::Arc;

/// The admin token that made a request.
#[derive(Clone)]
pub(super) struct Actor(Arc<AdminEntry>);

impl Actor {
    /// Its public id; it is written beside every change and every read of records.
    pub(super) fn id(&self) -> &str {
        &self.0.id
    }

    /// The one organization it is for; `None` is every one.
    pub(super) fn organization(&self) -> Option<&str> {
        self.0.organization.as_deref()
    }

    /// Whether it may do what takes this role.
    pub(super) fn may(&self, role: Role) -> bool {
        self.0.role.may(role)
    }

    /// Whether what belongs to `organization` is there for it.
    pub(super) fn sees(&self, organization: &str) -> bool {
        self.organization().is_none_or(|own| own == organization)
    }

    /// The organization that a request is about: the one it names, within what the token is for.
    pub(super) fn within(&self, named: Option<String>) -> Result<Option<String>, ApiError> {
        match (named, self.organization()) {
            (Some(named), Some(own)) if named != own => {
                let message = format!("this admin token is for the organization `{own}` only");
                Err(ApiError::new(StatusCode::FORBIDDEN, "organization_refused", message))
            }
            (named, own) => Ok(named.or_else(|| own.map(str::to_owned))),
        }
    }
}

/// Lets in who presents an admin token. The ledger compares in constant time.
pub(super) async fn authorize(
    State(context): State<Arc<Context>>,
    mut request: Request,
    next: Next,
) -> Response {
    let now_us = Timestamp::now().as_microsecond();
    let entry = match bearer(request.headers()) {
        None => Err(AdminFault::Unknown),
        Some(token) => context.gateway.ledger.keys().verify_admin(token, now_us).cloned(),
    };
    let entry = match entry {
        Ok(entry) => entry,
        Err(fault) => return ApiError::unauthorized(fault).into_response(),
    };
    if entry.note_use(now_us) {
        let used = Arc::clone(&entry);
        let noted =
            super::api::store(&context, move |ledger| ledger.admin_token_used(&used.id, now_us)).await;
        if noted.is_err() {
            tracing::warn!(token = %entry.id, "the use of an admin token could not be noted");
        }
    }
    request.extensions_mut().insert(Actor(entry));
    next.run(request).await
}

/// Lets through whose token is what the endpoint needs. Parameters where none are taken are refused, by name.
pub(super) async fn permit(
    State(endpoint): State<&'static Endpoint>,
    request: Request,
    next: Next,
) -> Response {
    let needs = endpoint.needs;
    let refused = match request.extensions().get::<Actor>() {
        None => Some(ApiError::unauthorized(AdminFault::Unknown)),
        Some(actor) if !actor.0.role.may(needs.role) => {
            let message = format!(
                "this admin token has the role `{}`; {} {} needs one with the role `{}`",
                actor.0.role.as_str(),
                endpoint.method.to_ascii_uppercase(),
                endpoint.path,
                needs.role.as_str()
            );
            Some(ApiError::new(StatusCode::FORBIDDEN, "role_refused", message))
        }
        Some(actor) if needs.whole && actor.organization().is_some() => {
            let message =
                "this is about the gateway as a whole; it needs an admin token without an organization";
            Some(ApiError::new(StatusCode::FORBIDDEN, "organization_refused", message))
        }
        Some(_) if needs.query => None,
        Some(_) => Parameters::new(request.uri().query()).and_then(Parameters::end).err(),
    };
    match refused {
        Some(error) => error.into_response(),
        None => next.run(request).await,
    }
}

/// The bearer token of a request that carries exactly one credential.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
