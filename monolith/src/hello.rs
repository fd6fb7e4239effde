//! `GET /`: the greeting, or for who prefers HTML a page.

use crate::{accept, answer, page};
use axum::body::Body;
use axum::http::header::VARY;
use axum::http::{HeaderValue, Request, Response};

/// The same words with and without a token.
pub(crate) const HELLO: &str = r#"{"message":"Hello"}"#;

pub(crate) async fn hello(request: Request<Body>) -> Response<Body> {
    let mut response = if accept::prefers_html(request.headers()) {
        page::page(request.headers())
    } else {
        answer::json(HELLO)
    };
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("Accept"));
    response
}
