//! `GET /secure`: the greeting, for clients with a valid token.

use crate::app::App;
use crate::authorization::{self, Parameter};
use crate::handlers::hello::HELLO;
use crate::response;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use std::sync::Arc;

/// RFC 6750, section 3.1: a request without a token gets no error code.
const CHALLENGE: &str = r#"Bearer realm="monolith""#;
const INVALID_TOKEN: &str = r#"Bearer realm="monolith", error="invalid_token""#;

pub(crate) async fn secure(State(app): State<Arc<App>>, headers: HeaderMap) -> Response<Body> {
    let token = match authorization::token(&headers) {
        Parameter::Present(token) => token,
        Parameter::Absent => return response::unauthorized(CHALLENGE),
        Parameter::Malformed => return response::unauthorized(INVALID_TOKEN),
    };
    match app.tokens.verify(token) {
        Ok(claims) => {
            tracing::debug!(user = claims.sub, "token accepted");
            response::json(HELLO)
        }
        Err(error) => {
            // The reason is logged; the client does not learn it.
            tracing::debug!(error = &error as &dyn std::error::Error, "token rejected");
            response::unauthorized(INVALID_TOKEN)
        }
    }
}
