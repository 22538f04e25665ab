//! What the administration API says when it does not do what was asked: `{"error": {"code", "message"}}`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use narrows_ledger::{AdminFault, DatabaseError, EntryKind, LedgerError, LimitKind};
use serde_json::json;

/// A refusal.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    /// A stable word.
    code: &'static str,
    /// What is wrong, and what to do.
    message: String,
    /// Which of many it is about, from 1.
    position: Option<usize>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { status, code, message: message.into(), position: None }
    }

    /// A body that is not what the path takes.
    pub(super) fn body(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_body", message)
    }

    /// A query parameter that is not what the path takes.
    pub(super) fn query(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_parameter", message)
    }

    /// Says which of many it was about; `index` counts from 0.
    pub(super) fn of_many(self, index: usize) -> ApiError {
        let position = index + 1;
        let message = format!("key {position} of the list: {}", self.message);
        ApiError { message, position: Some(position), ..self }
    }

    /// No admin token, or one that may not be used.
    pub(super) fn unauthorized(fault: AdminFault) -> ApiError {
        let message = match fault {
            AdminFault::Unknown => {
                "send an admin token of this gateway: Authorization: Bearer nra_…; the first was shown once, when the \
                 store was made, and `narrows tokens create` makes more"
            }
            AdminFault::Expired => "the admin token has expired; `narrows tokens create` makes another",
            AdminFault::Revoked => "the admin token was revoked; `narrows tokens create` makes another",
        };
        ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({"error": {"code": self.code, "message": self.message}});
        if let Some(position) = self.position {
            body["error"]["position"] = json!(position);
        }
        let mut response = (self.status, axum::Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> ApiError {
        if let LedgerError::OneOfMany { position, cause } = error {
            return ApiError::from(*cause).of_many(position.saturating_sub(1));
        }
        let (status, code) = match &error {
            LedgerError::KeyNotFound { .. } => (StatusCode::NOT_FOUND, "key_not_found"),
            LedgerError::AlertNotFound { .. } => (StatusCode::NOT_FOUND, "alert_not_found"),
            LedgerError::AdminTokenNotFound { .. } => (StatusCode::NOT_FOUND, "token_not_found"),
            LedgerError::EntryNotFound { kind, .. } => (StatusCode::NOT_FOUND, no_entry(*kind)),
            LedgerError::InvalidEntry(_) => (StatusCode::BAD_REQUEST, "invalid_entry"),
            LedgerError::EntryNameTaken { .. } => (StatusCode::CONFLICT, "name_taken"),
            LedgerError::EntryValueTaken { .. } => (StatusCode::CONFLICT, "value_taken"),
            LedgerError::EntryDeleted { .. } => (StatusCode::CONFLICT, "entry_deleted"),
            LedgerError::EntryInUse { .. } => (StatusCode::CONFLICT, "entry_in_use"),
            LedgerError::EntryChanged { .. } => (StatusCode::PRECONDITION_FAILED, "version_mismatch"),
            LedgerError::LimitNotFound { kind: LimitKind::Budget, .. } => {
                (StatusCode::NOT_FOUND, "budget_not_found")
            }
            LedgerError::LimitNotFound { kind: LimitKind::RateLimit, .. } => {
                (StatusCode::NOT_FOUND, "rate_limit_not_found")
            }
            LedgerError::LimitChanged { .. } => (StatusCode::PRECONDITION_FAILED, "version_mismatch"),
            LedgerError::LimitTooLong { .. } => (StatusCode::BAD_REQUEST, "too_long"),
            LedgerError::TooManyLimits { .. } => (StatusCode::CONFLICT, "too_many_limits"),
            LedgerError::TooManyOnce { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_idempotency_keys"),
            LedgerError::TooManyMembers { .. } => (StatusCode::BAD_REQUEST, "too_many_members"),
            LedgerError::OwnerUnknown { .. } => (StatusCode::BAD_REQUEST, "owner_unknown"),
            LedgerError::OwnerBlocked { .. } => (StatusCode::CONFLICT, "owner_blocked"),
            LedgerError::KeyDeleted { .. } => (StatusCode::CONFLICT, "key_deleted"),
            LedgerError::KeyDeclared { .. } => (StatusCode::CONFLICT, "key_declared"),
            LedgerError::KeyNameTaken { .. } | LedgerError::KeyNameTwice { .. } => {
                (StatusCode::CONFLICT, "key_name_taken")
            }
            LedgerError::ContentHeld { .. } => (StatusCode::CONFLICT, "content_held"),
            LedgerError::ContentKey(_) => (StatusCode::CONFLICT, "content_sealed"),
            LedgerError::NothingKept { .. } => (StatusCode::NOT_FOUND, "content_not_found"),
            LedgerError::HoldNotFound { .. } => (StatusCode::NOT_FOUND, "hold_not_found"),
            LedgerError::HoldReleased { .. } => (StatusCode::CONFLICT, "hold_released"),
            LedgerError::TooManyHolds { .. } => (StatusCode::CONFLICT, "too_many_holds"),
            LedgerError::TooManyKeys { .. } => (StatusCode::BAD_REQUEST, "too_many_keys"),
            LedgerError::InvalidKey(_) => (StatusCode::BAD_REQUEST, "invalid_key"),
            LedgerError::BadQuery(_) => (StatusCode::BAD_REQUEST, "invalid_parameter"),
            LedgerError::Locked { .. } => (StatusCode::SERVICE_UNAVAILABLE, "store_locked"),
            LedgerError::Database(DatabaseError::Crowded { .. }) => {
                (StatusCode::SERVICE_UNAVAILABLE, "store_busy")
            }
            LedgerError::NotOpened { .. } => (StatusCode::SERVICE_UNAVAILABLE, "store_failed"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "store_failed"),
        };
        let said = match &error {
            LedgerError::NotOpened { source, .. } => format!("{error}: {source}"),
            _ => error.to_string(),
        };
        if status.is_server_error() {
            tracing::error!("the administration API could not use the store: {said}");
        }
        ApiError::new(status, code, said)
    }
}

/// The word for an entry of the directory that is not there.
fn no_entry(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Organization => "organization_not_found",
        EntryKind::User => "user_not_found",
        EntryKind::ServiceAccount => "service_account_not_found",
        EntryKind::Team => "team_not_found",
        EntryKind::Project => "project_not_found",
    }
}
