//! The responses of both ports: JSON, HTML, plain text, errors.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use std::time::Duration;

/// 200 with a JSON object.
pub(crate) fn json(body: impl Into<Body>) -> Response<Body> {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    response(StatusCode::OK, JSON, body.into())
}

/// 200 with an HTML page.
pub(crate) fn html(body: Body) -> Response<Body> {
    const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
    response(StatusCode::OK, HTML, body)
}

/// Plain text; `body` ends with a line end.
pub(crate) fn text(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
    response(status, TEXT, body.into())
}

/// 401 with a challenge.
pub(crate) fn unauthorized(challenge: &'static str) -> Response<Body> {
    let mut response = text(StatusCode::UNAUTHORIZED, "authorization failed\n");
    response
        .headers_mut()
        .insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

/// 503 with `Retry-After`.
pub(crate) fn busy(retry_after: Duration) -> Response<Body> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "busy, try again later\n");
    response
        .headers_mut()
        .insert(RETRY_AFTER, retry_after.as_secs().into());
    response
}

/// 500, without the reason.
pub(crate) fn internal_error() -> Response<Body> {
    text(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n")
}

/// 404.
pub(crate) async fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "not found\n")
}

/// 405; the router adds `Allow`.
pub(crate) async fn method_not_allowed() -> Response<Body> {
    text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n")
}

fn response(status: StatusCode, kind: HeaderValue, body: Body) -> Response<Body> {
    // Responses depend on credentials and on the state of the process.
    const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}
