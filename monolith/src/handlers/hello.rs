//! `GET /`: a greeting in JSON, or a page for clients that prefer HTML.

use crate::{accept, page, response};
use axum::body::Body;
use axum::http::header::VARY;
use axum::http::{HeaderValue, Request, Response};

/// `/secure` returns the same greeting.
pub(crate) const HELLO: &str = r#"{"message":"Hello"}"#;

pub(crate) async fn hello(request: Request<Body>) -> Response<Body> {
    let mut response = if accept::prefers_html(request.headers()) {
        page::page(request.headers())
    } else {
        response::json(HELLO)
    };
    const ACCEPT: HeaderValue = HeaderValue::from_static("Accept");
    response.headers_mut().insert(VARY, ACCEPT);
    response
}
