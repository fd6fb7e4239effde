//! `GET /`: the greeting.

use crate::answer;
use axum::body::Body;
use axum::http::Response;

/// The same words with and without a token.
pub(crate) const HELLO: &str = r#"{"message":"Hello"}"#;

pub(crate) async fn hello() -> Response<Body> {
    answer::json(HELLO)
}
