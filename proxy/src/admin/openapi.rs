//! The OpenAPI description of the administration API; it is a file of the source, and a test holds it to the paths.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// The description, OpenAPI 3.1.
pub(super) const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
